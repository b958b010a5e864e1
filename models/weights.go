package models

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// A Tensor is a named float32 array in row-major order, in torchvision's layout:
// convolution weights are OIHW.
type Tensor struct {
	Name  string
	Shape gpu.Shape
	Data  []float32
}

// safetensors: an 8-byte little-endian length, that many bytes of JSON naming each
// tensor's dtype, shape and byte range, and the ranges themselves
// (https://huggingface.co/docs/safetensors). The Go modules found for it read
// whole files into memory without bounding the header, so this is our own.
const maxHeader = 100 << 20 // the reference implementation's limit

type entry struct {
	DType   string    `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// WriteWeights writes tensors as a safetensors file.
func WriteWeights(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	header := map[string]any{}
	if len(metadata) > 0 {
		header["__metadata__"] = metadata
	}
	at := uint64(0)
	for _, t := range tensors {
		if t.Shape.Elems() != len(t.Data) {
			return fmt.Errorf("models: tensor %s: %d elements for shape %v", t.Name, len(t.Data), t.Shape)
		}
		if t.Name == "__metadata__" {
			return fmt.Errorf("models: tensor %s: the format keeps this name for itself", t.Name)
		}
		if _, twice := header[t.Name]; twice {
			return fmt.Errorf("models: tensor %s: given twice", t.Name)
		}
		end := at + 4*uint64(len(t.Data))
		header[t.Name] = entry{"F32", append([]int{}, t.Shape...), [2]uint64{at, end}} // of a scalar [], not null
		at = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 { // so that the data is aligned in a mapped file
		text = append(text, ' ')
	}
	out := bufio.NewWriterSize(w, 1<<20)
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
	out.Write(text)
	var buf []byte
	for _, t := range tensors {
		buf, err = binary.Append(buf[:0], binary.LittleEndian, t.Data)
		if err != nil {
			return err
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
	return out.Flush()
}

// Weights is an opened safetensors file.
type Weights struct {
	Metadata map[string]string

	entries map[string]entry
	r       io.ReaderAt
	base    int64
}

// ErrWeights is wrapped by every error that malformed weights give.
var ErrWeights = errors.New("not a valid safetensors file")

// ReadWeights reads and checks the header of a safetensors file of size bytes.
func ReadWeights(r io.ReaderAt, size int64) (*Weights, error) {
	var head [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("models: %w: %v", ErrWeights, err)
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > maxHeader || int64(n)+8 > size {
		return nil, fmt.Errorf("models: %w: header of %d bytes in a file of %d", ErrWeights, n, size)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, fmt.Errorf("models: %w: %v", ErrWeights, err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("models: %w: header: %v", ErrWeights, err)
	}
	w := &Weights{entries: map[string]entry{}, r: r, base: 8 + int64(n)}
	for name, msg := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(msg, &w.Metadata); err != nil {
				return nil, fmt.Errorf("models: %w: metadata: %v", ErrWeights, err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(msg, &e); err != nil {
			return nil, fmt.Errorf("models: %w: tensor %s: %v", ErrWeights, name, err)
		}
		if err := e.check(uint64(size - w.base)); err != nil {
			return nil, fmt.Errorf("models: %w: tensor %s: %v", ErrWeights, name, err)
		}
		w.entries[name] = e
	}
	return w, w.overlap()
}

// check refuses ranges outside the data and shapes that do not match them.
func (e entry) check(data uint64) error {
	width, ok := map[string]uint64{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}[e.DType]
	if !ok {
		return fmt.Errorf("dtype %q, want F64, F32, F16, BF16 or I64", e.DType)
	}
	if e.Offsets[0] > e.Offsets[1] || e.Offsets[1] > data {
		return fmt.Errorf("bytes %d to %d of %d", e.Offsets[0], e.Offsets[1], data)
	}
	elems, empty := uint64(1), slices.Contains(e.Shape, 0)
	for _, d := range e.Shape {
		if d < 0 || !empty && elems > data/uint64(d) {
			return fmt.Errorf("shape %v of more than %d bytes", e.Shape, data)
		}
		elems *= uint64(d)
	}
	if empty {
		elems = 0
	}
	if elems*width != e.Offsets[1]-e.Offsets[0] {
		return fmt.Errorf("shape %v of %s in %d bytes", e.Shape, e.DType, e.Offsets[1]-e.Offsets[0])
	}
	return nil
}

// overlap refuses two tensors that share bytes.
func (w *Weights) overlap() error {
	names := w.Names()
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(w.entries[a].Offsets[0], w.entries[b].Offsets[0]) })
	end := uint64(0)
	for _, name := range names {
		o := w.entries[name].Offsets
		if o[0] < end && o[0] < o[1] {
			return fmt.Errorf("models: %w: tensor %s: its bytes belong to another one, too", ErrWeights, name)
		}
		end = max(end, o[1])
	}
	return nil
}

// Names returns the tensors' names, sorted.
func (w *Weights) Names() []string {
	names := make([]string, 0, len(w.entries))
	for name := range w.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Has reports whether there is a tensor of the name.
func (w *Weights) Has(name string) bool { _, ok := w.entries[name]; return ok }

// Tensor reads one tensor; half-precision and integer types become float32.
func (w *Weights) Tensor(name string) (Tensor, error) {
	e, ok := w.entries[name]
	if !ok {
		return Tensor{}, fmt.Errorf("models: no tensor %q among the %d of this file", name, len(w.entries))
	}
	raw := make([]byte, e.Offsets[1]-e.Offsets[0])
	if _, err := w.r.ReadAt(raw, w.base+int64(e.Offsets[0])); err != nil && len(raw) > 0 {
		return Tensor{}, fmt.Errorf("models: tensor %s: %w", name, err)
	}
	t := Tensor{Name: name, Shape: e.Shape, Data: make([]float32, gpu.Shape(e.Shape).Elems())}
	le := binary.LittleEndian
	for i := range t.Data {
		switch e.DType {
		case "F32":
			t.Data[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		case "F64":
			t.Data[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		case "I64":
			t.Data[i] = float32(int64(le.Uint64(raw[8*i:])))
		case "BF16":
			t.Data[i] = gpu.FromBFloat16(le.Uint16(raw[2*i:]))
		case "F16":
			t.Data[i] = gpu.FromFloat16(le.Uint16(raw[2*i:]))
		}
	}
	return t, nil
}

// ToTorch turns the contents of v, in the graph's layout, into a tensor of
// torchvision's: OHWI becomes OIHW, everything else stays.
func ToTorch(v *graph.Value, data []float32) Tensor {
	t := Tensor{Name: v.Name, Shape: torchShape(v), Data: data}
	if len(v.Shape) == 4 {
		t.Data = make([]float32, len(data))
		reorder(t.Data, data, v.Shape[0], v.Shape[1]*v.Shape[2], v.Shape[3])
	}
	return t
}

// FromTorch returns t in the layout of v.
func FromTorch(v *graph.Value, t Tensor) ([]float32, error) {
	if want := torchShape(v); !t.Shape.Equal(want) {
		return nil, fmt.Errorf("models: tensor %s is %v, the model wants %v", t.Name, t.Shape, want)
	}
	if len(v.Shape) != 4 {
		return t.Data, nil
	}
	data := make([]float32, len(t.Data))
	reorder(data, t.Data, v.Shape[0], v.Shape[3], v.Shape[1]*v.Shape[2])
	return data, nil
}

func torchShape(v *graph.Value) gpu.Shape {
	if len(v.Shape) == 4 {
		return gpu.Shape{v.Shape[0], v.Shape[3], v.Shape[1], v.Shape[2]}
	}
	return v.Shape
}

// reorder transposes each of n matrices of rows x cols.
func reorder(dst, src []float32, n, rows, cols int) {
	for i := range n {
		a, b := src[i*rows*cols:(i+1)*rows*cols], dst[i*rows*cols:(i+1)*rows*cols]
		for r := range rows {
			for c := range cols {
				b[c*rows+r] = a[r*cols+c]
			}
		}
	}
}
