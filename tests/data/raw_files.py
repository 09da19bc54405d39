"""Image files written byte by byte, which Pillow would not write."""

import struct
import zlib


def png(width, height, rows, *, colour=0, bits=8, chunks=()):
    """Return a PNG of its filtered rows; `chunks` are (type, content) before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(png_chunk, *zip(*parts, strict=True)))


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(width, height, pixels, *, bits, white_is_zero=False):
    """Return an uncompressed greyscale TIFF of packed `pixels`."""
    short, long = 3, 4
    tags = [
        (256, long, width),
        (257, long, height),
        (258, short, bits),
        (259, short, 1),  # not compressed
        (262, short, 0 if white_is_zero else 1),
        (273, long, 8),  # where the pixels begin
        (277, short, 1),
        (278, long, height),
        (279, long, len(pixels)),
    ]
    pixels += b"\0" * (len(pixels) % 2)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


def gif(width, height):
    """Return a GIF of a few bytes that says that it is large."""
    screen = struct.pack("<HHBBB", width, height, 0, 0, 0)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"
