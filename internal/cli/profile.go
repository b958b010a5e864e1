package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
)

// Profile is the flags that look into a command at work, to be embedded in it. Samples
// carry the label stage (feed, read, vision, batch, upload, device): go tool pprof
// -tagfocus stage=vision FILE.
type Profile struct {
	CPU   string `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile for go tool pprof, labelled by stage."`
	Mem   string `name:"memprofile" placeholder:"FILE" help:"Write a profile of the memory held at the end."`
	Trace string `name:"trace" placeholder:"FILE" help:"Write an execution trace for go tool trace."`
}

// While runs f and writes what was asked for, whether f fails or not.
func (p Profile) While(f func() error) (err error) {
	var stops []func() error
	defer func() {
		for _, stop := range stops {
			err = errors.Join(err, stop())
		}
	}()
	begin := func(flag, name string, start func(*os.File) error, stop func(*os.File) error) error {
		if name == "" {
			return nil
		}
		file, err := os.Create(name)
		if err == nil {
			if err = start(file); err != nil {
				err = errors.Join(err, file.Close())
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		stops = append(stops, func() error { return errors.Join(stop(file), file.Close()) })
		return nil
	}
	if err := errors.Join(
		begin("--cpuprofile", p.CPU, func(f *os.File) error { return pprof.StartCPUProfile(f) },
			func(*os.File) error { pprof.StopCPUProfile(); return nil }),
		begin("--trace", p.Trace, func(f *os.File) error { return trace.Start(f) },
			func(*os.File) error { trace.Stop(); return nil }),
		begin("--memprofile", p.Mem, func(*os.File) error { return nil },
			func(f *os.File) error { runtime.GC(); return pprof.WriteHeapProfile(f) })); err != nil {
		return err
	}
	return f()
}
