package main

import (
	"path/filepath"
	"strings"
	"testing"

	"bagpipe/bench"
	"bagpipe/internal/cli"
)

// TestMemory gives every command that has the flag a ceiling: enough, too little, and no size.
func TestMemory(t *testing.T) {
	set, _ := pictures()
	commands := map[string][]string{
		"bench": {"bench", "--data", set, "--size", "32", "--images", "50", "--workers", "2"},
		"eval":  {"eval", "--data", set, "--model", model()},
	}
	for name, args := range commands {
		code, out, errs := pipe(append(args, "--memory", "1GiB")...)
		if code != cli.OK || !strings.Contains(errs, "memory: ") || !strings.Contains(errs, " of 1 GiB: 3 batches of ") {
			t.Errorf("%s: code %d, %q, %q", name, code, out, errs)
		}
		if code, _, errs := pipe(append(args, "--memory", "20MiB")...); code != cli.Failure || !strings.Contains(errs, "want at least ") {
			t.Errorf("%s with 20 MiB: code %d, %q", name, code, errs)
		}
		if code, _, errs := pipe(append(args, "--memory", "lots")...); code != cli.Usage || !strings.Contains(errs, "512MiB") {
			t.Errorf("%s with lots: code %d, %q", name, code, errs)
		}
	}
	var r bench.Result
	decode(t, pipeOK(t, append(commands["bench"], "--memory", "1GiB", "--json")...), &r)
	if r.Memory == nil || r.Memory.Ceiling != 1<<30 || r.Memory.Ring != 3 {
		t.Errorf("bench tells %+v", r.Memory)
	}
}

// TestTrainingBelowACeiling compares what a training comes to with and without one.
func TestTrainingBelowACeiling(t *testing.T) {
	var plain, held trained
	more := []string{"--epochs", "1", "--set", "warmup_epochs=0", "--json"}
	decode(t, pipeOK(t, trainArgs(filepath.Join(t.TempDir(), "a"), more...)...), &plain)
	args := trainArgs(filepath.Join(t.TempDir(), "b"), append(more, "--memory", "1GiB")...)
	code, out, errs := pipe(args...)
	if code != cli.OK || !strings.Contains(errs, "memory: ") || !strings.Contains(errs, "one of 2 inputs") {
		t.Fatalf("code %d: %s", code, errs)
	}
	decode(t, out, &held)
	if held.Loss != plain.Loss || held.Top1 != plain.Top1 {
		t.Errorf("loss %g, top-1 %g, without a ceiling %g, %g", held.Loss, held.Top1, plain.Loss, plain.Top1)
	}
	run := filepath.Join(t.TempDir(), "c")
	if code, _, errs := pipe(trainArgs(run, "--memory", "30MiB")...); code != cli.Failure || !strings.Contains(errs, "want at least ") {
		t.Errorf("30 MiB: code %d, %s", code, errs)
	}
}
