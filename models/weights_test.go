package models

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// file makes a safetensors file of a header and data, as they are.
func file(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func open(b []byte) (*Weights, error) { return ReadWeights(bytes.NewReader(b), int64(len(b))) }

func TestWeightsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var tensors []Tensor
	for _, s := range []struct {
		name  string
		shape gpu.Shape
	}{{"z.weight", gpu.Shape{3, 2, 5, 7}}, {"a", gpu.Shape{1}}, {"scalar", nil}, {"empty", gpu.Shape{0, 4}}, {`quo"te/ü`, gpu.Shape{17}}} {
		data := make([]float32, s.shape.Elems())
		for i := range data {
			data[i] = float32(r.NormFloat64())
		}
		tensors = append(tensors, Tensor{s.name, s.shape, data})
	}
	copy(tensors[0].Data, []float32{float32(math.Inf(1)), float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, math.MaxFloat32})
	meta := map[string]string{"format": "pt", "epoch": "3"}
	var b bytes.Buffer
	if err := WriteWeights(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(b.Bytes()); n%8 != 0 {
		t.Errorf("the data begin at %d, want a multiple of 8", n+8)
	}
	if strings.Contains(b.String(), "null") {
		t.Error("a scalar's shape is null, which other readers refuse")
	}
	w, err := open(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Metadata) != 2 || w.Metadata["format"] != "pt" || w.Metadata["epoch"] != "3" {
		t.Errorf("metadata %v", w.Metadata)
	}
	if names := w.Names(); len(names) != len(tensors) || !slices.IsSorted(names) {
		t.Errorf("names %v", names)
	}
	for _, want := range tensors {
		got, err := w.Tensor(want.Name)
		if err != nil || !w.Has(want.Name) || len(got.Shape) != len(want.Shape) || !got.Shape.Equal(want.Shape) || len(got.Data) != len(want.Data) {
			t.Fatalf("%s: %v %v, %v", want.Name, got.Shape, len(got.Data), err)
		}
		for i := range want.Data {
			if math.Float32bits(got.Data[i]) != math.Float32bits(want.Data[i]) {
				t.Fatalf("%s: element %d is %v, want %v", want.Name, i, got.Data[i], want.Data[i])
			}
		}
	}
	if _, err := w.Tensor("nobody"); err == nil || w.Has("nobody") || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a tensor that is not there: %v", err)
	}
	var again bytes.Buffer
	if WriteWeights(&again, tensors, meta); !bytes.Equal(again.Bytes(), b.Bytes()) {
		t.Error("the same tensors give another file")
	}
}

