"""Golden files for stages/vision, made independently of the Go code.

Usage: python3 chain.py    (numpy, OpenCV 4.6 and Pillow 9.4; writes chain.json and *.png, *.jpg beside itself)

Each case is a picture, the parameters that the Go code would have drawn, and the
sample that PAPER sections 1.1 to 1.3 make of it. The paper mode works in double
precision (Pillow's antialiased triangle filter, then the colour steps as matrices);
mxnet-2018 uses OpenCV itself for resizing, conversion and gray; torchvision resizes
by Pillow itself, as torchvision does.
"""
import json
import os

import cv2
import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
MEAN, STD = np.array([123.68, 116.779, 103.939]), np.array([58.393, 57.12, 57.375])
EIGVAL = np.array([55.46, 4.794, 1.148])
EIGVEC = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
LUMA = np.array([0.299, 0.587, 0.114])


def picture(w, h):
    """Smooth colours, an edge and some noise: everything a filter can get wrong."""
    y, x = np.mgrid[0:h, 0:w]
    img = np.stack([128 + 100 * np.sin(x / 9 + c) * np.cos(y / 7 - c) for c in range(3)], -1)
    img[h // 3: h // 2, w // 4: w // 2] = (250, 20, 90)
    return np.clip(img + rng.normal(0, 12, img.shape), 0, 255).astype(np.uint8)


def triangle(n, m):
    """m x n matrix of the antialiased bilinear filter."""
    s = max(n / m, 1.0)
    c = (np.arange(m) + 0.5) * n / m - 0.5
    k = np.maximum(0, 1 - np.abs(np.arange(n)[None] - c[:, None]) / s)
    return k / k.sum(1, keepdims=True)


def antialias(img, w, h):
    a = np.einsum("yj,jxc->yxc", triangle(img.shape[0], h), np.einsum("xi,jic->jxc", triangle(img.shape[1], w), img.astype(float)))
    return np.clip(np.rint(a), 0, 255)


def hue(c):
    t = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    a = np.pi * (c - 1)
    r = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    return np.linalg.inv(t) @ r @ t


def paper(img, p, clamp):
    v = img.astype(float)
    lim = (lambda z: np.clip(z, 0, 255)) if clamp else (lambda z: z)
    v = lim(v @ hue(p["hue"]).T)
    v = lim(p["saturation"] * v + (1 - p["saturation"]) * (v @ LUMA)[..., None])
    v = lim(p["brightness"] * v)
    v = np.clip(v + EIGVEC @ (np.array(p["light"]) * EIGVAL), 0, 255)
    if p["flip"]:
        v = v[:, ::-1]
    return (v - MEAN) / STD


def mxnet(bgr, p):
    """image_aug_default.cc on the BGR picture that OpenCV's decoder hands it."""
    for step in p["order"]:
        if step == 0:
            bgr = cv2.convertScaleAbs(bgr, alpha=p["brightness"])
        if step == 1:
            gray = cv2.cvtColor(bgr, cv2.COLOR_RGB2GRAY).mean()
            a = p["contrast"]
            bgr = np.clip(np.rint(bgr.astype(np.float32) * np.float32(a) + np.float32((1 - a) * gray)), 0, 255).astype(np.uint8)
        if step == 2:
            gray = cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2BGR)
            bgr = cv2.addWeighted(bgr, p["saturation"], gray, 1 - p["saturation"], 0)
    noise = (EIGVEC @ (np.array(p["light"]) * EIGVAL))[::-1].astype(np.float32)
    if any(p["light"]):
        bgr = np.clip(np.trunc(bgr.astype(np.float32) + noise), 0, 255).astype(np.uint8)
    rgb = bgr[:, :, ::-1].astype(np.float32)
    if p["flip"]:
        rgb = rgb[:, ::-1]
    return (rgb - MEAN) / STD


def torchvision(img, w, h):
    return np.asarray(Image.fromarray(np.ascontiguousarray(img)).resize((w, h), Image.BILINEAR)).astype(float)


TV_MEAN, TV_STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255


