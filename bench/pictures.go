package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"bagpipe/internal/cores"
)

// Pictures describes a made-up data set of ten classes of shapes and textures, drawn
// in random colour, place, size and rotation on a busy background with noise, and
// encoded as JPEG. A picture is a function of Seed, split, class and number alone.
type Pictures struct {
	Train, Val int     // pictures a class
	MinSide    int     // the longer side lies in MinSide..MaxSide pixels
	MaxSide    int     // likewise
	Noise      float64 // standard deviation of the pixels' noise in levels, about
	Quality    int     // of the JPEG, 1..100
	Seed       uint64
	Workers    int // goroutines; 0 = one a core
}

// Small is the set for a quick training: thumbnails, learnt in a minute or two.
func Small() Pictures {
	return Pictures{Train: 300, Val: 50, MinSide: 48, MaxSide: 96, Noise: 10, Quality: 88, Seed: 1}
}

// Photos is the set for measuring an input pipeline: ImageNet's usual 500x375, with
// noise that makes the files as long as those of photographs, about 110 kB, because
// decoding costs by the byte as well as by the pixel.
func Photos() Pictures {
	return Pictures{Train: 20, Val: 2, MinSide: 500, MaxSide: 500, Noise: 20, Quality: 90, Seed: 1}
}

// Classes returns the names of the classes, sorted.
func (p Pictures) Classes() []string {
	names := make([]string, len(figures))
	for i, f := range figures {
		names[i] = f.name
	}
	return names
}

// Validate lists every fault at once.
func (p Pictures) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("bench: "+format, args...))
		}
	}
	fault(p.Train < 1 || p.Train > 1e6 || p.Val < 0 || p.Val > 1e6, "%d + %d pictures a class, want 1 to 1000000", p.Train, p.Val)
	fault(p.MinSide < 16 || p.MaxSide < p.MinSide || p.MaxSide > 8192, "sides of %d..%d pixels, want 16 to 8192", p.MinSide, p.MaxSide)
	fault(!(p.Noise >= 0 && p.Noise <= 100), "noise of %g levels, want 0 to 100", p.Noise)
	fault(p.Quality < 1 || p.Quality > 100, "quality %d, want 1 to 100", p.Quality)
	fault(p.Workers < 0, "%d workers, want 0 or more", p.Workers)
	return errors.Join(errs...)
}

// Write writes the set below dir as an image folder: train/CLASS/NUMBER.jpg and
// val/CLASS/NUMBER.jpg. What exists is overwritten.
func (p Pictures) Write(ctx context.Context, dir string) error {
	if err := p.Validate(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(p.Workers, 0))
	if p.Workers == 0 {
		g.SetLimit(cores.N())
	}
	for split, n := range map[string]int{"train": p.Train, "val": p.Val} {
		for class, name := range p.Classes() {
			g.Go(func() error { return p.writeClass(ctx, filepath.Join(dir, split, name), split, class, n) })
		}
	}
	return g.Wait()
}

// writeClass writes one folder.
func (p Pictures) writeClass(ctx context.Context, dir, split string, class, n int) error {
	if n == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := p.Encode(split, class, i)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.jpg", i)), b, 0o666); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}

// Encode returns picture i of a class and split.
func (p Pictures) Encode(split string, class, i int) ([]byte, error) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d %d", split, class, i)
	img := p.draw(figures[class], rand.New(rand.NewPCG(p.Seed, h.Sum64())))
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: p.Quality}); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return out.Bytes(), nil
}

// scene is one picture's random choices.
type scene struct {
	w, h       int
	fig        figure
	near, far  rgb     // background, blended from one end to the other
	ink        rgb     // of the figure
	sin, cos   float64 // of the figure's rotation
	cx, cy     float64 // its centre
	radius     float64 // pixels a local unit
	slope      [2]float64
	round      bool // background blended from the centre outward
	texture    uint64
	grain      float64 // amplitude of the background's blotches
	blots      [3]blot
	speck      float64 // standard deviation of the pixel noise
	brightness float64 // of the whole picture, in levels
}

type rgb [3]float64

// blot is a faint disc in the background, so that not every edge is the figure's.
type blot struct {
	x, y, r float64
	c       rgb
}

func (p Pictures) draw(f figure, r *rand.Rand) *image.RGBA {
	s := p.scene(f, r)
	img := image.NewRGBA(image.Rect(0, 0, s.w, s.h))
	for y := range s.h {
		row := img.Pix[y*img.Stride:]
		for x := range s.w {
			c := s.at(float64(x)+0.5, float64(y)+0.5)
			luma := r.NormFloat64() * s.speck
			for k := range 3 {
				row[4*x+k] = uint8(min(max(c[k]+luma+s.brightness+r.NormFloat64()*s.speck/4, 0), 255))
			}
			row[4*x+3] = 255
		}
	}
	return img
}

