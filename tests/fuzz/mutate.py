"""Deterministic damage to the bytes of a file, for tests that feed a reader with it.

    for name, data in mutations(corpus("images"), 400, seed=0):
        ...  # the reader's result, or its own error; nothing else

A corpus is a folder of small intact files, `corpus/<kind>`; the same seed gives the same damage.
"""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

# What readers of binary files, tables, YAML and JSON stumble over.
_NUMBERS = (0, 1, 127, 128, 255, 256, 32_767, 65_535, 2**24, 2**31 - 1, 2**32 - 1)
_WORDS = (
    *(b"\x00", b"\xff" * 4, b"\n", b"\r", b'"', b",", b"[" * 40, b"{}", b"*a", b"\x1b[2J", b"\xed\xa0\x80"),
    *(b"null", b"NaN", b"1e999", b"-1", b"9" * 40),
)


def corpus(kind: str) -> dict[str, bytes]:
    """Return the files of a corpus by name."""
    files = sorted((Path(__file__).parent / "corpus" / kind).iterdir())
    return {file.name: file.read_bytes() for file in files}


def mutations(files: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged files, each file of a corpus in turn, with its name and what reproduces the damage."""
    names = list(files)
    for number in range(count):
        rng = random.Random(seed * 10**9 + number)
        name = names[number % len(names)]
        yield f"{name} ({seed}, {number})", mutate(files[name], rng, files[rng.choice(names)])


def mutate(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Return `data` with one to eight changes, the same for the same generator; parts of `other` are copied into it."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        _change(changed, rng, other or data)
    return bytes(changed)


def _change(data: bytearray, rng: random.Random, other: bytes) -> None:
    start = rng.randrange(len(data) + 1)
    stop = min(len(data), start + rng.choice((1, 2, 4, 16, 64, 256)))
    match rng.randrange(10):
        case 0:
            del data[start:]
        case 1:
            del data[start:stop]
        case 2:
            data[start:stop] = bytes(stop - start)
        case 3:
            data[start:start] = data[start:stop] * rng.choice((1, 2, 50))
        case 4:
            data[start:stop] = rng.randbytes(stop - start)
        case 5:
            taken = rng.randrange(len(other) + 1)
            data[start:stop] = other[taken : taken + stop - start]
        case 6:
            kind = rng.choice(("B", "<H", ">H", "<I", ">I"))
            number = struct.pack(kind, rng.choice(_NUMBERS) % 256 ** struct.calcsize(kind))
            data[start : start + len(number)] = number
        case 7:
            data[start:stop] = rng.choice(_WORDS)
        case 8:
            moved = data[start:stop]
            del data[start:stop]
            place = rng.randrange(len(data) + 1)
            data[place:place] = moved
        case _ if start < len(data):
            data[start] ^= 1 << rng.randrange(8)
