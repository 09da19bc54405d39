"""Mutations of the bytes of a file, the same for the same generator."""

import random

_TOKENS = (
    b"",
    b"\x00",
    b"\xff" * 4,
    b"\x1b[2J",
    b"NaN",
    b"1e999",
    b"-1",
    b"9" * 40,
    b"null",
    b"[" * 40,
    b"{}",
    b'"',
    b",",
    b"\n",
    b"*a",
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to four changes: bits flipped, and parts removed, repeated, moved, cut off or replaced."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 2, 8, 64, 1024)))
        match rng.randrange(6):
            case 0 if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case 3:
                content[start:end] = rng.choice(_TOKENS)
            case 4:
                del content[start:]
            case _:
                part = content[start:end]
                del content[start:end]
                place = rng.randrange(len(content) + 1)
                content[place:place] = part
    return bytes(content)
