package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"bagpipe/gpu"
	"bagpipe/internal/cli"
)

// remedies says for each kind of device what it takes when its backend is not in
// the build.
var remedies = map[string]string{
	"cpu":  "build pipe with gpu/host",
	"cuda": "there is no CUDA backend yet: use --device cpu",
}

// kinds lists the kinds of devices, in this build or not.
func kinds() []string {
	names := []string{}
	for k := range remedies {
		names = append(names, k)
	}
	for _, b := range gpu.Backends() {
		if !slices.Contains(names, b.Kind()) {
			names = append(names, b.Kind())
		}
	}
	slices.Sort(names)
	return names
}

func backend(kind string) gpu.Backend {
	for _, b := range gpu.Backends() {
		if b.Kind() == kind {
			return b
		}
	}
	return nil
}

var deviceSpec = regexp.MustCompile(`^[a-z]+(:[0-9]+(, *[a-z]+:[0-9]+)*)?$`)

// devices are opened devices of one backend.
type devices struct {
	backend gpu.Backend
	list    []gpu.Device
}

// openDevices opens the devices of --device. A wrong specification is a fault of
// the command line, a missing device is not.
func openDevices(spec string) (devices, error) {
	kind, _, _ := strings.Cut(spec, ":")
	if kind != "auto" && backend(kind) == nil {
		if remedy, known := remedies[kind]; known {
			return devices{}, fmt.Errorf("--device %s: not in this build (%s)", spec, remedy)
		}
		return devices{}, cli.OneOf("device", kind, append(kinds(), "auto"), "pipe devices lists all")
	}
	b, list, err := gpu.Open(spec)
	if err != nil && (!deviceSpec.MatchString(spec) || twice(spec)) {
		err = cli.Wrong(err)
	}
	return devices{b, list}, err
}

// twice reports whether a list names a device twice.
func twice(spec string) bool {
	names := strings.Split(strings.ReplaceAll(spec, " ", ""), ",")
	slices.Sort(names)
	return len(slices.Compact(names)) < strings.Count(spec, ",")+1
}

// openDevice opens the one device that --device names.
func openDevice(spec string) (devices, error) {
	if strings.Contains(spec, ",") {
		return devices{}, cli.Wrongf("--device %s: this command computes on one device", spec)
	}
	return openDevices(spec)
}

func (d devices) close() error {
	var errs []error
	for _, dev := range d.list {
		errs = append(errs, dev.Close())
	}
	return errors.Join(errs...)
}

func (d devices) String() string {
	names := make([]string, len(d.list))
	for i, dev := range d.list {
		names[i] = dev.Name()
	}
	return strings.Join(names, ",")
}

type devicesCmd struct {
	JSON bool `name:"json" help:"Print one JSON object."`
}

// Help shows examples.
func (devicesCmd) Help() string {
	return `Examples:
  pipe devices
  pipe devices --json`
}

// deviceList is what devices --json prints.
type deviceList struct {
	Devices  []deviceLine  `json:"devices"`
	Backends []backendLine `json:"backends"`
}

type deviceLine struct {
	Name    string `json:"name"`
	Model   string `json:"model"`
	Threads int    `json:"threads,omitempty"`
	Memory  int64  `json:"memory"` // bytes
	Library string `json:"library"`
}

type backendLine struct {
	Kind   string `json:"kind"`
	Usable bool   `json:"usable"`
	Why    string `json:"why,omitempty"` // not usable, and what to do
}

// Run lists what every backend has.
func (c *devicesCmd) Run(s cli.Streams) error {
	list := deviceList{}
	for _, kind := range kinds() {
		lines, err := look(kind)
		b := backendLine{Kind: kind, Usable: err == nil}
		if err != nil {
			b.Why = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		list.Devices = append(list.Devices, lines...)
		list.Backends = append(list.Backends, b)
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(list)
	}
	for _, d := range list.Devices {
		fmt.Fprintf(s.Out, "%-8s %s, %s of memory", d.Name, d.Model, cli.Bytes(d.Memory))
		if d.Threads > 0 {
			fmt.Fprintf(s.Out, ", %d threads", d.Threads)
		}
		fmt.Fprintf(s.Out, ", %s\n", d.Library)
	}
	for _, b := range list.Backends {
		if !b.Usable {
			fmt.Fprintf(s.Out, "%-8s none: %s\n", b.Kind, b.Why)
		}
	}
	return nil
}

// look opens every device of a kind and asks what it is.
func look(kind string) ([]deviceLine, error) {
	b := backend(kind)
	if b == nil {
		return nil, fmt.Errorf("not in this build (%s)", remedies[kind])
	}
	n, err := b.Count()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("the machine has none")
	}
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	list, err := b.Open(ids)
	if err != nil {
		return nil, err
	}
	defer devices{b, list}.close()
	var lines []deviceLine
	for _, d := range list {
		i := d.Info()
		lines = append(lines, deviceLine{d.Name(), i.Model, i.Threads, i.Memory, i.Library})
	}
	return lines, nil
}
