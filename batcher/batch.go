package batcher

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"bagpipe/gpu"
	"bagpipe/shards"
)

// Batch is one step's input. It is valid until its Release and the Loader's Close.
type Batch struct {
	Epoch, Step int            // Step counts from 0 through the whole run
	N           int            // slots that stand for records, the first N; the rest is an evaluation's padding: Label -1, Index -1, zero pictures
	Images      gpu.HostBuffer // [Batch,Size,Size,3] of Config.DType
	Labels      gpu.HostBuffer // int32[Batch], native byte order; -1: no picture, to be left out of loss and metrics
	Partners    gpu.HostBuffer // int32[Batch]: labels of the mixed-in samples (= Labels where nothing is mixed in)
	Lambda      gpu.HostBuffer // float32[Batch]: weight of Labels, 1-Lambda is that of Partners (1 where nothing is mixed in)
	Index       []int          // record numbers of the pictures, after replacement
	// Bad counts the samples whose own picture is damaged or cannot be decoded. In
	// training the next good record of the epoch's order stands in for it, label
	// included (after 16 bad ones in a row: a zero picture of label -1, without
	// mixup). In evaluation, where each picture counts once, it is a zero picture of
	// label -1. Loader.Bad names the records.
	Bad int

	labels, partners []int32   // views of the buffers
	lambdas          []float32 // likewise
	order            shards.Order
	first            int          // position in order of slot 0
	lambda           float32      // of this step, 1 without mixup
	left             atomic.Int32 // slots and pairs not finished
	bad              atomic.Int32
	pairs            []atomic.Int32 // finished slots of the pair i, Batch-1-i
	ready            chan struct{}  // of capacity 1: all slots are filled
	out              atomic.Bool    // with the consumer
	free             chan<- *Batch
}

// Release gives the batch back to the ring, to be filled anew. The second of two
// calls does nothing.
func (b *Batch) Release() {
	if b.out.CompareAndSwap(true, false) {
		b.free <- b // the ring has room for every batch there is
	}
}

// newBatch allocates a batch's buffers.
func newBatch(c Config, free chan<- *Batch) (*Batch, error) {
	b := &Batch{
		Index: make([]int, c.Batch),
		pairs: make([]atomic.Int32, (c.Batch+1)/2),
		ready: make(chan struct{}, 1),
		free:  free,
	}
	for _, a := range []struct {
		buf  *gpu.HostBuffer
		size int
	}{
		{&b.Images, c.Batch * c.sampleBytes()}, {&b.Labels, 4 * c.Batch}, {&b.Partners, 4 * c.Batch}, {&b.Lambda, 4 * c.Batch},
	} {
		h, err := c.AllocHost(a.size)
		if err == nil && len(h.Bytes()) < a.size {
			err = errors.Join(fmt.Errorf("got %d", len(h.Bytes())), h.Free())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("batcher: %d bytes of host memory for a batch: %w (lower ring or batch)", a.size, err), b.close())
		}
		*a.buf = h
	}
	b.labels = view[int32](b.Labels, c.Batch)
	b.partners = view[int32](b.Partners, c.Batch)
	b.lambdas = view[float32](b.Lambda, c.Batch)
	return b, nil
}

// close frees the buffers.
func (b *Batch) close() error {
	var errs []error
	for _, h := range []gpu.HostBuffer{b.Images, b.Labels, b.Partners, b.Lambda} {
		if h != nil {
			errs = append(errs, h.Free())
		}
	}
	return errors.Join(errs...)
}

// view reinterprets a host buffer, which is aligned for every element type.
func view[T any](h gpu.HostBuffer, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(h.Bytes()))), n)
}

// plain is host memory of the Go heap.
type plain []byte

func (p plain) Bytes() []byte { return p }
func (p plain) Free() error   { return nil }

// allocPlain returns memory that starts on a cache line, as devices' buffers do.
func allocPlain(size int) (gpu.HostBuffer, error) {
	const line = 64
	raw := make([]byte, size+line)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % line)
	return plain(raw[skip : skip+size : skip+size]), nil
}
