"""Deterministic damage to files, for tests that feed a reader with it.

    for data in mutations(corpus("images"), 400, seed=0):
        ...  # the reader's result, or its own error; nothing else

A corpus is a folder of small intact files, `corpus/<kind>`; the same seed gives the same damage. Bytes of other kinds of files
(tables, YAML, run files) are damaged in the same way: `words` are what to write into them, such as quotes or `&alias`.
"""

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

EXTREMES = (0, 1, 127, 128, 255, 256, 32_767, 65_535, 2**24, 2**31 - 1, 2**32 - 1)


def corpus(kind: str) -> dict[str, bytes]:
    """Return the files of a corpus by name."""
    files = sorted((Path(__file__).parent / "corpus" / kind).iterdir())
    return {file.name: file.read_bytes() for file in files}


def mutations(files: dict[str, bytes], count: int, seed: int, words: Sequence[bytes] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged files, each file of the corpus in turn, with the name of the file it came from."""
    names = list(files)
    for number in range(count):
        rng = random.Random(seed * 10**9 + number)
        name = names[number % len(names)]
        data = bytearray(files[name])
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            damage(data, rng, files[rng.choice(names)], words)
        yield f"{name} ({seed}, {number})", bytes(data)


def damage(data: bytearray, rng: random.Random, other: bytes, words: Sequence[bytes] = ()) -> None:
    """Damage `data` in one place and in one of many ways; `other` is a file to copy from."""
    size = len(data)
    start = rng.randrange(size + 1)
    stop = min(size, start + rng.choice((1, 2, 4, 16, 64, 256)))
    way = rng.randrange(10 if words else 9)
    if way == 0:
        del data[start:]
    elif way == 1:
        del data[start:stop]
    elif way == 2:
        data[start:stop] = bytes(stop - start)
    elif way == 3:
        data[start:start] = data[start:stop] * rng.choice((1, 2, 10))
    elif way == 4:
        data[start:stop] = rng.randbytes(stop - start)
    elif way == 5:
        take = rng.randrange(len(other) + 1)
        data[start:stop] = other[take : take + stop - start]
    elif way == 6:
        kind = rng.choice(("B", "<H", ">H", "<I", ">I"))
        value = rng.choice(EXTREMES) % 256 ** struct.calcsize(kind)
        data[start : start + struct.calcsize(kind)] = struct.pack(kind, value)
    elif way == 9:
        data[start:start] = rng.choice(words)
    elif start < size:  # twice as likely as the others
        data[start] ^= 1 << rng.randrange(8)
