package models

import "bagpipe/gpu/graph"

// ResNet describes the residual networks of He et al. 2015 (arXiv:1512.03385) and
// the tweaks of He et al. 2018 (arXiv:1812.01187 section 4.2), each one field.
type ResNet struct {
	Depths      []int // residual blocks a stage; the first one of a later stage halves the extent
	Width       int   // channels of the first stage's 3x3 convolutions; doubles with each stage
	Bottleneck  bool  // 1x1, 3x3, 1x1 blocks with 4x channels out; else two 3x3
	StrideIn3x3 bool  // -B: halve in the 3x3, so that the first 1x1 sees every pixel
	DeepStem    bool  // -C: three 3x3 in place of the 7x7
	AvgDown     bool  // -D: average-pool the shortcut before its 1x1
	Small       bool  // CIFAR form (1512.03385 section 4.2): 3x3 stem at full extent, no max pool
}

// resnets is every variant: torchvision calls the -B form of 50 and more layers
// plain resnet50; here that name is the paper's original, as in the tables.
var resnets = func() map[string]ResNet {
	all := map[string]ResNet{}
	for depth, stages := range map[string][]int{"18": {2, 2, 2, 2}, "34": {3, 4, 6, 3}, "50": {3, 4, 6, 3}, "101": {3, 4, 23, 3}, "152": {3, 8, 36, 3}} {
		r := ResNet{Depths: stages, Width: 64, Bottleneck: depth != "18" && depth != "34"}
		all["resnet"+depth] = r
		r.StrideIn3x3 = true
		all["resnet"+depth+"b"] = r
		r.DeepStem = true
		all["resnet"+depth+"c"] = r
		r.AvgDown = true
		all["resnet"+depth+"d"] = r
	}
	for depth, n := range map[string]int{"20": 3, "56": 9} {
		r := ResNet{Depths: []int{n, n, n}, Width: 16, Small: true}
		all["cifar-resnet"+depth] = r
		r.AvgDown = true
		all["cifar-resnet"+depth+"d"] = r
	}
	return all
}()

// add adds the network from x [N,H,W,3] to logits [N,Classes].
func (r ResNet) add(n net, x *graph.Value, opt Options) *graph.Value {
	x = r.stem(n, x)
	for i, depth := range r.Depths {
		for j := range depth {
			stride := 1
			if i > 0 && j == 0 {
				stride = 2
			}
			x = r.block(n.at("layer%d", i+1).at("%d", j), x, r.Width<<i, stride, opt)
		}
	}
	n.Scope = "pool"
	return n.classifier("fc", n.GlobalAvgPool(x), opt)
}

func (r ResNet) stem(n net, x *graph.Value) *graph.Value {
	switch {
	case r.Small:
		return n.ReLU(n.norm("bn1", n.conv("conv1", x, r.Width, 3, 1), graph.Gamma))
	case r.DeepStem:
		s := n.at("conv1")
		x = s.ReLU(s.norm("1", s.conv("0", x, r.Width/2, 3, 2), graph.Gamma))
		x = s.ReLU(s.norm("4", s.conv("3", x, r.Width/2, 3, 1), graph.Gamma))
		x = s.conv("6", x, r.Width, 3, 1)
	default:
		x = n.conv("conv1", x, r.Width, 7, 2)
	}
	x = n.ReLU(n.norm("bn1", x, graph.Gamma))
	return n.MaxPool(x, graph.Window{Kernel: 3, Stride: 2, Pad: 1})
}

func (r ResNet) block(n net, x *graph.Value, width, stride int, opt Options) *graph.Value {
	last := graph.Gamma
	if opt.ZeroGamma {
		last = graph.GammaLast
	}
	y, out := x, width
	if r.Bottleneck {
		out = 4 * width
		s1, s3 := stride, 1
		if r.StrideIn3x3 {
			s1, s3 = 1, stride
		}
		y = n.ReLU(n.norm("bn1", n.conv("conv1", y, width, 1, s1), graph.Gamma))
		y = n.ReLU(n.norm("bn2", n.conv("conv2", y, width, 3, s3), graph.Gamma))
		y = n.norm("bn3", n.conv("conv3", y, out, 1, 1), last)
	} else {
		y = n.ReLU(n.norm("bn1", n.conv("conv1", y, width, 3, stride), graph.Gamma))
		y = n.norm("bn2", n.conv("conv2", y, width, 3, 1), last)
	}
	if stride > 1 || x.Shape[3] != out {
		x = r.shortcut(n.at("downsample"), x, out, stride)
	}
	n.Scope = n.prefix + "add"
	return n.ReLU(n.Sum(y, x))
}

// shortcut brings x to the block's output shape. The CIFAR form is parameter-free
// (option A of 1512.03385): every other pixel, zero channels on both sides.
func (r ResNet) shortcut(n net, x *graph.Value, out, stride int) *graph.Value {
	n.Scope = n.prefix + "0"
	switch {
	case r.AvgDown:
		if stride > 1 {
			x = n.AvgPool(x, graph.Window{Kernel: 2, Stride: stride, Ceil: true})
		}
		return n.norm("2", n.conv("1", x, out, 1, 1), graph.Gamma)
	case r.Small:
		if stride > 1 {
			x = n.AvgPool(x, graph.Window{Kernel: 1, Stride: stride})
		}
		s := x.Shape
		zeros := n.Fill(0, s[0], s[1], s[2], (out-s[3])/2)
		return n.Concat(zeros, x, zeros)
	}
	return n.norm("1", n.conv("0", x, out, 1, stride), graph.Gamma)
}

// size returns the training resolution.
func (r ResNet) size() int {
	if r.Small {
		return 32
	}
	return 224
}
