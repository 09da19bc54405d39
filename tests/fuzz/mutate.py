"""Mutations of the bytes of a file, the same for the same generator."""

import random

_TELLING = (b"\x00", b"\xff", b"\n", b'"', b",", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\xed\xa0\x80", b"9" * 12)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to four changes: bits, bytes, telling sequences, pieces removed, repeated or moved, an end cut."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        stop = min(len(changed), at + rng.choice((1, 2, 4, 16, 64)))
        match rng.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 2:
                changed[at:stop] = rng.choice(_TELLING)
            case 3:
                del changed[at:stop]
            case 4:
                changed[at:at] = changed[at:stop] * rng.choice((1, 2, 50))
            case 5:
                piece = changed[at:stop]
                del changed[at:stop]
                to = rng.randrange(len(changed) + 1)
                changed[to:to] = piece
            case 6:
                del changed[at:]
    return bytes(changed)
