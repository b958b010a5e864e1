package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"bagpipe/ingest"
	"bagpipe/internal/cli"
	"bagpipe/internal/nearest"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

type makeCmd struct {
	Src         string  `arg:"" help:"Folder with train/ and val/ (or test/), train.tar[.gz] and val.tar[.gz], or CLASS folders; or one tar."`
	Out         string  `short:"o" placeholder:"DIR" help:"Where the data set goes; default SRC.shards."`
	Workers     int     `help:"Goroutines that decode; 0 = one a core. Does not change the result."`
	Codec       string  `default:"auto" help:"auto, none, lz4 or zstd; a record keeps a codec only where it saves 5 %."`
	ShardSize   string  `default:"256MiB" help:"Size at which a shard is cut, as 256MiB or 500MB."`
	Stats       int     `default:"10000" help:"Training pictures to measure for mean, std and PCA; 0 = off."`
	ValFraction float64 `help:"Share of train to hold out as val, by a hash of the name, when there is only train."`
	Strict      bool    `help:"Fail on any bad picture."`
	MaxBad      string  `default:"1%" help:"Share of pictures that may be bad, as 1% or 0.01."`
	Force       bool    `help:"Replace a data set that is there already."`
	Quiet       bool    `short:"q" help:"Print errors only."`
	JSON        bool    `name:"json" help:"End with one JSON object instead of the summary."`
}

// Run turns the source into a data set.
func (c *makeCmd) Run(ctx context.Context, s streams) error {
	o, err := c.options()
	if err != nil {
		return cli.Wrong(err)
	}
	dst := c.Out
	if dst == "" {
		if dst, err = defaultOut(c.Src); err != nil {
			return err
		}
	}
	var p *cli.Progress
	if !c.Quiet {
		p = cli.NewProgress(s.Err, "pictures")
		o.Progress = follow(p)
	}
	report, err := ingest.Shardify(ctx, c.Src, dst, o)
	p.Finish(err == nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(struct {
			listing
			Dir     string  `json:"dir"`
			Bad     int     `json:"bad"`
			Skipped int     `json:"skipped"`
			Seconds float64 `json:"seconds"`
		}{newListing(report.Manifest), dst, report.Bad, report.Skipped, report.Elapsed.Seconds()})
	}
	if !c.Quiet {
		c.summary(s, dst, report)
	}
	return nil
}

// defaultOut puts SRC.shards beside SRC.
func defaultOut(src string) (string, error) {
	src = filepath.Clean(src)
	if base := filepath.Base(src); base == "." || base == ".." { // these have a name, too
		abs, err := filepath.Abs(src)
		return abs + ".shards", err
	}
	for _, ext := range []string{".gz", ".tgz", ".tar"} {
		src = strings.TrimSuffix(src, ext)
	}
	return src + ".shards", nil
}

func (c *makeCmd) options() (ingest.Options, error) {
	size, err1 := parseSize(c.ShardSize)
	maxBad, err2 := parseShare(c.MaxBad)
	if maxBad == 0 {
		maxBad = -1 // none, where the zero value means the default
	}
	codec, err3 := c.Codec, error(nil)
	if names := shards.CodecNames(); codec != "" && !slices.Contains(names, codec) {
		err3 = fmt.Errorf("--codec %q, nearest is %q (there are %s)", codec, nearest.Word(codec, names), strings.Join(names, ", "))
		codec = "" // said once
	}
	o := ingest.Options{Header: vision.Meta, Decode: vision.Decode, Workers: c.Workers, Codec: codec, ShardBytes: size, StatsSample: c.Stats,
		ValFraction: c.ValFraction, MaxBad: maxBad, Strict: c.Strict, Force: c.Force}
	err := errors.Join(err1, err2, err3, o.Validate())
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return o, err
}

func (c *makeCmd) summary(s streams, dst string, r ingest.Report) {
	m := r.Manifest
	for _, n := range r.Notes {
		fmt.Fprintln(s.Out, "note:", n)
	}
	var size, source int64
	for _, sp := range m.Splits {
		fmt.Fprintf(s.Out, "%-6s %9d pictures  %10s  %d shards", sp.Name, sp.Records, cli.Bytes(sp.Bytes), len(sp.Shards))
		if sp.Bad > 0 {
			fmt.Fprintf(s.Out, "  %d bad, left out", sp.Bad)
		}
		if sp.Skipped > 0 {
			fmt.Fprintf(s.Out, "  %d files skipped", sp.Skipped)
		}
		fmt.Fprintln(s.Out)
		size += sp.Bytes
		source += sp.SourceBytes
	}
	for i, b := range m.Bad {
		if i == 5 {
			fmt.Fprintf(s.Out, "bad: and %d more (%s lists all)\n", len(m.Bad)-i, filepath.Join(dst, shards.ManifestName))
			break
		}
		fmt.Fprintln(s.Out, badLine(b))
	}
	fmt.Fprintf(s.Out, "%d pictures of %d classes, %s from %s, in %s (%.0f img/s)\n", r.Pictures, len(m.Classes), cli.Bytes(size),
		cli.Bytes(source), r.Elapsed.Round(10*time.Millisecond), float64(r.Pictures+r.Bad)/r.Elapsed.Seconds())
	fmt.Fprintf(s.Out, "hash %s\n\nnext: %s train --data %s\n", m.Hash, cli.Tool("pipe"), cli.Word(dst))
}

// parseSize reads 256MiB, 500MB, 1000000.
func parseSize(s string) (int64, error) {
	units := []struct {
		name string
		n    float64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"b", 1}, {"", 1}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(strings.ToLower(s), u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(v*u.n >= 1 && v*u.n <= 1<<50) {
			break
		}
		return int64(v * u.n), nil
	}
	return 0, fmt.Errorf("--shard-size %q, want a size as 256MiB", s)
}

// parseShare reads 1% or 0.01.
func parseShare(s string) (float64, error) {
	digits, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("--max-bad %q, want a share as 1%% or 0.01", s)
	}
	return v, nil
}
