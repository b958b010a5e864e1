package stages_test

import (
	"context"
	"fmt"
	"strconv"

	"bagpipe/stages"
)

// Example parses and squares on four workers, on one goroutine each, and prints the
// results in the order of the words.
func Example() {
	parse := func(_ context.Context, s string) (int, error) { return strconv.Atoi(s) }
	square := func(_ context.Context, i int) (int, error) { return i * i, nil }

	p := stages.New(context.Background())
	words := stages.From(p, "words", func(yield func(string, error) bool) {
		for _, w := range []string{"3", "1", "4", "1", "5"} {
			if !yield(w, nil) {
				return
			}
		}
	})
	for v := range stages.Map(p, "parse+square", 4, 2, words, stages.Then(parse, square)) {
		fmt.Println(v)
	}
	if err := p.Wait(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 9
	// 1
	// 16
	// 1
	// 25
}
