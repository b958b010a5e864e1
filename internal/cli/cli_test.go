package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

type testGrammar struct {
	Work workCmd `cmd:""`
	Rest restCmd `cmd:""`
}

type workCmd struct {
	Speed int
	Fail  string
}

func (c *workCmd) Run(ctx context.Context, s Streams) error {
	switch c.Fail {
	case "usage":
		return Wrongf("--speed %d, want more", c.Speed)
	case "told":
		return ErrTold
	case "stopped":
		return fmt.Errorf("work: %w", ctx.Err())
	case "two":
		return errors.Join(errors.New("one"), errors.New("two"))
	case "panic":
		return errors.Join(errors.New("one"), errors.New("panic: two\ngoroutine 7 [running]:\nmain.f()\n\tf.go:1\n"))
	}
	fmt.Fprintln(s.Out, "done")
	return nil
}

type restCmd struct{}

func (c *restCmd) Run() error { return nil }

func TestRun(t *testing.T) {
	for _, c := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"", Usage, "", "Usage: toy"},
		{"--help", OK, "Usage: toy", ""},
		{"work --help", OK, "--speed", ""},
		{"work", OK, "done\n", ""},
		{"wrk", Usage, "", `toy: unexpected argument wrk, did you mean "work"? (see toy --help)` + "\n"},
		{"work --sped 1", Usage, "", `did you mean "--speed"`},
		{"work --velocity 1", Usage, "", "toy: unknown flag --velocity, nearest is --"},
		{"work --speed x", Usage, "", "--speed"},
		{"work --fail usage", Usage, "", "toy: --speed 0, want more (see toy --help)\n"},
		{"work --fail told", Failure, "", ""},
		{"work --fail stopped", Failure, "", "toy: halted\n"},
		{"work --fail two", Failure, "", "toy: one; two\n"},
		{"work --fail panic", Failure, "", "toy: one; panic: two\ngoroutine 7 [running]:\nmain.f()\n\tf.go:1\n"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		if strings.Contains(c.args, "stopped") {
			cancel()
		}
		var out, errs bytes.Buffer
		p := Program{Name: "toy", Description: "A toy.", Grammar: &testGrammar{}, Stopped: "halted"}
		code := p.Run(ctx, strings.Fields(c.args), Streams{&out, &errs})
		cancel()
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) ||
			c.out == "" && out.Len() > 0 || c.err == "" && errs.Len() > 0 {
			t.Errorf("toy %s: code %d, out %q, err %q; want %d, %q, %q", c.args, code, &out, &errs, c.code, c.out, c.err)
		}
	}
}

func TestOneOf(t *testing.T) {
	words := []string{"alpha", "beta", "gamma"}
	if err := OneOf("letter", "beta", words, "look it up"); err != nil {
		t.Error(err)
	}
	err := OneOf("letter", "bata", words, "look it up")
	var u UsageError
	if !errors.As(err, &u) || err.Error() != `no letter "bata", nearest is "beta" (look it up)` {
		t.Error(err)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Bytes(0): "0 B", Bytes(999): "999 B", Bytes(32860000): "32.86 MB", Bytes(1 << 62): "4.612e+06 TB",
		Count(12): "12", Count(25557032): "25.56 M", Count(4089000000): "4.089 G",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestProgressInPlainLines(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, "steps")
	p.Start(0, 3)
	p.Set(1, func() string { return "too early to show" })
	p.last = p.last.Add(-2 * plainEvery)
	p.Set(2, func() string { return "loss 1" })
	p.Printf("note %d", 1)
	p.Set(3, func() string { return "loss 0" })
	p.Finish(true)
	want := "2 of 3 steps, loss 1, 0s left\nnote 1\n3 of 3 steps, loss 0, 0s left\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	var quiet *Progress
	quiet.Start(0, 1)
	quiet.Set(1, nil)
	quiet.Printf("nothing")
	quiet.Finish(true)
}

func TestProgressEstimatesFromWhereItBegan(t *testing.T) {
	p := NewProgress(nil, "steps")
	p.first, p.total, p.begin = 100, 200, time.Unix(1000, 0)
	if left := p.left(time.Unix(1010, 0), 110); left != 90*time.Second {
		t.Errorf("%v left, want 90 s", left)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"8GiB": 8 << 30, "512 mib": 512 << 20, "2GB": 2e9, "1.5KiB": 1536, "7b": 7} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %d, want %d: %v", text, s, want, err)
		}
	}
	for _, text := range []string{"", "8", "GiB", "-1GiB", "0MiB", "8 Gigs", "1e30GiB", "nanGiB", "infB", "0x1pB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
