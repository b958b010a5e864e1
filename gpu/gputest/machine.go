package gputest

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// A machine is a program with the means to fill and read it.
type machine struct {
	t       *testing.T
	dev     gpu.Device
	program graph.Program
	stream  gpu.Stream
	vars    graph.Vars // set when the machine made them
}

func newMachine(t *testing.T, dev gpu.Device, g *graph.Graph, opt graph.Options) *machine {
	t.Helper()
	m := &machine{t: t, dev: dev}
	if opt.Vars == nil {
		m.vars = graph.Vars{}
		opt.Vars = m.vars
	}
	var err error
	if m.program, err = graph.Compile(dev, g, opt); err != nil {
		t.Fatalf("compile: %v", err)
	}
	if m.stream, err = dev.NewStream(); err != nil {
		t.Fatalf("stream: %v", err)
	}
	return m
}

func (m *machine) close() {
	for _, err := range []error{m.stream.Close(), m.program.Close(), m.vars.Free()} {
		if err != nil {
			m.t.Errorf("close: %v", err)
		}
	}
}

func (m *machine) run() {
	m.t.Helper()
	if err := m.program.Run(); err != nil {
		m.t.Fatalf("run: %v", err)
	}
}

// poison fills every float leaf with NaN and every integer leaf with 0.
func (m *machine) poison(g *graph.Graph) {
	for _, v := range g.Values {
		if v.Kind == graph.Temp {
			continue
		}
		xs := make([]float64, v.Shape.Elems())
		for i := range xs {
			if v.DType != gpu.Int32 && v.DType != gpu.Uint8 {
				xs[i] = math.NaN()
			}
		}
		m.upload(v, xs)
	}
}

func (m *machine) uploadAll(g *graph.Graph, leaves map[string][]float64) {
	for _, v := range g.Values {
		if v.Kind != graph.Temp {
			m.upload(v, leaves[v.Name])
		}
	}
}

// downloadAll reads every named value.
func (m *machine) downloadAll(g *graph.Graph) map[string][]float64 {
	got := map[string][]float64{}
	for _, v := range g.Values {
		if v.Name != "" {
			got[v.Name] = m.download(v)
		}
	}
	return got
}

func (m *machine) buffer(v *graph.Value) gpu.Buffer {
	b := m.program.Buffer(v.Name)
	if b == nil || b.Size() < v.Bytes() {
		m.t.Fatalf("no buffer of %d bytes for %v", v.Bytes(), v)
	}
	return b
}

func (m *machine) upload(v *graph.Value, xs []float64) {
	b := make([]byte, 0, v.Bytes())
	for _, x := range xs {
		b = encode(b, v.DType, x)
	}
	if err := m.stream.Upload(m.buffer(v), b); err != nil {
		m.t.Fatalf("upload of %v: %v", v, err)
	}
	m.synchronize()
}

func (m *machine) download(v *graph.Value) []float64 {
	b := make([]byte, v.Bytes())
	if err := m.stream.Download(b, m.buffer(v)); err != nil {
		m.t.Fatalf("download of %v: %v", v, err)
	}
	m.synchronize()
	xs := make([]float64, v.Shape.Elems())
	for i := range xs {
		xs[i] = decode(b[i*v.DType.Size():], v.DType)
	}
	return xs
}

func (m *machine) synchronize() {
	if err := m.stream.Synchronize(); err != nil {
		m.t.Fatalf("synchronize: %v", err)
	}
}

// encode appends x as an element of type dt.
func encode(b []byte, dt gpu.DType, x float64) []byte {
	switch dt {
	case gpu.Float32:
		return binary.NativeEndian.AppendUint32(b, math.Float32bits(float32(x)))
	case gpu.Int32:
		return binary.NativeEndian.AppendUint32(b, uint32(int32(x)))
	case gpu.Uint8:
		return append(b, uint8(x))
	case gpu.BFloat16:
		return binary.NativeEndian.AppendUint16(b, bfloat16(x))
	}
	return binary.NativeEndian.AppendUint16(b, float16(x))
}

func decode(b []byte, dt gpu.DType) float64 {
	switch dt {
	case gpu.Float32:
		return float64(math.Float32frombits(binary.NativeEndian.Uint32(b)))
	case gpu.Int32:
		return float64(int32(binary.NativeEndian.Uint32(b)))
	case gpu.Uint8:
		return float64(b[0])
	case gpu.BFloat16:
		return float64(math.Float32frombits(uint32(binary.NativeEndian.Uint16(b)) << 16))
	}
	h := binary.NativeEndian.Uint16(b)
	sign, e, f := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch {
	case e == 0:
		return sign * f * 0x1p-24
	case e == 31 && f == 0:
		return math.Inf(int(sign))
	case e == 31:
		return math.NaN()
	}
	return sign * math.Ldexp(1+f/1024, e-15)
}

// round returns x as an element of type dt would hold it.
func round(dt gpu.DType, x float64) float64 { return decode(encode(nil, dt, x), dt) }

// bfloat16 rounds to the nearest, ties to even.
func bfloat16(x float64) uint16 {
	u := math.Float32bits(float32(x))
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// float16 rounds to the nearest, ties to even.
func float16(x float64) uint16 {
	var sign uint16
	if math.Signbit(x) {
		sign, x = 0x8000, -x
	}
	switch {
	case x != x:
		return sign | 0x7e00
	case x >= 65520:
		return sign | 0x7c00
	case x < 0x1p-14:
		return sign | uint16(math.RoundToEven(x*0x1p24))
	}
	_, e := math.Frexp(x) // x = f * 2^e, f in [1/2, 1)
	// A mantissa that rounds up to 2048 carries into the exponent, as it should.
	return sign | uint16((e+13)<<10) + uint16(math.RoundToEven(math.Ldexp(x, 11-e)))
}

func fmtFault(i int, got, want, rel, tol float64) string {
	return fmt.Sprintf("element %d is %g, want %g: error %.2g of the largest, bound %.2g", i, got, want, rel, tol)
}
