package batcher

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A pool is the memory for pictures that are too large for a worker's own scratch. Each
// is decoded with scratch of its own, which is dropped afterwards, so that a worker that
// has met one is as small again as before.
//
// It cannot lock up: whoever holds a part of it takes no other and waits for nothing but
// the disk, and a picture larger than all of it takes it whole. Those who wait come to
// their turn in the order of their coming.
type pool struct {
	size int64 // at least 1
	room *semaphore.Weighted

	mu      sync.Mutex
	used    int64
	dropped int64 // what was used since the last collection: garbage, as far as we know
}

func newPool(size int64) *pool {
	size = max(size, 1)
	return &pool{size: size, room: semaphore.NewWeighted(size)}
}

// take waits for n bytes, or for all there are if that is less. The error is ctx's cause.
func (p *pool) take(ctx context.Context, n int64) (give func(), err error) {
	share := min(n, p.size)
	if p.room.Acquire(ctx, share) != nil {
		return nil, context.Cause(ctx)
	}
	p.begin(share)
	return func() {
		p.end(n)
		p.room.Release(share)
	}, nil
}

// begin collects the garbage first if it is in the way: the runtime would allocate the
// next large picture and only then begin to look for what it may free.
func (p *pool) begin(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used+p.dropped+n > p.size && p.dropped > 0 {
		runtime.GC()
		p.dropped = 0
	}
	p.used += n
}

// end counts n bytes as garbage. What exceeded the pool goes back to the system at once.
func (p *pool) end(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= min(n, p.size)
	p.dropped += n
	if n > p.size {
		debug.FreeOSMemory()
		p.dropped = 0
	}
}
