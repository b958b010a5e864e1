package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"bagpipe/gpu"
)

// A Device is a share of this machine's cores. It implements graph.Compiler.
type Device struct {
	id, threads int
	native      *native // fast kernels' state; used by the worker only
	team        *team   // threads of the Go kernels

	jobs   chan job
	quit   chan struct{} // closed to end the worker
	closed chan struct{} // closed when the worker has ended
	once   sync.Once
}

// A job is a call to be made on the worker's thread.
type job struct {
	call func() error
	done chan<- error
}

func newDevice(id, threads int) *Device {
	d := &Device{id: id, threads: threads, jobs: make(chan job), quit: make(chan struct{}), closed: make(chan struct{})}
	ready := make(chan struct{})
	go d.work(ready)
	<-ready
	return d
}

// work is the device's one computing goroutine. It never unlocks its thread: the
// floating-point mode and the OpenMP team end with it.
func (d *Device) work(ready chan<- struct{}) {
	runtime.LockOSThread()
	d.native = openNative(d.threads)
	d.team = newTeam(d.threads)
	close(ready)
	defer close(d.closed)
	for {
		select {
		case j := <-d.jobs:
			j.done <- j.call()
		case <-d.quit:
			d.team.close()
			d.native.close()
			return
		}
	}
}

// do runs call on the worker; done must have room for one error.
func (d *Device) do(call func() error, done chan error) error {
	select {
	case d.jobs <- job{call, done}:
		return <-done
	case <-d.closed:
		return fmt.Errorf("host: %s: device is closed", d.Name())
	}
}

// Name implements gpu.Device.
func (d *Device) Name() string { return fmt.Sprintf("cpu:%d", d.id) }

// Info implements gpu.Device.
func (d *Device) Info() gpu.Info {
	return gpu.Info{Model: procField("/proc/cpuinfo", "model name", runtime.GOARCH), Threads: d.threads, Memory: memory(), Library: d.native.library()}
}

// Alloc implements gpu.Device.
func (d *Device) Alloc(size int) (gpu.Buffer, error) { return allocate(size) }

// AllocHost implements gpu.Device; all host memory is fit for direct copies here.
func (d *Device) AllocHost(size int) (gpu.HostBuffer, error) { return allocate(size) }

// NewStream implements gpu.Device.
func (d *Device) NewStream() (gpu.Stream, error) { return stream{}, nil }

// Close implements gpu.Device. It waits for a run in progress.
func (d *Device) Close() error {
	err := errors.New("host: " + d.Name() + ": device is closed already")
	d.once.Do(func() {
		close(d.quit)
		<-d.closed
		err = nil
	})
	return err
}

// procField returns the value of a field of a /proc text file, or other.
func procField(file, field, other string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return other
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == field {
			return strings.TrimSpace(v)
		}
	}
	return other
}

// memory returns the machine's memory in bytes, or 0 where it cannot be told.
func memory() int64 {
	var kb int64
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemTotal", "0"), "%d", &kb); err != nil {
		return 0
	}
	return kb << 10
}
