"""ResNets in PyTorch for comparison with bagpipe's, written from the papers.

The parameter names are torchvision's and timm's, so weights travel as safetensors
in both directions. Needs only torch (Debian: python3-torch).
"""
import json
import struct

import numpy as np
import torch
from torch import nn


def conv_bn(cin, cout, k, stride=1):
    return nn.Conv2d(cin, cout, k, stride, k // 2, bias=False), nn.BatchNorm2d(cout)


class Bottleneck(nn.Module):
    def __init__(self, cin, width, stride, tweaks, first):
        super().__init__()
        s1, s3 = (1, stride) if "b" in tweaks else (stride, 1)
        self.conv1, self.bn1 = conv_bn(cin, width, 1, s1)
        self.conv2, self.bn2 = conv_bn(width, width, 3, s3)
        self.conv3, self.bn3 = conv_bn(width, 4 * width, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(cin, 4 * width, stride, tweaks) if first else None

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Basic(nn.Module):
    def __init__(self, cin, width, stride, tweaks, first):
        super().__init__()
        self.conv1, self.bn1 = conv_bn(cin, width, 3, stride)
        self.conv2, self.bn2 = conv_bn(width, width, 3)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(cin, width, stride, tweaks) if cin != width or stride != 1 else None

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def shortcut(cin, cout, stride, tweaks):
    if "a" in tweaks and stride > 1:  # parameter-free: every other pixel, zero channels around
        class PadA(nn.Module):
            def forward(self, x):
                pad = (cout - cin) // 2
                return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))
        return PadA()
    if "d" in tweaks:
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
        return nn.Sequential(pool, *conv_bn(cin, cout, 1))
    return nn.Sequential(*conv_bn(cin, cout, 1, stride))


class ResNet(nn.Module):
    def __init__(self, depths, block, widths, stem, tweaks, classes):
        super().__init__()
        self.stem = stem
        if stem == "cifar":
            self.conv1, self.bn1 = conv_bn(3, widths[0], 3)
        elif stem == "deep":
            c1, b1 = conv_bn(3, 32, 3, 2)
            c2, b2 = conv_bn(32, 32, 3)
            c3, self.bn1 = conv_bn(32, 64, 3)
            self.conv1 = nn.Sequential(c1, b1, nn.ReLU(inplace=True), c2, b2, nn.ReLU(inplace=True), c3)
        else:
            self.conv1, self.bn1 = conv_bn(3, 64, 7, 2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        cin, expansion = widths[0], 4 if block is Bottleneck else 1
        self.stages = len(depths)
        for i, (depth, width) in enumerate(zip(depths, widths)):
            layer = []
            for j in range(depth):
                layer.append(block(cin, width, 2 if j == 0 and i > 0 else 1, tweaks, j == 0))
                cin = width * expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(cin, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        if self.stem != "cifar":
            x = self.maxpool(x)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


def build(name, classes):
    big = lambda depths, stem, tweaks: ResNet(depths, Bottleneck, (64, 128, 256, 512), stem, tweaks, classes)
    small = lambda n, tweaks: ResNet((n,) * 3, Basic, (16, 32, 64), "cifar", tweaks, classes)
    return {
        "resnet50": lambda: big((3, 4, 6, 3), "plain", ""),
        "resnet50b": lambda: big((3, 4, 6, 3), "plain", "b"),
        "resnet50c": lambda: big((3, 4, 6, 3), "deep", "b"),
        "resnet50d": lambda: big((3, 4, 6, 3), "deep", "bd"),
        "cifar-resnet20": lambda: small(3, "a"),
        "cifar-resnet20d": lambda: small(3, "d"),
    }[name]()


def read_safetensors(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            out[name] = np.frombuffer(data[a:b], "<f4").reshape(t["shape"])
    return out


def load(model, path):
    """Loads weights; every parameter and statistic of the model must be there."""
    tensors = read_safetensors(path)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert set(state) == set(tensors), (sorted(set(state) ^ set(tensors)))
    with torch.no_grad():
        for name, v in state.items():
            v.copy_(torch.from_numpy(tensors[name].copy()))
    return model
