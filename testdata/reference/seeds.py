"""Small pictures of every kind the decoder meets: seeds of the fuzz tests of stages/vision.

Usage: python3 seeds.py    (numpy, OpenCV 4.6 and Pillow 9.4; writes stages/vision/testdata/seeds)
"""
import io
import os

import cv2
import numpy as np
from PIL import Image

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../stages/vision/testdata/seeds")
os.makedirs(out, exist_ok=True)
y, x = np.mgrid[0:13, 0:19]
rgb = Image.fromarray(np.stack([x * 13, y * 19, (x * y) % 256], -1).astype(np.uint8))


def save(name, img, **kw):
    b = io.BytesIO()
    img.save(b, **kw)
    write(name, b.getvalue())
    return b.getvalue()


def write(name, b):
    with open(os.path.join(out, name), "wb") as f:
        f.write(b)


jpeg = save("444.jpg", rgb, format="JPEG", subsampling=0, quality=90)
save("422.jpg", rgb, format="JPEG", subsampling=1)
save("420.jpg", rgb, format="JPEG", subsampling=2)
save("gray.jpg", rgb.convert("L"), format="JPEG")
save("cmyk.jpg", rgb.convert("CMYK"), format="JPEG")
save("progressive.jpg", rgb, format="JPEG", progressive=True)
save("gray-progressive.jpg", rgb.convert("L"), format="JPEG", progressive=True)
save("strip.jpg", rgb.resize((200, 1)), format="JPEG")
write("restart.jpg", cv2.imencode(".jpg", np.asarray(rgb), [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes())
write("cut.jpg", jpeg[:len(jpeg) - 40])
write("no-eoi.jpg", jpeg[:-2])
sof = jpeg.index(b"\xff\xc0")
dqt = jpeg.index(b"\xff\xdb")  # an abbreviated picture, whose tables another file should have brought
write("no-tables.jpg", jpeg[:dqt] + jpeg[sof:])
write("huge.jpg", jpeg[:sof + 5] + b"\xff\xff\xff\xff" + jpeg[sof + 9:])
write("empty.jpg", jpeg[:sof + 5] + b"\0\0\0\0" + jpeg[sof + 9:])
png = save("rgb.png", rgb, format="PNG")
write("huge.png", png[:16] + b"\x7f\xff\xff\xff\x7f\xff\xff\xff" + png[24:])
save("gray.png", rgb.convert("L"), format="PNG")
save("gray-alpha.png", rgb.convert("LA"), format="PNG")
save("palette.png", rgb.quantize(7), format="PNG")
save("rgba.png", rgb.convert("RGBA"), format="PNG")
save("bits.png", rgb.convert("1"), format="PNG")
save("gray16.png", Image.fromarray((np.asarray(rgb.convert("L")).astype(np.uint16) << 8)), format="PNG")
save("palette.gif", rgb.quantize(7), format="GIF")
save("rgb.bmp", rgb, format="BMP")
save("plain.tiff", rgb, format="TIFF")
save("lzw.tiff", rgb, format="TIFF", compression="tiff_lzw")
save("lossy.webp", rgb, format="WEBP")
save("flat.webp", Image.new("RGB", (16, 16), (200, 30, 90)), format="WEBP")
save("flat-alpha.webp", Image.new("RGBA", (16, 16), (200, 30, 90, 128)), format="WEBP")
save("lossless.webp", rgb.convert("RGBA"), format="WEBP", lossless=True)
write("text.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
write("nothing.jpg", b"")
