"""Writes what PyTorch makes of the weights and batches that `go test ./bench -run Agree -export DIR` wrote.

Usage: python3 agree.py DIR > ../testdata/agree.json
"""
import json
import sys

import numpy as np
import torch

import resnets

torch.set_num_threads(2)
folder = sys.argv[1]
job = json.load(open(f"{folder}/job.json"))


def batch(name, n, size):
    x = np.fromfile(f"{folder}/{name}.f32", "<f4").reshape(n, size, size, 3)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


out = {"torch": torch.__version__}

j = job["train"]
net = resnets.load(resnets.build(j["model"], j["classes"]), f"{folder}/train.safetensors").train()
opt = torch.optim.SGD(net.parameters(), lr=j["lr"], momentum=j["momentum"], weight_decay=j["weight_decay"], nesterov=True)
labels = np.fromfile(f"{folder}/train.i32", "<i4").reshape(j["steps"], j["batch"])
pictures = np.fromfile(f"{folder}/train.f32", "<f4").reshape(j["steps"], j["batch"], j["size"], j["size"], 3)
losses = []
for i in range(j["steps"]):
    x = torch.from_numpy(pictures[i].transpose(0, 3, 1, 2).copy())
    loss = torch.nn.functional.cross_entropy(net(x), torch.from_numpy(labels[i]).long())
    opt.zero_grad()
    loss.backward()
    opt.step()
    losses.append(loss.item())
out["losses"] = losses

j = job["logits"]
net = resnets.load(resnets.build(j["model"], j["classes"]), f"{folder}/logits.safetensors").eval()
with torch.no_grad():
    out["logits"] = net(batch("logits", j["batch"], j["size"])).double().numpy().round(7).tolist()
json.dump(out, sys.stdout, indent=None, separators=(",", ":"))
