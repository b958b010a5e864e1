package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Word quotes s for a POSIX shell where that is needed.
func Word(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Tool is how a person who has called this program calls the named one of ours,
// which lies beside it: bin/pipe after bin/shardify, pipe where that is on the path.
func Tool(name string) string {
	called := os.Args[0]
	if !strings.ContainsRune(called, filepath.Separator) || !slices.Contains([]string{"pipe", "shardify"}, filepath.Base(called)) {
		return name
	}
	// Not Join: ./pipe must keep its dot.
	return Word(strings.TrimSuffix(called, filepath.Base(called)) + name)
}
