package batcher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"bagpipe/gpu"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

// records is a Source whose "pictures" are their numbers.
type records struct {
	n          int
	unreadable map[int]bool // Read fails
	broken     map[int]bool // Process fails
}

func (r records) Len() int          { return r.n }
func (r records) Label(i int) int32 { return int32(i % 10) }

func (r records) Read(i int, buf *[]byte) ([]byte, error) {
	if r.unreadable[i] {
		return nil, &shards.MalformedError{Place: fmt.Sprintf("record %d", i), Problem: "crc"}
	}
	if cap(*buf) < 5 {
		*buf = make([]byte, 5)
	}
	b := (*buf)[:5]
	binary.LittleEndian.PutUint32(b, uint32(i))
	if b[4] = 0; r.broken[i] {
		b[4] = 1
	}
	return b, nil
}

// noise is a processor whose pictures are random in the way real augmentation is.
type noise struct {
	dtype  gpu.DType
	closed *atomic.Int32
}

var errBroken = errors.New("not a picture")

func (p noise) Process(dst, src []byte, seed uint64, epoch, index int) error {
	if int(binary.LittleEndian.Uint32(src)) != index {
		return errors.New("wrong picture for its index")
	}
	rng := rand.PCG{}
	rng.Seed(seed, uint64(epoch)<<32|uint64(index))
	for i := 0; i < len(dst); i += p.dtype.Size() {
		if src[4] == 1 && i >= len(dst)/2 {
			return errBroken // leaves half a picture behind
		}
		v := float32(rng.Uint64()>>40)/(1<<24)*4 - 2
		switch p.dtype {
		case gpu.Float32:
			binary.NativeEndian.PutUint32(dst[i:], math.Float32bits(v))
		case gpu.Float16:
			binary.NativeEndian.PutUint16(dst[i:], gpu.ToFloat16(v))
		case gpu.BFloat16:
			binary.NativeEndian.PutUint16(dst[i:], gpu.ToBFloat16(v))
		}
	}
	return nil
}

func (p noise) Close() {
	if p.closed != nil {
		p.closed.Add(1)
	}
}

// config is a configuration that tests vary.
func config(n int) Config {
	c := Config{Source: records{n: n}, Vision: vision.Config{Size: 3}, Train: true, Batch: 4, Workers: 2, Seed: 11}
	return fake(c)
}

// fake makes c use noise instead of pictures; to be called after DType is set.
func fake(c Config) Config {
	dtype := c.DType
	c.newProcessor = func() (processor, error) { return noise{dtype: dtype}, nil }
	return c
}

// kept is a copy of a batch.
type kept struct {
	Epoch, Step, N, Bad int
	Images              []byte
	Labels, Partners    []int32
	Lambda              []float32
	Index               []int
}

func keep(b *Batch) kept {
	return kept{b.Epoch, b.Step, b.N, b.Bad, append([]byte{}, b.Images.Bytes()...), append([]int32{}, b.labels...),
		append([]int32{}, b.partners...), append([]float32{}, b.lambdas...), append([]int{}, b.Index...)}
}

// take starts a loader at step and returns its next n batches, or all there are.
func take(t testing.TB, c Config, step, n int) []kept {
	t.Helper()
	l, err := New(t.Context(), c, Position{Step: step})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []kept
	for range n {
		b, err := l.Next(t.Context())
		if isEnd(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, keep(b))
		b.Release()
	}
	return all
}
