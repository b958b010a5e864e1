package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"bagpipe/internal/cli"
	"bagpipe/shards"
)

type verifyCmd struct {
	Dir   string `arg:"" help:"Data set."`
	Quiet bool   `short:"q" help:"Print faults only."`
}

// Run reads every byte of a data set.
func (c *verifyCmd) Run(ctx context.Context, s streams) error {
	var read int64
	faults, err := shards.Verify(ctx, c.Dir, func(n int64) { read += n })
	for _, f := range faults {
		fmt.Fprintln(s.Err, f)
	}
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		fmt.Fprintf(s.Err, "shardify: %s: %d faults\n", c.Dir, len(faults))
		return cli.ErrTold
	}
	m, err := shards.ReadManifest(c.Dir)
	if err != nil {
		return err
	}
	if !c.Quiet {
		fmt.Fprintf(s.Out, "%s: sound, %s read, hash %s\n", c.Dir, cli.Bytes(read), m.Hash)
	}
	return nil
}

type lsCmd struct {
	Dir  string `arg:"" help:"Data set."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// listing is what ls --json prints.
type listing struct {
	Splits  map[string]splitListing `json:"splits"`
	Classes []string                `json:"classes"`
	Codec   string                  `json:"codec"`
	Hash    string                  `json:"hash"`
}

type splitListing struct {
	Records     int   `json:"records"`
	Bytes       int64 `json:"bytes"`
	SourceBytes int64 `json:"source_bytes"`
	Bad         int   `json:"bad"`
}

func newListing(m *shards.Manifest) listing {
	l := listing{Splits: map[string]splitListing{}, Classes: m.Classes, Codec: m.Codec, Hash: m.Hash}
	for _, s := range m.Splits {
		l.Splits[s.Name] = splitListing{s.Records, s.Bytes, s.SourceBytes, s.Bad}
	}
	return l
}

// Run says what the manifest says.
func (c *lsCmd) Run(s streams) error {
	m, err := shards.ReadManifest(c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(newListing(m))
	}
	for _, sp := range m.Splits {
		fmt.Fprintf(s.Out, "%-6s %9d records  %10s  %d shards  %d bad  %d skipped\n", sp.Name, sp.Records, cli.Bytes(sp.Bytes), len(sp.Shards), sp.Bad, sp.Skipped)
	}
	fmt.Fprintf(s.Out, "%d classes, codec %s, hash %s\n", len(m.Classes), m.Codec, m.Hash)
	if t := m.Stats; t != nil {
		fmt.Fprintf(s.Out, "mean %.3f  std %.3f  eigenvalues %.3f  (RGB levels 0..255, %d pictures)\n", t.Mean, t.Std, t.EigenValues, t.Pictures)
	}
	for _, b := range m.Bad {
		fmt.Fprintln(s.Out, badLine(b))
	}
	return nil
}

// badLine names a picture left out, in letters that leave a terminal alone.
func badLine(b shards.Bad) string {
	line := strconv.QuoteToGraphic(fmt.Sprintf("bad: %s/%s: %s", b.Split, b.Name, b.Reason))
	return line[1 : len(line)-1]
}

type catCmd struct {
	Dir   string `arg:"" help:"Data set."`
	Split string `arg:"" help:"train, val or test."`
	Index int    `arg:"" help:"Record number, from 0."`
}

// Run writes the bytes of one picture.
func (c *catCmd) Run(s streams) error {
	d, err := shards.Open(c.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	sp, err := d.Split(c.Split)
	if err != nil {
		return err
	}
	if c.Index < 0 || c.Index >= sp.Len() {
		return fmt.Errorf("%s: record %d of split %s, there are 0 to %d", c.Dir, c.Index, sp.Name, sp.Len()-1)
	}
	b, err := sp.Read(c.Index, nil)
	if err != nil {
		return err
	}
	_, err = s.Out.Write(b)
	return err
}
