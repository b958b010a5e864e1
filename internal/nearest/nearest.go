// Package nearest finds what a misspelt word was meant to be, for errors that name it.
package nearest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Word returns the candidate that word most likely stands for, capitals or not: one that
// begins with it ("mxnet" is meant to be mxnet-2018), else what takes the fewest edits,
// of equally near ones that which starts alike. It is "" only without candidates.
func Word(word string, candidates []string) string {
	if len(candidates) == 0 {
		return ""
	}
	word = strings.ToLower(word)
	return slices.MinFunc(candidates, func(a, b string) int {
		a, b = strings.ToLower(a), strings.ToLower(b)
		edits := levenshtein.Distance(a, word, nil) - levenshtein.Distance(b, word, nil)
		alike := shared(b, word) - shared(a, word)
		if strings.HasPrefix(a, word) != strings.HasPrefix(b, word) {
			return alike
		}
		return cmp.Or(edits, alike)
	})
}

// shared returns the length of the start that two words have in common.
func shared(s, word string) (n int) {
	for n < min(len(s), len(word)) && s[n] == word[n] {
		n++
	}
	return n
}