func TestWriteWeightsRefuses(t *testing.T) {
	for want, tensors := range map[string][]Tensor{
		"3 elements":  {{"a", gpu.Shape{2, 2}, make([]float32, 3)}},
		"given twice": {{"a", nil, make([]float32, 1)}, {"a", nil, make([]float32, 1)}},
		"keeps this":  {{"__metadata__", nil, make([]float32, 1)}},
	} {
		var b bytes.Buffer
		if err := WriteWeights(&b, tensors, nil); err == nil || !strings.Contains(err.Error(), want) || b.Len() > 0 {
			t.Errorf("%v after %d bytes, want an error with %q after none", err, b.Len(), want)
		}
	}
	if err := WriteWeights(full{}, []Tensor{{"a", nil, make([]float32, 1)}}, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a full disk: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

// Other people's dtypes become float32.
func TestReadDTypes(t *testing.T) {
	for dtype, c := range map[string]struct {
		data []byte
		want []float32
	}{
		"F32":  {[]byte{0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0}, []float32{1, -2.5}},
		"F64":  {append(binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1)), binary.LittleEndian.AppendUint64(nil, math.Float64bits(-1e300))...), []float32{0.1, float32(math.Inf(-1))}},
		"F16":  {[]byte{0, 0x3c, 1, 0, 0xff, 0x7b, 0, 0xfc}, []float32{1, 0x1p-24, 65504, float32(math.Inf(-1))}},
		"BF16": {[]byte{0x80, 0x3f, 0x20, 0xc0, 1, 0}, []float32{1, -2.5, 0x1p-133}},
		"I64":  {append(binary.LittleEndian.AppendUint64(nil, 5), bytes.Repeat([]byte{0xff}, 8)...), []float32{5, -1}},
	} {
		n := len(c.want)
		w, err := open(file(`{"t":{"dtype":"`+dtype+`","shape":[`+string(rune('0'+n))+`],"data_offsets":[0,`+itoa(len(c.data))+`]}}`, c.data))
		if err != nil {
			t.Errorf("%s: %v", dtype, err)
			continue
		}
		if got, err := w.Tensor("t"); err != nil || !slices.Equal(got.Data, c.want) {
			t.Errorf("%s: %v, %v; want %v", dtype, got.Data, err, c.want)
		}
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestMalformedWeights(t *testing.T) {
	tensor := func(text string) []byte { return file(`{"t":`+text+`}`, make([]byte, 16)) }
	for want, b := range map[string][]byte{
		"EOF":                                            nil,
		"header of 100 bytes":                            append(binary.LittleEndian.AppendUint64(nil, 100), "{}"...),
		"header of 184467440737095":                      append(bytes.Repeat([]byte{0xff}, 8), "{}"...),
		"header of 104857601 bytes":                      append(binary.LittleEndian.AppendUint64(nil, 100<<20+1), "{}"...),
		"header: unexpected end":                         file(`{"t":`, nil),
		"header: invalid":                                file("\x00\x01\x02", nil),
		"cannot unmarshal array":                         file(`[]`, nil),
		"metadata: json":                                 file(`{"__metadata__":{"a":1}}`, nil),
		"tensor t: json: cannot unmarshal string":        tensor(`"F32"`),
		"tensor t: json: cannot unmarshal number -":      tensor(`{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}`),
		`dtype "F8"`:                                     tensor(`{"dtype":"F8","shape":[4],"data_offsets":[0,4]}`),
		`dtype ""`:                                       tensor(`{}`),
		"bytes 0 to 20 of 16":                            tensor(`{"dtype":"F32","shape":[5],"data_offsets":[0,20]}`),
		"bytes 8 to 4 of 16":                             tensor(`{"dtype":"F32","shape":[1],"data_offsets":[8,4]}`),
		"shape [3] of F32 in 16 bytes":                   tensor(`{"dtype":"F32","shape":[3],"data_offsets":[0,16]}`),
		"shape [] of F32 in 16 bytes":                    tensor(`{"dtype":"F32","shape":[],"data_offsets":[0,16]}`),
		"shape [-1] of more":                             tensor(`{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}`),
		"shape [4294967296 4294967296 4] of more":        tensor(`{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}`),
		"shape [4611686018427387904 0] of F32":           tensor(`{"dtype":"F32","shape":[4611686018427387904,0],"data_offsets":[0,4]}`),
		"tensor b: its bytes belong to another one, too": file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, make([]byte, 16)),
	} {
		if _, err := open(b); err == nil || !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want ErrWeights with %q", err, want)
		}
	}
	// A file that shrinks after its header was read.
	b := tensor(`{"dtype":"F32","shape":[4],"data_offsets":[0,16]}`)
	w, err := ReadWeights(bytes.NewReader(b[:len(b)-8]), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Tensor("t"); err == nil || !strings.Contains(err.Error(), "tensor t") {
		t.Errorf("data cut short: %v", err)
	}
}

// OHWI to OIHW and back, against indices written out.
func TestLayouts(t *testing.T) {
	const o, h, w, in = 3, 2, 5, 4
	v := &graph.Value{Name: "w", Shape: gpu.Shape{o, h, w, in}}
	data := make([]float32, v.Shape.Elems())
	for i := range data {
		data[i] = float32(i)
	}
	torch := ToTorch(v, data)
	if torch.Name != "w" || !torch.Shape.Equal(gpu.Shape{o, in, h, w}) {
		t.Fatalf("%s %v", torch.Name, torch.Shape)
	}
	for a := range o {
		for b := range h {
			for c := range w {
				for d := range in {
					if got, want := torch.Data[((a*in+d)*h+b)*w+c], data[((a*h+b)*w+c)*in+d]; got != want {
						t.Fatalf("[%d,%d,%d,%d] is %v, want %v", a, d, b, c, got, want)
					}
				}
			}
		}
	}
	back, err := FromTorch(v, torch)
	if err != nil || !slices.Equal(back, data) {
		t.Errorf("there and back: %v", err)
	}
	for _, s := range []gpu.Shape{{7}, {3, 5}, {1}} {
		v := &graph.Value{Name: "v", Shape: s}
		data := data[:s.Elems()]
		tt := ToTorch(v, data)
		if back, err := FromTorch(v, tt); err != nil || !tt.Shape.Equal(s) || !slices.Equal(back, data) || !slices.Equal(tt.Data, data) {
			t.Errorf("%v: %v becomes %v, %v", s, data, back, err)
		}
	}
	torch.Shape = gpu.Shape{o, h, w, in}
	if _, err := FromTorch(v, torch); err == nil || !strings.Contains(err.Error(), "3×4×2×5") {
		t.Errorf("a tensor of another shape: %v", err)
	}
}

// FuzzReadWeights: no file makes the reader panic or take memory beyond a few times
// its size, and what can be read can be written and read again.
func FuzzReadWeights(f *testing.F) {
	seeds, err := filepath.Glob("testdata/seeds/*")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := open(b)
		if err != nil {
			if !errors.Is(err, ErrWeights) {
				t.Fatalf("%v is not ErrWeights", err)
			}
			return
		}
		var all []Tensor
		bytesRead := 0
		for _, name := range w.Names() {
			tensor, err := w.Tensor(name)
			if err != nil || tensor.Shape.Elems() != len(tensor.Data) {
				t.Fatalf("%s: %v of %d elements, %v", name, tensor.Shape, len(tensor.Data), err)
			}
			bytesRead += len(tensor.Data)
			all = append(all, tensor)
		}
		if bytesRead > len(b) {
			t.Fatalf("%d elements in a file of %d bytes", bytesRead, len(b))
		}
		var out bytes.Buffer
		if err := WriteWeights(&out, all, w.Metadata); err != nil {
			t.Fatal(err)
		}
		again, err := open(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range all {
			got, err := again.Tensor(want.Name)
			if err != nil || !got.Shape.Equal(want.Shape) {
				t.Fatalf("%s: %v, %v", want.Name, got.Shape, err)
			}
			for i, v := range want.Data {
				if math.Float32bits(got.Data[i]) != math.Float32bits(v) {
					t.Fatalf("%s: element %d changes", want.Name, i)
				}
			}
		}
	})
}
