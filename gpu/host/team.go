package host

import "sync"

// A team divides loops among goroutines that live as long as the device. A loop
// of n steps is always cut at the same places for one team size, so results
// depend on the thread count at most, never on timing.
type team struct {
	spans []chan span
	wg    sync.WaitGroup
}

// A span is one member's part of a loop.
type span struct {
	f          func(part, lo, hi int)
	part       int
	start, end int
}

func newTeam(threads int) *team {
	t := &team{}
	for range threads - 1 {
		c := make(chan span)
		t.spans = append(t.spans, c)
		go func() {
			for s := range c {
				s.f(s.part, s.start, s.end)
				t.wg.Done()
			}
		}()
	}
	return t
}

func (t *team) close() {
	for _, c := range t.spans {
		close(c)
	}
}

// size is the number of parts that a loop is cut into at most.
func (t *team) size() int { return len(t.spans) + 1 }

// split calls f for consecutive parts of 0..n-1 and waits. f should be made once:
// then split allocates nothing.
func (t *team) split(n int, f func(part, lo, hi int)) {
	parts := min(t.size(), n)
	if parts <= 1 {
		f(0, 0, n)
		return
	}
	t.wg.Add(parts - 1)
	for i := 1; i < parts; i++ {
		t.spans[i-1] <- span{f, i, i * n / parts, (i + 1) * n / parts}
	}
	f(0, 0, n/parts)
	t.wg.Wait()
}
