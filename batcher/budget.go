package batcher

import (
	"runtime"
	"runtime/debug"
	"sync"

	"bagpipe/shards"
	"bagpipe/stages"
)

// A Budget is a ceiling on memory, in bytes: what the process held before its input
// began, then the rings, the scratch and the caches of all loaders that it is given to.
// What else a process allocates after that, such as a model, comes on top.
//
// A Loader with a Budget makes fewer batches ahead, with fewer workers, where it must,
// and decodes only as many large pictures at a time as have room. The batches are the
// same. While loaders are open, the Go runtime collects its garbage in time to stay below.
type Budget struct {
	ceiling int64
	held    int64 // when it was made

	mu    sync.Mutex
	open  int
	base  int64 // memory of the Go runtime before the first loader was opened
	heap  int64 // what the open loaders may use of it
	limit int64 // the runtime's own, before
}

// NewBudget makes a Budget and looks at what the process holds now: it is to be called
// when the data set is open and nothing else is.
func NewBudget(ceiling int64) *Budget {
	debug.FreeOSMemory() // what nobody needs any more is not held
	now, _ := stages.Resident()
	return &Budget{ceiling: ceiling, held: max(now, runtimeMemory())}
}

// runtimeMemory is what debug.SetMemoryLimit counts.
func runtimeMemory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// A Sized source knows what its records take before they are read, as a *shards.Split
// does. A Config with a Budget needs one.
type Sized interface {
	Source
	// Meta returns the size and the format of record i's picture.
	Meta(i int) shards.Meta
	// Room returns how many bytes Read of record i uses of its buffer.
	Room(i int) int
}

// Of what a loader's part of the budget leaves once the process's own is taken off, spare
// stays free: for the pages that allocators cannot give back, and the runtime's own.
const (
	spareFixed = 8 << 20
	sparePart  = 16
)

// usable is what a loader may plan with when the budget is divided among parts.
func (b *Budget) usable(parts int) int64 {
	left := max(b.ceiling-b.held, 0) / int64(parts)
	return left - left/sparePart - spareFixed
}

// least is the ceiling below which usable(parts) is less than need.
func (b *Budget) least(parts int, need int64) int64 {
	left := (need+spareFixed)*sparePart/(sparePart-1) + sparePart
	return b.held + int64(parts)*left
}

// enter makes room for a loader that takes heap bytes of Go memory.
func (b *Budget) enter(heap int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == 0 {
		b.base, b.limit = runtimeMemory(), debug.SetMemoryLimit(-1)
	}
	b.open++
	b.heap += heap
	debug.SetMemoryLimit(min(b.limit, b.base+b.heap))
}

// leave takes the room of a loader back.
func (b *Budget) leave(heap int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	b.heap -= heap
	if b.open == 0 {
		debug.SetMemoryLimit(b.limit)
		return
	}
	debug.SetMemoryLimit(min(b.limit, b.base+b.heap))
}
