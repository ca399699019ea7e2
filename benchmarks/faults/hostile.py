"""Makes hostile pictures: damaged, lying, endless, huge once they are unpacked, or no pictures at all."""

import io
import os
import socket
import struct
import zlib

from common.data import pictures

import numpy as np
from PIL import Image, ImageDraw

FORMATS = {  # by ending: how Pillow writes it
    "png": {}, "jpg": {}, "progressive.jpg": {"progressive": True}, "heic": {}, "avif": {}, "webp": {}, "gif": {},
    "bmp": {}, "tiff": {"compression": "tiff_lzw"}, "raw.tiff": {}, "ppm": {},
}  # fmt: skip
CUTS, FLIPS = (0.02, 0.3, 0.6, 0.95), 6  # shares that are left; files, each with other bits flipped
BILLION = 31_623  # pixels of a side of 10^9
MANY = 3000  # frames, scans
LINES = 60_000  # of which a TIFF has one a strip
SPARSE = 3_000_000_000  # bytes of a file that takes no room on the disk


def image(width=96, height=128, mode="RGB"):
    """A seven on paper."""
    result = Image.new("L", (width, height), 235)
    points = [(x * width, y * height) for x, y in ((0.25, 0.25), (0.75, 0.25), (0.45, 0.8))]
    ImageDraw.Draw(result).line(points, 20, max(1, width // 12), joint="curve")
    return result.convert(mode)


def encoded(picture, ending, **options):
    """The bytes of a picture's file."""
    file = io.BytesIO()
    kind = {"jpg": "JPEG", "heic": "HEIF"}.get(ending, ending.upper())
    picture.save(file, kind, **options)
    return file.getvalue()


def files(seed=0):
    """Yields (name, bytes) of those that are small and quickly made."""
    random = np.random.default_rng(seed)
    for name, options in FORMATS.items():
        whole = encoded(image(), name.split(".")[-1], **options)
        for share in CUTS:
            yield f"cut-{share}.{name}", whole[: int(share * len(whole))]
        for i in range(FLIPS):
            bits = np.unpackbits(np.frombuffer(whole, np.uint8))
            bits[random.integers(0, min(len(bits), 8000 if i % 2 else len(bits)), 4**i % 61)] ^= 1  # every other: heads
            yield f"flipped-{i}.{name}", np.packbits(bits).tobytes()
    yield from _declared()
    yield from _sizes()
    yield from _metadata(random)
    yield from _tiffs()
    for name, text in (
        ("svg", "<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"),
        ("pdf", "%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj"), ("html", "<html><img src=x onerror=alert(1)></html>"),
        ("eps", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file"), ("empty", ""),
    ):  # fmt: skip
        yield f"{name}.png", text.encode()


def png(width, height, *chunks, pixels=None):
    """A grey PNG: width and height as declared; chunks: (type, bytes) before its pixels, which are compressed bytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000)) if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b""))
    )


def tiff(tags, data=b""):
    """A TIFF of tags {number: (type, values)}, types 3 (16 bits) and 4 (32 bits), and data from byte 8 on."""
    offset = 8 + len(data) + 6 + 12 * len(tags)
    entries, behind = b"", b""
    for number, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", offset + len(behind))
        behind += packed if len(packed) > 4 else b""
        entries += struct.pack("<HHI", number, kind, len(values)) + place
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4) + behind


def grey_tiff(width, height, compression, offsets, counts, data=b""):
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 259: (3, [compression]), 262: (3, [1])}
    tags |= {273: (4, offsets), 277: (3, [1]), 278: (4, [max(1, height // len(offsets))])}
    return tiff(tags | ({279: (4, counts)} if counts else {}), data)


def _declared():
    """Sizes of 10^9 pixels, or as many as the format can say, in files of few bytes."""
    n = BILLION
    yield "declared.png", png(n, n)
    yield "declared.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, n, n, 1, 24, 0, 0, 1, 1, 0, 0)
    yield "declared-rle.bmp", (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 1078, 40, n, n, 1, 8, 1, 0, 1, 1, 0, 0)
        + bytes(1024) + b"\xff\1"
    )  # fmt: skip
    yield "declared.ppm", b"P6 %d %d 255\n" % (n, n)
    yield "declared.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + (
        b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2\x4c\1\0;"
    )
    yield "declared.tiff", grey_tiff(n, n, 8, [8], [20], zlib.compress(bytes(99)))
    yield "declared-raw.tiff", grey_tiff(n, n, 1, [8], [n * n], bytes(99))
    extended = b"VP8X" + struct.pack("<II", 10, 0) + (16383).to_bytes(3, "little") * 2
    frame = extended + encoded(image(), "webp")[12:]
    yield "declared.webp", b"RIFF" + struct.pack("<I", len(frame) + 4) + b"WEBP" + frame
    jpeg = encoded(image(), "jpg")
    at = jpeg.index(b"\xff\xc0") + 5
    yield "declared.jpg", jpeg[:at] + struct.pack(">HH", 65500, 65500) + jpeg[at + 4 :]
    for ending in ("heic", "avif"):
        whole = encoded(image(), ending)
        at = whole.index(b"ispe") + 8
        for name, size in (("declared", n), ("smaller", 16)):
            yield f"{name}.{ending}", whole[:at] + struct.pack(">II", size, size) + whole[at + 8 :]


def _sizes():
    """None, one pixel, and long ones."""
    for width, height in ((0, 0), (0, 9), (9, 0)):
        yield f"{width}x{height}.png", png(width, height)
        yield f"{width}x{height}.ppm", b"P6 %d %d 255\n" % (width, height)
        yield f"{width}x{height}.gif", b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b";"
    random = np.random.default_rng(1)
    for width, height in ((1, 1), (1, 20_000), (20_000, 1), (2, 2), (3, 20_000)):
        ink = Image.fromarray(random.integers(0, 2, [height, width], np.uint8) * 255)
        for ending in ("png", "jpg", "webp"):
            if max(width, height) < 16_384 or ending != "webp":
                yield f"{width}x{height}.{ending}", encoded(ink, ending)


def _metadata(random):
    """Rubbish where others keep profiles, EXIF data and texts; and texts that are huge once they are unpacked."""
    rubbish = random.bytes(3000)
    for ending in ("png", "jpg", "webp", "heic", "avif", "tiff"):
        for name, what in (("icc", "icc_profile"), ("exif", "exif"), ("xmp", "xmp")):
            if what != "xmp" or ending in ("webp", "heic", "avif", "jpg"):
                head = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" if what == "exif" else b""
                yield f"{name}.{ending}", encoded(image(), ending, **{what: head + rubbish})
    bomb = zlib.compress(bytes(20_000_000))
    megabyte, grey = zlib.compress(bytes(1_000_000)), image(mode="L")
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(grey)))
    for name, chunks in (
        ("ztxt", [(b"zTXt", b"a\0\0" + bomb)]), ("itxt", [(b"iTXt", b"a\0\1\0\0\0" + bomb)]),
        ("iccp", [(b"iCCP", b"a\0\0" + bomb)]), ("text", [(b"tEXt", b"a\0" + bytes(40_000_000))]),
        ("texts", [(b"zTXt", b"%d\0\0" % i + megabyte) for i in range(500)]),
        ("xmp", [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + rubbish)]), ("exif-chunk", [(b"eXIf", rubbish)]),
    ):  # fmt: skip
        yield f"{name}.png", png(*grey.size, *chunks, pixels=packed)
    comment = b"!\xfe" + b"\xff".ljust(256, b"a") * 30_000 + b"\0"
    yield "comments.gif", encoded(grey, "gif")[:-1].replace(b",", comment + b",", 1)


def _tiffs():
    """Strips that lie on each other, strips of unknown length, and tags that are as large as the file."""
    data = zlib.compress(np.random.default_rng(0).bytes(2_000_000), 1)
    offsets = [8] * LINES
    yield "overlapping.tiff", grey_tiff(200, LINES, 8, offsets, [len(data)] * LINES, data)
    yield "unknown.tiff", grey_tiff(200, LINES, 8, offsets, None, data)
    tags = {256: (4, [9]), 257: (4, [9]), 258: (3, [8] * 12_000_000), 259: (3, [1]), 262: (3, [1]), 273: (4, [8])}
    yield "tags.tiff", tiff(tags)
    yield "circle.tiff", grey_tiff(9, 9, 1, [8], [81], bytes(81))[:-4] + struct.pack("<I", 8 + 81)


def slow():
    """Yields (name, bytes) of those that take long to make or to read: endless ones, and the largest that are read."""
    frames = [Image.new("L", (40, 40), i % 256) for i in range(MANY)]
    for ending in ("gif", "png", "webp", "tiff"):
        yield f"frames.{ending}", encoded(frames[0], ending, save_all=True, append_images=frames[1:])
    for name, mode, side in (("scans", "RGB", 6324), ("scans-cmyk", "CMYK", 5500)):
        whole = encoded(Image.new(mode, (side, side)), "jpg", progressive=True, subsampling=0)
        last = whole[whole.rindex(b"\xff\xda") : -2]
        yield f"{name}.jpg", whole[:-2] + last * MANY + b"\xff\xd9"
    small = encoded(image(), "jpg", progressive=True)
    yield "scans-small.jpg", small[:-2] + small[small.rindex(b"\xff\xda") : -2] * 20 * MANY + b"\xff\xd9"
    yield "slow.ppm", b"P6 5000 5000 100\n" + bytes(75_000_000)
    yield "slow-plain.ppm", b"P3 4000 4000 100\n" + b"99 " * 33_000_000
    yield "slow-rle.bmp", (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 1078, 40, 7000, 7000, 1, 8, 1, 0, 1, 1, 0, 0)
        + bytes(1024) + b"\1\1" * 49_000_000
    )  # fmt: skip
    random = np.random.default_rng(2)
    for side in (1000, 4000):
        noise = random.integers(0, 256, [side, side, 3], np.uint8)
        yield f"noise-{side}.png", encoded(Image.fromarray(noise), "png")
        yield f"specks-{side}.png", encoded(Image.fromarray((noise[..., 0] > 25).astype(np.uint8) * 255), "png")
        dots = np.full([side, side], 235, np.uint8)
        dots[20:-20:20, 20:-20:20] = dots[21:-20:20, 20:-20:20] = dots[21:-20:20, 21:-20:20] = 20
        yield f"dots-{side}.png", encoded(Image.fromarray(dots), "png")
        yield f"slanted-{side}.png", encoded(Image.fromarray(dots).rotate(10, fillcolor=235), "png")
        board = (np.indices((side, side)) // 3).sum(axis=0) % 2
        yield f"board-{side}.png", encoded(Image.fromarray(board.astype(np.uint8) * 255), "png")
    for ending, mode, most in (
        ("png", "RGBA", pictures.MAX_PIXELS), ("gif", "L", pictures.MAX_PIXELS), ("tiff", "RGBA", pictures.MAX_PIXELS),
        ("jpg", "CMYK", pictures.MAX_JPEG_PIXELS), ("webp", "RGBA", pictures.FEWER_PIXELS["WEBP"]),
        ("avif", "RGBA", pictures.FEWER_PIXELS["AVIF"]), ("heic", "RGB", 48_770_000),
    ):  # fmt: skip
        largest = image(*[int(most**0.5)] * 2, mode)
        options = {"speed": 10} if ending == "avif" else FORMATS[ending]
        yield f"largest.{ending}", encoded(largest, ending, **options)
    lying, side = encoded(Image.new("RGB", [16_384] * 2), "avif", speed=10), struct.pack(">I", 16_384)
    yield "lying.avif", lying.replace(side * 2, struct.pack(">II", 640, 480))


def odd(folder):
    """Makes what is no ordinary file in a folder; yields the paths."""
    for name in ("line\nbreak.png", "\x1b[31m\x1b]0;title\x07escape.png", "right\u202eleft.png", b"no-utf-8-\xff.png"):
        name = os.fsdecode(name)
        (folder / name).write_bytes(encoded(image(), "png"))
        yield folder / name
        (folder / f"bad-{name}").write_bytes(b"")
        yield folder / f"bad-{name}"
    (folder / ("x" * 255)).write_bytes(encoded(image(), "png"))
    yield folder / ("x" * 255)
    yield folder / ("y" * 300)
    (folder / "x.png").mkdir()
    os.mkfifo(folder / "fifo.png")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(folder / "socket.png"))  # of at most 107 bytes
    listening.close()
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nothing.png")
    for name in ("x.png", "fifo.png", "socket.png", "loop.png", "dangling.png"):
        yield folder / name
    for device in ("/dev/zero", "/dev/full", "/dev/stdin"):
        (folder / f"{device[5:]}.png").symlink_to(device)
        yield folder / f"{device[5:]}.png"
    for ending in ("png", "jpg", "heic", "avif", "webp", "tiff"):
        path = folder / f"sparse.{ending}"
        whole = encoded(image(), ending)
        path.write_bytes(png(9, 9)[:33] + b"\x7f\xff\xff\xfftEXt" if ending == "png" else whole)
        os.truncate(path, SPARSE)
        yield path
