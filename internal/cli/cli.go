// Package cli is what Bagpipe's programs have in common on the command line: one-line
// errors that name the nearest word there is, exit codes, signals, the progress bar
// and numbers for people. It knows no pictures and no devices.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"bagpipe/internal/cores"
	"bagpipe/internal/nearest"
)

// Exit codes.
const (
	OK      = 0
	Failure = 1
	Usage   = 2 // the command line is wrong
)

// Streams are what commands talk to: results go to Out, all else to Err.
type Streams struct{ Out, Err io.Writer }

// UsageError is a fault of the command line that the parser cannot see.
type UsageError struct{ error }

// Unwrap lets errors.Is and As look inside.
func (e UsageError) Unwrap() error { return e.error }

// Wrong makes err a fault of the command line.
func Wrong(err error) error {
	if err == nil {
		return nil
	}
	return UsageError{err}
}

// Wrongf formats a fault of the command line.
func Wrongf(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// ErrTold ends a command in failure without another word: it has told already.
var ErrTold = errors.New("told already")

// Program is a command line. Commands are fields of Grammar with a Run method, whose
// arguments may be a context.Context and Streams.
type Program struct {
	Name        string
	Description string // first line, examples
	Grammar     any    // pointer to a fresh struct as kong wants it
	Stopped     string // what to say when a signal ended a command
	// Check looks at the arguments with an eye of its own, whether kong took them
	// or not; may be nil.
	Check func(parser *kong.Kong, args []string) error
}

// Main runs a program as a process. SIGINT and SIGTERM end the command's context; a
// second one ends the process at once.
func Main(run func(ctx context.Context, args []string, s Streams) int) {
	cores.Spare()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], Streams{os.Stdout, os.Stderr}))
}

// Run parses args, runs the command and returns the exit code.
func (p Program) Run(ctx context.Context, args []string, s Streams) int {
	exited := -1
	parser, err := kong.New(p.Grammar, kong.Name(p.Name), kong.Description(p.Description), kong.UsageOnError(),
		kong.Writers(s.Out, s.Err), kong.Exit(func(code int) {
			if exited < 0 {
				exited = code
			}
		}), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		fmt.Fprintf(s.Err, "%s: %v\n", p.Name, err)
		return Failure
	}
	if len(args) == 0 {
		parser.Stdout = s.Err
		parser.Parse([]string{"--help"})
		return Usage
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err = p.explain(parser, args, err); err == nil {
		err = k.Run()
	} else {
		err = UsageError{err}
	}
	return p.end(ctx, s, err)
}

// explain adds the nearest word to an error of the parser that lacks it.
func (p Program) explain(parser *kong.Kong, args []string, err error) error {
	if err != nil && strings.Contains(err.Error(), "did you mean") {
		return err
	}
	if word, ok := unknownFlag(err); ok {
		return fmt.Errorf("unknown flag %s, nearest is %s", word, nearest.Word(word, flags(err)))
	}
	if p.Check != nil {
		if e := p.Check(parser, args); e != nil {
			return e
		}
	}
	return err
}

// end says how a command ended.
func (p Program) end(ctx context.Context, s Streams, err error) int {
	var u UsageError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &u):
		hint := fmt.Sprintf(" (see %s --help)", p.Name)
		if strings.HasSuffix(err.Error(), ")") {
			hint = "" // there is a remedy already
		}
		fmt.Fprintf(s.Err, "%s: %s%s\n", p.Name, line(err), hint)
		return Usage
	case errors.Is(err, ErrTold):
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(s.Err, "%s: %s\n", p.Name, p.Stopped)
	default:
		fmt.Fprintf(s.Err, "%s: %s\n", p.Name, line(err))
	}
	return Failure
}

// line is an error on one line, followed by the lines of a stack if it has one:
// joined by semicolons they could not be read.
func line(err error) string {
	text, stack, found := strings.Cut(err.Error(), "\ngoroutine ")
	text = strings.ReplaceAll(text, "\n", "; ")
	if found {
		text += "\ngoroutine " + strings.TrimRight(stack, "\n")
	}
	return text
}
