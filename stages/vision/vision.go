// Package vision (contract stub; to be replaced by one file per step).
package vision

import "bagpipe/gpu"

// Config says how a picture becomes a sample. It is the [input] section of a recipe.
type Config struct {
	Mode                                  string     `toml:"mode"` // "paper", "mxnet-2018", "torchvision"?: semantics of the chain
	Size                                  int        `toml:"size"` // output side
	Crop                                  string     `toml:"crop"` // "random-resized", "pad" (CIFAR: Pad pixels of zeros (after mean?), random crop), "none"
	Pad                                   int        `toml:"pad"`
	Scale                                 [2]float64 `toml:"scale"` // area range of the random-resized crop
	Ratio                                 [2]float64 `toml:"ratio"`
	Flip                                  float64    `toml:"flip"`
	Hue, Saturation, Brightness, Contrast float64
	Lighting                              float64 `toml:"lighting"` // std of the PCA noise
	Mean, Std                             [3]float64
	EvalShort                             int  `toml:"eval_short"` // short side before the centre crop in evaluation; 0 = ceil(size/0.875)
	Exact                                 bool `toml:"exact"`      // step-by-step colour instead of the fused affine
}

// Rand is the randomness of one sample.
type Rand struct{}

// Processor turns one encoded picture into one finished sample. It owns its scratch; one a worker.
type Processor struct{}

func NewTrain(c Config, t gpu.DType) (*Processor, error) { panic("pending") }
func NewEval(c Config, t gpu.DType) (*Processor, error)  { panic("pending") }

// Process decodes src and writes size*size*3 elements NHWC (HWC) into dst. seed, epoch and index alone decide the randomness.
func (p *Processor) Process(dst, src []byte, seed uint64, epoch, index int) error { panic("pending") }
func (p *Processor) Close()                                                       {}

// Decode decodes a whole picture to 8-bit RGB HWC (for shardify's check and stats, predict).
func Decode(src []byte) (pix []byte, w, h int, err error) { panic("pending") }
