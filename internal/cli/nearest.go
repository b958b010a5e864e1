package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/alecthomas/kong"

	"bagpipe/internal/nearest"
)

// OneOf refuses a word that is none of the candidates, as a fault of the command
// line that names the nearest. What says what the words are, such as "recipe".
func OneOf(what, word string, candidates []string, remedy string) error {
	if slices.Contains(candidates, word) {
		return nil
	}
	return Wrongf("no %s %q, nearest is %q (%s)", what, word, nearest.Word(word, candidates), remedy)
}

// NearestCommand returns the command that word is a slip of the keyboard away from,
// "" if there is none: more than two letters off is another word.
func NearestCommand(parser *kong.Kong, word string) string {
	var names []string
	for _, n := range parser.Model.Children {
		names = append(names, n.Name)
	}
	near := nearest.Word(word, names)
	if d := levenshtein.Distance(word, near, nil); d > 2 || d >= len(near) {
		return ""
	}
	return near
}

// unknownFlag returns the flag that an error of the parser is about.
func unknownFlag(err error) (string, bool) {
	if err == nil {
		return "", false
	}
	word, ok := strings.CutPrefix(err.Error(), "unknown flag ")
	word, _, _ = strings.Cut(word, ",")
	return word, ok
}

// flags lists the flags of the command that an error of the parser is about.
func flags(err error) (names []string) {
	var at *kong.ParseError
	if !errors.As(err, &at) {
		return nil
	}
	for _, p := range at.Context.Path {
		for _, f := range p.Flags {
			names = append(names, "--"+f.Name)
		}
	}
	return names
}
