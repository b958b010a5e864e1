//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bagpipe/shards"
)

// TestMain lets the test program be shardify, for what only a process can show.
func TestMain(m *testing.M) {
	if os.Getenv("SHARDIFY_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// process prepares shardify as a process of its own; limits are words for the shell's ulimit.
func process(t testing.TB, limits string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	if limits != "" {
		c = exec.CommandContext(t.Context(), "sh", append([]string{"-c", "ulimit " + limits + ` && exec "$@"`, "sh", self}, args...)...)
	}
	c.Env = append(os.Environ(), "SHARDIFY_MAIN=1")
	var errs bytes.Buffer
	c.Stderr = &errs
	return c, &errs
}

// begun waits until the process writes.
func begun(t testing.TB, dst string) {
	t.Helper()
	for range 1000 {
		if list, _ := filepath.Glob(dst + ".partial/*.shard"); len(list) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("it never began to write")
}

// A signal in the middle ends the program in order; SIGKILL leaves no data set, only what the next run clears.
func TestSignals(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "photos"), filepath.Join(dir, "out.shards")
	photos(t, src, 500, 60)
	code, _, errs := command(t, src, "-o", dst+"1")
	if code != 0 {
		t.Fatal(errs)
	}
	whole, err := shards.ReadManifest(dst + "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL, syscall.SIGKILL} {
		for wait := range 3 {
			c, errs := process(t, "", src, "-o", dst, "--force")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			begun(t, dst)
			time.Sleep(time.Duration(wait) * 20 * time.Millisecond)
			c.Process.Signal(sig)
			err := c.Wait()
			m, mErr := shards.ReadManifest(dst)
			switch {
			case err == nil: // it was faster
				if mErr != nil || m.Hash != whole.Hash {
					t.Errorf("%v: %v", sig, mErr)
				}
				os.RemoveAll(dst)
			case mErr == nil && m.Hash != whole.Hash:
				t.Errorf("%v left another data set", sig)
			case mErr == nil && sig == syscall.SIGKILL: // after the rename
				os.RemoveAll(dst)
			case mErr == nil:
				t.Errorf("%v: a data set in spite of %v", sig, err)
			case sig != syscall.SIGKILL:
				if left, _ := filepath.Glob(dst + "*"); c.ProcessState.ExitCode() != 1 || len(left) != 1 || !strings.Contains(errs.String(), "nothing was left behind") {
					t.Errorf("%v: %v, left %v: %s", sig, err, left, errs)
				}
			}
		}
	}
	if code, _, errs := command(t, src, "-o", dst); code != 0 {
		t.Errorf("after the kills: %s", errs)
	}
	if m, err := shards.ReadManifest(dst); err != nil || m.Hash != whole.Hash {
		t.Errorf("after the kills: %v, %v", m, err)
	}
	if left, _ := filepath.Glob(dst + "*"); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// The system refuses to let a file grow, as a full disk does.
func TestFileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	photos(t, dir+"/photos", 50, 60)
	c, errs := process(t, "-f 64", dir+"/photos") // blocks of 512 bytes
	err := c.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(errs.String(), "the disk or its quota is full") || !strings.Contains(errs.String(), "photos.shards") {
		t.Errorf("%v: %s", err, errs)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// Large and hostile pictures stay within a budget of memory: one of these takes 300 MB as RGB, 6 of them at once
// would take 1.8 GB and more.
func TestMemoryOfLargePictures(t *testing.T) {
	dir := t.TempDir()
	large := bigPNG(10000, 10000)
	for i := range 6 {
		put(t, fmt.Sprintf("%s/photos/train/%c/%02d.png", dir, 'a'+i%2, i), large)
	}
	c, errs := process(t, "", dir+"/photos", "--workers", "6", "--stats", "0")
	if err := c.Run(); err != nil {
		t.Fatal(err, errs)
	}
	peak(t, c, 1200)
}

// peak checks the most memory that a process had, in MB.
func peak(t testing.TB, c *exec.Cmd, most int64) {
	t.Helper()
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); !ok || u.Maxrss>>10 > most {
		t.Errorf("peak of %d MB, want at most %d", u.Maxrss>>10, most)
	} else {
		t.Logf("peak of %d MB", u.Maxrss>>10)
	}
}
