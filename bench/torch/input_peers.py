"""The training input of PAPER section 2.1 made with Python libraries, for its speed:

    python3 input_peers.py CHAIN PICTURES [--workers N] [--images N] [--batch N]

PICTURES is a folder of JPEGs at any depth. CHAIN is what decodes and transforms:

    torchvision   Pillow and torchvision.transforms, as its reference training does
    pillow        Pillow decodes, crops and resizes; the colours are one matrix
    opencv        OpenCV does all, the colours are one matrix
    turbojpeg     the same, decoded by libjpeg-turbo through PyTurboJPEG

Each reads, decodes, crops an area of 8 to 100 % and an aspect of 3/4 to 4/3, resizes it
to 224x224, flips, changes hue, saturation and brightness, adds PCA noise and normalises,
into batches of float32 in NHWC order that a DataLoader hands over. All but torchvision,
whose transforms keep to their own steps, round colours to 8 bits once, and OpenCV
resizes without antialiasing, as is its habit.

Prints images a second by the clock and CPU milliseconds (user + system) an image, child
processes included, imports and one batch of warm-up left out.
"""
import argparse
import io
import os
import pathlib
import resource
import time

os.environ["OMP_NUM_THREADS"] = "1"  # the workers are the parallelism

import numpy as np
import torch

SIZE = 224
MEAN = np.float32([123.68, 116.779, 103.939])
STD = np.float32([58.393, 57.12, 57.375])
LUMA = np.array([0.299, 0.587, 0.114])
TO_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
FROM_YIQ = np.linalg.inv(TO_YIQ)
EIGEN_VALUES = np.array([55.46, 4.794, 1.148])
EIGEN_VECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def crop(rng, w, h):
    """Draws x, y, width, height; after ten misfits the whole picture."""
    for _ in range(10):
        area, ratio = rng.uniform(0.08, 1) * w * h, rng.uniform(3 / 4, 4 / 3)
        cw, ch = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < cw <= w and 0 < ch <= h:
            return int(rng.integers(w - cw + 1)), int(rng.integers(h - ch + 1)), cw, ch
    return 0, 0, w, h


def noise(rng):
    """Draws what PCA noise adds to R, G and B, in levels."""
    return EIGEN_VECTORS @ (rng.normal(0, 0.1, 3) * EIGEN_VALUES)


def colour(rng):
    """Draws hue, saturation, brightness and noise as one 3x4 matrix of levels."""
    hue, saturation, brightness = rng.uniform(0.6, 1.4, 3)
    sin, cos = np.sin(np.pi * (hue - 1)), np.cos(np.pi * (hue - 1))
    turn = FROM_YIQ @ [[1, 0, 0], [0, cos, -sin], [0, sin, cos]] @ TO_YIQ
    blend = saturation * np.eye(3) + (1 - saturation) * LUMA
    return np.column_stack([brightness * blend @ turn, noise(rng)]).astype(np.float32)


class Affine:
    """Finishes a resized picture of 8-bit RGB with OpenCV's matrix product, the fastest
    of what numpy and OpenCV offer for it."""

    def __init__(self):
        import cv2
        cv2.setNumThreads(0)
        self.cv2 = cv2
        self.offset = np.tile(MEAN, SIZE)
        self.factor = np.tile(1 / STD, SIZE)

    def finish(self, rng, img):
        if rng.random() < 0.5:
            img = self.cv2.flip(img, 1)
        img = self.cv2.transform(img, colour(rng))  # clamps to 0..255
        out = np.subtract(img.reshape(SIZE, -1), self.offset)
        out *= self.factor
        return torch.from_numpy(out.reshape(SIZE, SIZE, 3))


class Pillow(Affine):
    def __init__(self):
        super().__init__()
        import PIL.Image
        self.pil = PIL.Image

    def __call__(self, rng, data):
        img = self.pil.open(io.BytesIO(data)).convert("RGB")
        x, y, w, h = crop(rng, *img.size)
        img = img.resize((SIZE, SIZE), self.pil.BILINEAR, (x, y, x + w, y + h))
        return self.finish(rng, np.asarray(img))


class OpenCV(Affine):
    def decode(self, data):
        img = self.cv2.imdecode(np.frombuffer(data, np.uint8), self.cv2.IMREAD_COLOR)
        return img, self.cv2.COLOR_BGR2RGB

    def __call__(self, rng, data):
        img, order = self.decode(data)
        x, y, w, h = crop(rng, img.shape[1], img.shape[0])
        img = self.cv2.resize(img[y:y + h, x:x + w], (SIZE, SIZE), interpolation=self.cv2.INTER_LINEAR)
        return self.finish(rng, img if order is None else self.cv2.cvtColor(img, order))


class TurboJPEG(OpenCV):
    def __init__(self):
        super().__init__()
        import turbojpeg
        self.turbo, self.rgb = turbojpeg.TurboJPEG(), turbojpeg.TJPF_RGB

    def decode(self, data):
        return self.turbo.decode(data, self.rgb), None


class Torchvision:
    def __init__(self):
        import PIL.Image
        from torchvision import transforms as t
        self.pil = PIL.Image
        self.before = t.Compose([
            t.RandomResizedCrop(SIZE),
            t.RandomHorizontalFlip(),
            t.ColorJitter(brightness=0.4, saturation=0.4, hue=0.2),  # a turn by up to 0.4 pi, as in colour
            t.ToTensor(),
        ])
        self.after = t.Normalize((MEAN / 255).tolist(), (STD / 255).tolist())

    def __call__(self, rng, data):
        img = self.before(self.pil.open(io.BytesIO(data)).convert("RGB"))
        img += torch.from_numpy(noise(rng).astype(np.float32) / 255)[:, None, None]
        return self.after(img).permute(1, 2, 0)


CHAINS = {"torchvision": Torchvision, "pillow": Pillow, "opencv": OpenCV, "turbojpeg": TurboJPEG}


class Pictures(torch.utils.data.Dataset):
    """n pictures in an order drawn from a seed, again and again until there are n."""

    def __init__(self, chain, files, n, seed=1):
        self.chain, self.files, self.n, self.seed = chain, files, n, seed
        self.order = np.random.default_rng(seed).permutation(len(files))

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        rng = np.random.default_rng([self.seed, i])
        return self.chain(rng, self.files[self.order[i % len(self.files)]].read_bytes()), i


def cpu():
    """CPU seconds of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def read(pictures, batch, workers):
    """Takes every batch; the workers have ended when it returns."""
    for images, _ in torch.utils.data.DataLoader(pictures, batch, num_workers=workers):
        assert images.shape[1:] == (SIZE, SIZE, 3) and images.dtype == torch.float32 and images.is_contiguous()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("chain", choices=CHAINS)
    a.add_argument("pictures", type=pathlib.Path)
    a.add_argument("--workers", type=int, default=1)
    a.add_argument("--images", type=int, default=640)
    a.add_argument("--batch", type=int, default=64)
    o = a.parse_args()
    files = sorted(f for f in o.pictures.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        a.error(f"{o.pictures}: no JPEG files in it")
    torch.set_num_threads(1)
    chain = CHAINS[o.chain]()
    read(Pictures(chain, files, o.batch), o.batch, 0)
    begin, spent = time.monotonic(), cpu()
    read(Pictures(chain, files, o.images), o.batch, o.workers)
    begin, spent = time.monotonic() - begin, cpu() - spent
    print(f"{o.chain} {o.workers} {o.images / begin:.1f} img/s {1e3 * spent / o.images:.3f} cpu-ms/img")


main()