def params(w, h, crop):
    return dict(crop=crop, flip=bool(rng.integers(2)), hue=rng.uniform(0.6, 1.4), saturation=rng.uniform(0.6, 1.4),
                brightness=rng.uniform(0.6, 1.4), contrast=rng.uniform(0.6, 1.4), order=[int(i) for i in rng.permutation(3)],
                light=rng.normal(0, 0.1, 3).tolist())


cases = []


def case(name, mode, img, size, p, exact=False):
    file = f"{name}.png"
    cv2.imwrite(os.path.join(here, file), img[:, :, ::-1])
    h, w = img.shape[:2]
    mean, std = (TV_MEAN, TV_STD) if mode == "torchvision" else (MEAN, STD)
    if p is None:  # evaluation: short side, centre crop
        short = -(-size * 8 // 7)
        fw, fh = (w * short // h, short) if w > h else (short, h * short // w)
        if mode == "paper":
            cut = antialias(img, fw, fh)
        elif mode == "torchvision":
            cut = torchvision(img, fw, fh)
        else:
            cut = cv2.resize(img, (fw, fh), interpolation=cv2.INTER_LINEAR).astype(float)
        x, y = (fw - size) // 2, (fh - size) // 2
        if mode == "torchvision":  # CenterCrop: int(round((h - size) / 2.0)), halves to even
            x, y = round((fw - size) / 2.0), round((fh - size) / 2.0)
        out = (cut[y:y + size, x:x + size] - mean) / std
    else:
        x, y, cw, ch = p["crop"]
        part = img[y:y + ch, x:x + cw]
        if mode == "paper":
            out = paper(antialias(part, size, size), p, exact)
        elif mode == "torchvision":
            out = (torchvision(part, size, size)[:, ::-1 if p["flip"] else 1] - mean) / std
        else:
            out = mxnet(cv2.resize(np.ascontiguousarray(part[:, :, ::-1]), (size, size), interpolation=cv2.INTER_LINEAR), p)
    levels = np.rint(out * 1e4).astype(int)  # four decimals are plenty and small
    cases.append(dict(name=name, mode=mode, picture=file, size=size, exact=exact, params=p, sample=levels.ravel().tolist()))


for mode in ("paper", "mxnet-2018"):
    for i, (w, h, crop, size) in enumerate([(60, 45, (7, 3, 41, 37), 24), (50, 64, (0, 0, 50, 64), 24), (40, 30, (5, 5, 12, 13), 24), (70, 50, (3, 1, 48, 48), 24)]):
        img = picture(w, h)
        case(f"{mode}-{i}", mode, img, size, params(w, h, crop))
        if mode == "paper":
            case(f"{mode}-{i}-exact", mode, img, size, cases[-1]["params"], exact=True)
    case(f"{mode}-eval-wide", mode, picture(75, 48), 24, None)
    case(f"{mode}-eval-tall", mode, picture(33, 61), 24, None)

# One JPEG for the decoder: the levels that libjpeg makes of it (accurate integer
# inverse DCT, smooth upsampling), as OpenCV hands them out.
cv2.imwrite(os.path.join(here, "decode.jpg"), picture(37, 29)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
rgb = cv2.imread(os.path.join(here, "decode.jpg"))[:, :, ::-1]

# Crop and flip alone; then a centre crop whose margins of 19 pixels halve to 9 or 10.
for i, (w, h, crop) in enumerate([(60, 45, (7, 3, 41, 37)), (40, 30, (5, 5, 12, 13)), (90, 90, (1, 2, 88, 86))]):
    case(f"torchvision-{i}", "torchvision", picture(w, h), 24, dict(crop=crop, flip=i == 1, hue=1, saturation=1, brightness=1, contrast=1, order=[0, 1, 2], light=[0, 0, 0]))
case("torchvision-eval-wide", "torchvision", picture(75, 48), 24, None)
case("torchvision-eval-tall", "torchvision", picture(33, 61), 24, None)

json.dump(dict(cases=cases, decode=rgb.ravel().tolist()), open(os.path.join(here, "chain.json"), "w"), separators=(",", ":"))
