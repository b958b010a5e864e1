package gpu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Backend makes devices of one kind. Backends register themselves from init;
// only the programs under cmd decide which are linked in.
type Backend interface {
	// Kind is the part of a device name before the colon: "cpu", "cuda".
	Kind() string
	// Count returns how many devices there are, or an error that says why none
	// can be used and what to install.
	Count() (int, error)
	// Open opens the devices with the given numbers as one group. A host backend
	// divides its threads among them.
	Open(ids []int) ([]Device, error)
	// Connect joins devices opened together into one data-parallel group and
	// returns each one's Comm, in the order of devs.
	Connect(devs []Device) ([]Comm, error)
}

var registry = struct {
	sync.Mutex
	backends []Backend
}{}

// Register adds a backend. It panics on a second backend of the same kind.
func Register(b Backend) {
	registry.Lock()
	defer registry.Unlock()
	for _, o := range registry.backends {
		if o.Kind() == b.Kind() {
			panic("gpu: backend registered twice: " + b.Kind())
		}
	}
	registry.backends = append(registry.backends, b)
}

// Backends returns the registered backends, ordered by kind.
func Backends() []Backend {
	registry.Lock()
	defer registry.Unlock()
	bs := slices.Clone(registry.backends)
	slices.SortFunc(bs, func(a, b Backend) int { return strings.Compare(a.Kind(), b.Kind()) })
	return bs
}

// Open opens the devices of a specification: "cpu", "cuda:0", a list such as
// "cpu:0,cpu:1", or "auto", which is every CUDA device if there is one and the
// CPU otherwise. All devices of one call are of one kind and are returned with
// the Backend that made them.
func Open(spec string) (Backend, []Device, error) {
	kind, ids, err := parseSpec(spec)
	if err != nil {
		return nil, nil, err
	}
	if kind == "auto" {
		kind = "cpu"
		for _, b := range Backends() {
			if n, err := b.Count(); b.Kind() == "cuda" && err == nil && n > 0 {
				kind = "cuda"
			}
		}
	}
	var names []string
	for _, b := range Backends() {
		if names = append(names, b.Kind()); b.Kind() != kind {
			continue
		}
		n, err := b.Count()
		if err != nil {
			return nil, nil, fmt.Errorf("gpu: device %q: %w", spec, err)
		}
		if ids == nil {
			for i := range n {
				ids = append(ids, i)
			}
		}
		devs, err := b.Open(ids)
		return b, devs, err
	}
	return nil, nil, fmt.Errorf("gpu: device %q: no backend %q in this build, which has %s", spec, kind, strings.Join(names, ", "))
}

// parseSpec splits "cpu:0,cpu:1" into the kind and the numbers; nil numbers mean
// all devices of the kind.
func parseSpec(spec string) (kind string, ids []int, err error) {
	for _, part := range strings.Split(spec, ",") {
		k, num, numbered := strings.Cut(strings.TrimSpace(part), ":")
		if kind == "" {
			kind = k
		}
		if k != kind || k == "" {
			return "", nil, fmt.Errorf("gpu: device %q: all devices of a run must be of one kind, want such as cpu:0,cpu:1", spec)
		}
		if !numbered {
			if part != spec {
				return "", nil, fmt.Errorf("gpu: device %q: every device of a list needs its number, want such as cpu:0,cpu:1", spec)
			}
			return kind, nil, nil
		}
		n, err := strconv.Atoi(num)
		if err != nil || n < 0 {
			return "", nil, fmt.Errorf("gpu: device %q: %q is no device number, want such as cpu:0", spec, num)
		}
		if slices.Contains(ids, n) {
			return "", nil, fmt.Errorf("gpu: device %q: %s:%d is named twice", spec, kind, n)
		}
		ids = append(ids, n)
	}
	return kind, ids, nil
}
