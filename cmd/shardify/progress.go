package main

import (
	"fmt"
	"time"

	"bagpipe/ingest"
	"bagpipe/internal/cli"
)

// follow returns what to call after each picture.
func follow(p *cli.Progress) func(ingest.Progress) {
	var begin time.Time
	return func(s ingest.Progress) {
		if begin.IsZero() {
			begin = time.Now()
			p.Start(0, s.Total)
		}
		p.Set(s.Pictures, func() string {
			t := time.Since(begin).Seconds()
			return fmt.Sprintf("%d bad, %.0f img/s, %.1f MB/s", s.Bad, float64(s.Pictures)/t, float64(s.Bytes)/1e6/t)
		})
	}
}
