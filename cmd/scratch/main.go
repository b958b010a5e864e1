package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"bagpipe/gpu"
	_ "bagpipe/gpu/host"
	"bagpipe/shards"
	"bagpipe/trainer"
)

type obs struct{}

func (obs) Start(s trainer.Start) { fmt.Printf("%d params, %d steps/epoch, first %d, %d/%d\n", s.Params, s.StepsPerEpoch, s.FirstStep, s.TrainN, s.ValN) }
func (obs) Step(s trainer.Step) {
	if s.Logged {
		fmt.Printf("step %d loss %.4f lr %.4f %.0f img/s\n", s.Step, s.Loss, s.LR, s.Rate)
	}
}
func (obs) Epoch(e trainer.Epoch) { fmt.Printf("%+v\n", e) }
func (obs) Note(t string)         { fmt.Println("note:", t) }

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
	var sets []string
	resume := false
	for _, a := range os.Args[5:] {
		if a == "--resume" {
			resume = true
		} else if strings.Contains(a, "=") {
			sets = append(sets, a)
		}
	}
	c, err := trainer.Load(os.Args[2], sets)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	d, err := shards.Open(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	b, devs, err := gpu.Open(os.Args[4])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r, err := trainer.Train(ctx, c, trainer.Options{Data: d, Backend: b, Devices: devs, Run: os.Args[3], Resume: resume, Observer: obs{}})
	fmt.Printf("%+v %v\n", r, err)
}