// scene draws the choices, always as many for a figure.
func (p Pictures) scene(f figure, r *rand.Rand) scene {
	between := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	s := scene{fig: f, texture: r.Uint64(), round: r.IntN(2) == 0}
	long := p.MinSide + r.IntN(p.MaxSide-p.MinSide+1)
	short := int(float64(long)*between(0.74, 1) + 0.5)
	if p.MinSide == p.MaxSide {
		short = long * 3 / 4 // the usual photograph
	}
	if s.w, s.h = long, short; r.IntN(3) == 0 {
		s.w, s.h = short, long
	}
	side := float64(short)
	s.sin, s.cos = math.Sincos(between(0, 2*math.Pi))
	s.radius = side * between(f.low, f.high)
	margin := min(s.radius*0.9, side/2)
	s.cx, s.cy = between(margin, float64(s.w)-margin), between(margin, float64(s.h)-margin)
	s.near = colour(r)
	for k := range 3 { // a hint of light and shade
		s.far[k] = s.near[k] + between(-28, 28)
	}
	apart := 110.0
	if f.edge == nil {
		apart = 170
	}
	for s.ink = colour(r); distance(s.ink, s.near) < apart; s.ink = colour(r) {
	}
	if f.edge == nil {
		s.far = s.ink
	}
	angle := between(0, 2*math.Pi)
	s.slope = [2]float64{math.Cos(angle) / float64(s.w), math.Sin(angle) / float64(s.h)}
	s.grain = between(4, 16)
	for i := range s.blots {
		b := blot{x: between(0, float64(s.w)), y: between(0, float64(s.h)), r: side * between(0.03, 0.09)}
		for k := range 3 {
			b.c[k] = between(-22, 22)
		}
		s.blots[i] = b
	}
	s.speck = p.Noise * between(0.5, 1.5)
	s.brightness = between(-15, 15)
	return s
}

// colour avoids both ends, where noise and light would be cut off.
func colour(r *rand.Rand) (c rgb) {
	for k := range 3 {
		c[k] = 25 + 205*r.Float64()
	}
	return c
}

func distance(a, b rgb) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

// at returns the colour of the point x, y before the pixel noise.
func (s *scene) at(x, y float64) rgb {
	dx, dy := x-float64(s.w)/2, y-float64(s.h)/2
	t := 0.5 + dx*s.slope[0] + dy*s.slope[1]
	if s.round {
		t = 1.6 * math.Hypot(dx/float64(s.w), dy/float64(s.h))
	}
	t = min(max(t, 0), 1)
	grain := s.grain * s.blotches(x, y)
	var c rgb
	for k := range 3 {
		c[k] = s.near[k] + t*(s.far[k]-s.near[k]) + grain
	}
	for _, b := range s.blots {
		if cover := min(max(b.r-math.Hypot(x-b.x, y-b.y)+0.5, 0), 1); cover > 0 {
			for k := range 3 {
				c[k] += cover * b.c[k]
			}
		}
	}
	if s.fig.edge != nil {
		u, v := (x-s.cx)/s.radius, (y-s.cy)/s.radius
		d := s.fig.edge(s.cos*u+s.sin*v, s.cos*v-s.sin*u)
		cover := min(max(d*s.radius+0.5, 0), 1) // one pixel of antialiasing
		for k := range 3 {
			c[k] += cover * (s.ink[k] + grain/2 - c[k])
		}
	}
	return c
}

// blotches is smooth noise of three sizes, about -1..1.
func (s *scene) blotches(x, y float64) float64 {
	sum, amp, size := 0.0, 0.6, float64(min(s.w, s.h))/4
	for octave := range 3 {
		sum += amp * s.lattice(x/size, y/size, uint64(octave))
		amp, size = amp/1.6, size/3
	}
	return sum
}

// lattice blends random values at whole coordinates.
func (s *scene) lattice(x, y float64, layer uint64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := x-fx, y-fy
	tx, ty = tx*tx*(3-2*tx), ty*ty*(3-2*ty)
	at := func(i, j uint64) float64 {
		h := s.texture ^ (uint64(fx)+i)*0x9e3779b97f4a7c15 ^ (uint64(fy)+j)*0xc2b2ae3d27d4eb4f ^ layer*0x165667b19e3779f9
		h = (h ^ h>>31) * 0xbf58476d1ce4e5b9
		return float64(int64(h^h>>29)) / (1 << 63)
	}
	top := at(0, 0) + tx*(at(1, 0)-at(0, 0))
	low := at(0, 1) + tx*(at(1, 1)-at(0, 1))
	return top + ty*(low-top)
}
