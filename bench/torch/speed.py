"""Training speed of PyTorch on this machine: python3 speed.py MODEL BATCH SIZE SECONDS [nchw|nhwc]

Prints images per second by the median of the steps after two of warm-up, and the
CPU time (user + system) an image of the same steps.
"""
import os
import statistics
import sys
import time

import torch

import resnets

torch.set_num_threads(2)
model, n, size, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
layout = torch.channels_last if sys.argv[5:] == ["nhwc"] else torch.contiguous_format
classes = 10 if model.startswith("cifar") else 1000
torch.manual_seed(1)
net = resnets.build(model, classes).train().to(memory_format=layout)
opt = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True)
x = torch.randn(n, 3, size, size).contiguous(memory_format=layout)
y = torch.randint(0, classes, (n,))
cpu = lambda: sum(os.times()[:2])
times, end = [], time.monotonic() + seconds
while time.monotonic() < end or len(times) < 4:
    if len(times) == 2:
        spent = cpu()
    t = time.monotonic()
    loss = torch.nn.functional.cross_entropy(net(x), y)
    opt.zero_grad(set_to_none=True)
    loss.backward()
    opt.step()
    times.append(time.monotonic() - t)
median = statistics.median(times[2:])
spent = (cpu() - spent) / (n * len(times[2:]))
print(f"torch {torch.__version__} {model} batch {n} {size}x{size} {sys.argv[5:]}: {n / median:.2f} img/s, {spent * 1e3:.3f} cpu-ms/img, {median * 1e3:.0f} ms a step, {len(times)} steps")
