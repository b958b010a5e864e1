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
	"fmt"
	"os"
	"strings"

	"bagpipe/internal/cli"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Make   makeCmd   `cmd:"" default:"withargs" help:"Turn a folder of pictures into a data set (the default)."`
	Verify verifyCmd `cmd:"" help:"Read every byte of a data set and report all faults."`
	Ls     lsCmd     `cmd:"" help:"Say what is in a data set."`
	Cat    catCmd    `cmd:"" help:"Write one record to standard output."`
}

// streams are what the commands talk to.
type streams = cli.Streams

func main() { cli.Main(run) }

const description = `Turn a folder of pictures into large record files, checked and ready for training.

Examples:
  shardify imagenet/                         # train/ and val/ below, or train.tar.gz and val.tar
  shardify photos -o photos.shards --val-fraction 0.1
  shardify verify photos.shards
  shardify ls --json photos.shards
  shardify cat photos.shards train 0 > first.jpg`

// run is main without the process.
func run(ctx context.Context, args []string, s streams) int {
	p := cli.Program{Name: "shardify", Description: description, Grammar: &grammar{},
		Stopped: "stopped, nothing was left behind", Check: misspelt}
	return p.Run(ctx, args, s)
}

// misspelt refuses "shardify verfy": a source that does not exist and reads like a command.
func misspelt(parser *kong.Kong, args []string) error {
	if strings.HasPrefix(args[0], "-") {
		return nil
	}
	if _, err := os.Stat(args[0]); err == nil {
		return nil
	}
	if near := cli.NearestCommand(parser, args[0]); near != "" && near != args[0] {
		return fmt.Errorf("no folder or command %q, did you mean %q?", args[0], near)
	}
	return nil
}
