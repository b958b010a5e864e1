package bench_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log"
	"os"
	"path/filepath"
	"slices"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	_ "bagpipe/gpu/host"
	"bagpipe/ingest"
	"bagpipe/models"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

// One picture's way from a file to a training step, hop by hop, in the order of
// docs/architecture.md.
func Example_oneImage() {
	dir, err := os.MkdirTemp("", "oneimage")
	check(err)
	defer os.RemoveAll(dir)

	// file: a folder of class folders.
	photos := filepath.Join(dir, "photos")
	for i, class := range []string{"cat", "dog"} {
		check(os.MkdirAll(filepath.Join(photos, "train", class), 0o755))
		for k := range 2 {
			name := filepath.Join(photos, "train", class, fmt.Sprintf("%d.jpg", k))
			check(os.WriteFile(name, picture(uint8(60+120*i+20*k)), 0o644))
		}
	}
	const split, name = "train", "cat/0.jpg"
	file, err := os.ReadFile(filepath.Join(photos, split, name))
	check(err)
	fmt.Println("file          ", name)

	// shardify: decode once to find bad ones, write records, index and manifest.
	ctx := context.Background()
	report, err := ingest.Shardify(ctx, photos, filepath.Join(dir, "photos.shards"), ingest.Options{Header: vision.Meta, Decode: vision.Decode})
	check(err)
	fmt.Printf("shardify       %d pictures, %d bad, classes %v\n", report.Pictures, report.Bad, report.Manifest.Classes)

	// shard record: bytes and an index entry.
	data, err := shards.Open(filepath.Join(dir, "photos.shards"))
	check(err)
	defer data.Close()
	train, err := data.Split(split)
	check(err)
	m := train.Meta(0)
	fmt.Printf("shard record   0 of %d: %s %dx%d, %d components, label %d\n", train.Len(), m.Format, m.Width, m.Height, m.Components, m.Label)

	// read: into the caller's buffer, its CRC checked.
	var buf []byte
	record, err := train.Read(0, &buf)
	check(err)
	fmt.Printf("read           the file's bytes: %v\n", bytes.Equal(record, file))

	// decode + augment, straight into its batch slot of the device's host memory.
	backend, devs, err := gpu.Open("cpu:0")
	check(err)
	dev := devs[0]
	defer dev.Close()
	const size, batch = 32, 4
	loader, err := batcher.New(ctx, batcher.Config{Source: train, Vision: vision.Default(vision.Paper, size), DType: gpu.Float32,
		Train: true, Batch: batch, Seed: 1, AllocHost: dev.AllocHost}, batcher.Position{})
	check(err)
	defer loader.Close()
	b, err := loader.Next(ctx)
	check(err)
	slot := gpu.Shape{size, size, 3}
	fmt.Printf("decode+augment %v %v, %d bytes\n", slot, gpu.Float32, 4*slot.Elems())
	fmt.Printf("batch slot     one of %d, %d bytes in all, record 0 is in it: %v\n", b.N, len(b.Images.Bytes()), slices.Contains(b.Index, 0))

	// device: the whole step is one graph, compiled once.
	var grads []*graph.Value
	g, err := graph.Build(true, func(g *graph.Graph) { grads = step(g, batch, size, len(data.Classes)) })
	check(err)
	params := g.Params()
	vars := graph.Vars{}
	defer vars.Free()
	program, err := graph.Compile(dev, g, graph.Options{Vars: vars})
	check(err)
	defer program.Close()
	stream, err := dev.NewStream()
	check(err)
	defer stream.Close()
	for _, p := range params {
		check(stream.Upload(vars[p.Name], raw(models.MSRAPrelu.Values(p, 1))))
	}
	check(stream.Upload(program.Buffer("lr"), raw([]float32{0.01})))
	check(stream.Upload(program.Buffer("images"), b.Images.Bytes()))
	check(stream.Upload(program.Buffer("labels"), b.Labels.Bytes()))
	check(stream.Upload(program.Buffer("partners"), b.Partners.Bytes()))
	check(stream.Upload(program.Buffer("lambda"), b.Lambda.Bytes()))
	check(stream.Synchronize())
	b.Release()
	fmt.Printf("device         a %s device has %v, %d bytes\n", backend.Kind(), g.Lookup("images"), program.Buffer("images").Size())

	// one training step; the second shows what the first did.
	loss := [2]float32{}
	for i := range loss {
		check(program.Run())
		check(download(stream, loss[i:i+1], program.Buffer("loss")))
	}
	fmt.Printf("training step  %d parameters, the gradient of %s is %v, the loss fell: %v\n",
		count(params), params[0].Name, grads[0].Shape, loss[1] < loss[0])

	// Output:
	// file           cat/0.jpg
	// shardify       4 pictures, 0 bad, classes [cat dog]
	// shard record   0 of 4: jpeg 64x48, 3 components, label 0
	// read           the file's bytes: true
	// decode+augment 32×32×3 float32, 12288 bytes
	// batch slot     one of 4, 49152 bytes in all, record 0 is in it: true
	// device         a cpu device has images float32[4×32×32×3], 49152 bytes
	// training step  271954 parameters, the gradient of conv1.weight is 16×3×3×3, the loss fell: true
}

// step adds a whole training step: model, loss, gradients, update. It returns the
// gradients in the order of g.Params.
func step(g *graph.Graph, batch, size, classes int) []*graph.Value {
	images := g.Input("images", gpu.Float32, batch, size, size, 3)
	labels, partners := g.Input("labels", gpu.Int32, batch), g.Input("partners", gpu.Int32, batch)
	lambda, lr := g.Input("lambda", gpu.Float32, batch), g.Input("lr", gpu.Float32, 1)
	logits, err := models.Add(g, "cifar-resnet20d", images, models.Options{Classes: classes})
	check(err)
	rows, _ := g.SoftmaxCrossEntropy(logits, g.Target(labels, partners, lambda, graph.Target{Classes: classes, On: 1}))
	loss := g.Output("loss", g.Mean(rows))
	params := g.Params()
	grads := graph.Gradients(g, loss, params)
	for i, grad := range grads {
		m := g.State("momentum."+params[i].Name, 0, params[i].Shape...)
		g.Add(graph.SGD{Momentum: 0.9, Nesterov: true}, params[i], m, grad, lr)
	}
	return grads
}

// picture is a JPEG of 64x48 pixels.
func picture(level uint8) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			img.Set(x, y, color.RGBA{level, uint8(4 * x), uint8(5 * y), 255})
		}
	}
	var b bytes.Buffer
	check(jpeg.Encode(&b, img, nil))
	return b.Bytes()
}

func count(params []*graph.Value) (n int) {
	for _, p := range params {
		n += p.Shape.Elems()
	}
	return n
}

func raw(data []float32) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, data)
	check(err)
	return b
}

func download(s gpu.Stream, data []float32, from gpu.Buffer) error {
	b := make([]byte, 4*len(data))
	check(s.Download(b, from))
	check(s.Synchronize())
	_, err := binary.Decode(b, binary.NativeEndian, data)
	return err
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
