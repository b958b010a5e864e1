package host

import (
	"fmt"

	"bagpipe/gpu/graph"
)

// plain returns the plain loop of a node: the op's definition, written down. It
// is the reference that faster kernels are tested against.
func plain(b *binding) (kernel, error) {
	switch op := b.node.Op.(type) {
	case graph.Conv2D:
		return plainConv(b, op)
	case graph.Conv2DGradX:
		return plainConvGradX(b, op)
	case graph.Conv2DGradW:
		return plainConvGradW(b, op)
	case graph.BiasGrad:
		return plainBiasGrad(b), nil
	case graph.Linear:
		return plainLinear(b), nil
	case graph.LinearGradX:
		return plainLinearGradX(b)
	case graph.LinearGradW:
		return plainLinearGradW(b)
	case graph.BatchNorm:
		return plainBatchNorm(b, op), nil
	case graph.BatchNormInfer:
		return plainBatchNormInfer(b, op), nil
	case graph.BatchNormGrad:
		return plainBatchNormGrad(b, op)
	case graph.MaxPool:
		return plainMaxPool(b, op), nil
	case graph.MaxPoolGrad:
		return plainMaxPoolGrad(b, op)
	case graph.AvgPool:
		return plainAvgPool(b, op), nil
	case graph.AvgPoolGrad:
		return plainAvgPoolGrad(b, op)
	case graph.GlobalAvgPool:
		return plainGlobalAvgPool(b), nil
	case graph.GlobalAvgPoolGrad:
		return plainGlobalAvgPoolGrad(b, op)
	case graph.AllReduce:
		return allReduce(b, op), nil
	}
	return plainElements(b)
}

// plainElements continues plain with the ops that work element by element or row
// by row.
func plainElements(b *binding) (kernel, error) {
	switch op := b.node.Op.(type) {
	case graph.ReLU:
		return plainReLU(b), nil
	case graph.ReLUGrad:
		return plainReLUGrad(b), nil
	case graph.Add:
		return plainAdd(b, op), nil
	case graph.Scale:
		return plainScale(b, op), nil
	case graph.Concat:
		return plainConcat(b), nil
	case graph.Slice:
		return plainSlice(b, op), nil
	case graph.Dropout:
		return plainDropout(b, op), nil
	case graph.Target:
		return plainTarget(b, op), nil
	case graph.SoftmaxCrossEntropy:
		return plainSoftmaxCrossEntropy(b), nil
	case graph.SoftmaxCrossEntropyGrad:
		return plainSoftmaxCrossEntropyGrad(b), nil
	case graph.Mean:
		return plainMean(b), nil
	case graph.Fill:
		return plainFill(b, op), nil
	case graph.Broadcast:
		return plainBroadcast(b, op), nil
	case graph.TopK:
		return plainTopK(b, op), nil
	case graph.SGD:
		return plainSGD(b, op), nil
	case graph.Accumulate:
		return plainAccumulate(b), nil
	case graph.Clear:
		return plainClear(b), nil
	case graph.EMA:
		return plainEMA(b), nil
	}
	return nil, fmt.Errorf("no CPU kernel for this op")
}
