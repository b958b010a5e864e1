// Command shardify turns a folder of pictures into a data set of shards, and looks at such data sets.
//
//	shardify imagenet/             # train/ and val/ below, or train.tar and val.tar -> imagenet.shards/
//	shardify verify imagenet.shards
//	shardify ls imagenet.shards
//	shardify cat imagenet.shards train 0 > first.jpg
//
// It exits with 0 on success, 1 on failure, 2 when the command line is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/agext/levenshtein"
	"github.com/alecthomas/kong"
)

const (
	exitOK, exitFailure, exitUsage = 0, 1, 2
)

type cli struct {
	Make   makeCmd   `cmd:"" default:"withargs" help:"Turn a folder of pictures into a data set (the default)."`
	Verify verifyCmd `cmd:"" help:"Read every byte of a data set and report all faults."`
	Ls     lsCmd     `cmd:"" help:"Say what is in a data set."`
	Cat    catCmd    `cmd:"" help:"Write one record to standard output."`
}

// streams are what the commands talk to.
type streams struct{ out, err io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr}))
}

const description = `Turn a folder of pictures into large record files, checked and ready for training.

Examples:
  shardify imagenet/                         # train/ and val/ below, or train.tar.gz and val.tar
  shardify photos -o photos.shards --val-fraction 0.1
  shardify verify photos.shards
  shardify ls --json photos.shards
  shardify cat photos.shards train 0 > first.jpg`

// run is main without the process.
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("shardify"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(s.out, s.err), kong.Exit(func(code int) {
			if exited < 0 {
				exited = code
			}
		}), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		fmt.Fprintln(s.err, "shardify:", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
		s.out = s.err
		parser.Stdout = s.err
		parser.Parse(args)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err == nil {
		err = misspelt(parser, args)
	}
	if err != nil {
		fmt.Fprintf(s.err, "shardify: %v (see shardify --help)\n", suggest(parser, args, err))
		return exitUsage
	}
	err = k.Run()
	var u usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &u):
		fmt.Fprintf(s.err, "shardify: %v (see shardify --help)\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(s.err, "shardify: stopped, nothing was left behind")
	case errors.Is(err, errFaults):
		// listed already
	default:
		fmt.Fprintln(s.err, "shardify:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return exitFailure
}

// usageError is a fault of the command line that the parser cannot see.
type usageError struct{ error }

// misspelt refuses "shardify verfy": a source that does not exist and reads like a command.
func misspelt(parser *kong.Kong, args []string) error {
	if strings.HasPrefix(args[0], "-") {
		return nil
	}
	if _, err := os.Stat(args[0]); err == nil {
		return nil
	}
	if near := nearestCommand(parser, args[0]); near != "" && near != args[0] {
		return fmt.Errorf("no folder or command %q, did you mean %q?", args[0], near)
	}
	return nil
}

// suggest adds the nearest command to an error about arguments, where the parser has no idea.
func suggest(parser *kong.Kong, args []string, err error) error {
	if strings.Contains(err.Error(), "did you mean") || strings.Contains(err.Error(), "unknown flag") {
		return err
	}
	if e := misspelt(parser, args); e != nil {
		return e
	}
	return err
}

func nearestCommand(parser *kong.Kong, word string) string {
	best, at := "", 3 // more than two letters off is another word
	for _, n := range parser.Model.Children {
		if d := levenshtein.Distance(word, n.Name, nil); d < at && d < len(n.Name) {
			best, at = n.Name, d
		}
	}
	return best
}
