package gpu

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestDTypeText(t *testing.T) {
	for dt, want := range map[DType]struct {
		name string
		size int
	}{Float32: {"float32", 4}, Float16: {"float16", 2}, BFloat16: {"bfloat16", 2}, Int32: {"int32", 4}, Uint8: {"uint8", 1}} {
		if dt.String() != want.name || dt.Size() != want.size {
			t.Errorf("%v of %d bytes, want %s of %d", dt, dt.Size(), want.name, want.size)
		}
		text, err := json.Marshal(map[string]DType{"t": dt})
		if err != nil || string(text) != `{"t":"`+want.name+`"}` {
			t.Errorf("%v in JSON: %s, %v", dt, text, err)
		}
		var back map[string]DType
		if err := json.Unmarshal(text, &back); err != nil || back["t"] != dt {
			t.Errorf("%s comes back as %v, %v", text, back, err)
		}
	}
	for _, bad := range []string{"", "fp16", "Float32", "float64", "float32 "} {
		if _, err := ParseDType(bad); err == nil || !strings.Contains(err.Error(), "bfloat16") {
			t.Errorf("ParseDType(%q): %v, want an error that lists the types", bad, err)
		}
	}
}

func TestShape(t *testing.T) {
	for _, c := range []struct {
		shape Shape
		elems int
		text  string
	}{{nil, 1, ""}, {Shape{7}, 7, "7"}, {Shape{128, 32, 31, 16}, 128 * 32 * 31 * 16, "128×32×31×16"}, {Shape{3, 0}, 0, "3×0"}} {
		if c.shape.Elems() != c.elems || c.shape.String() != c.text {
			t.Errorf("%d elements, %q; want %d, %q", c.shape.Elems(), c.shape, c.elems, c.text)
		}
		if !c.shape.Equal(slices.Clone(c.shape)) || c.shape.Equal(append(slices.Clone(c.shape), 1)) {
			t.Errorf("%v: Equal is wrong", c.shape)
		}
	}
	if (Shape{2, 3}).Equal(Shape{3, 2}) {
		t.Error("2×3 equals 3×2")
	}
}

func TestParseSpec(t *testing.T) {
	for spec, want := range map[string]struct {
		kind string
		ids  []int
	}{
		"cpu": {"cpu", nil}, "auto": {"auto", nil}, "cuda:3": {"cuda", []int{3}},
		"cpu:0,cpu:1": {"cpu", []int{0, 1}}, "cpu:5, cpu:2": {"cpu", []int{5, 2}},
	} {
		kind, ids, err := parseSpec(spec)
		if err != nil || kind != want.kind || !slices.Equal(ids, want.ids) {
			t.Errorf("%q: %q %v %v, want %q %v", spec, kind, ids, err, want.kind, want.ids)
		}
	}
	for spec, want := range map[string]string{
		"": "one kind", ":1": "one kind", "cpu:0,cuda:1": "one kind", "cpu:0,": "one kind",
		"cpu,cpu": "needs its number", "cpu:0,cpu": "needs its number", "cpu:x": `"x"`, "cpu:": `""`, "cpu:-1": `"-1"`,
		"cpu:1,cpu:1": "is named twice", "cpu:99999999999999999999": "is no device number",
	} {
		if _, _, err := parseSpec(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", spec, err, want)
		}
	}
}

// fakeBackend has devices that are only numbers.
type fakeBackend struct {
	kind  string
	count int
	err   error // of Count
	asked []int
}

func (b *fakeBackend) Kind() string        { return b.kind }
func (b *fakeBackend) Count() (int, error) { return b.count, b.err }
func (b *fakeBackend) Open(ids []int) ([]Device, error) {
	b.asked = ids
	return make([]Device, len(ids)), nil
}
func (b *fakeBackend) Connect([]Device) ([]Comm, error) { return nil, nil }

func TestOpen(t *testing.T) {
	defer func(old []Backend) { registry.backends = old }(registry.backends)
	registry.backends = nil
	if _, _, err := Open("cpu"); err == nil || !strings.Contains(err.Error(), `no backend "cpu"`) {
		t.Errorf("Open without backends: %v", err)
	}
	cuda, cpu := &fakeBackend{kind: "cuda", count: 2}, &fakeBackend{kind: "cpu", count: 1}
	Register(cuda)
	Register(cpu)
	if bs := Backends(); len(bs) != 2 || bs[0].Kind() != "cpu" {
		t.Errorf("Backends are %v, want cpu first", bs)
	}
	open := func(spec string, want Backend, ids ...int) {
		t.Helper()
		b, devs, err := Open(spec)
		if err != nil || b != want || len(devs) != len(ids) || !slices.Equal(want.(*fakeBackend).asked, ids) {
			t.Errorf("Open(%q): %v, %d devices, %v; want %s %v", spec, b, len(devs), err, want.Kind(), ids)
		}
	}
	open("cuda", cuda, 0, 1)
	open("cuda:1", cuda, 1)
	open("auto", cuda, 0, 1)
	open("cpu:0,cpu:1", cpu, 0, 1)
	cuda.count = 0
	open("auto", cpu, 0)
	cuda.err = errors.New("no driver: install it")
	open("auto", cpu, 0)
	if _, _, err := Open("cuda:0"); !errors.Is(err, cuda.err) || !strings.Contains(err.Error(), `"cuda:0"`) {
		t.Errorf("Open of a backend that cannot run: %v", err)
	}
	if _, _, err := Open("tpu"); err == nil || !strings.Contains(err.Error(), "cpu, cuda") {
		t.Errorf("Open of an unknown kind: %v, want the kinds of this build", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a second backend of one kind is not refused")
		}
	}()
	Register(&fakeBackend{kind: "cpu"})
}
