"""What large data cost: checking a table of many rows, and scoring predictions for many classes.

python benchmarks/large_data.py                            # a million images of 12 px: 4 GB of disk, minutes to write
python benchmarks/large_data.py --rows 100000 --classes 500 --images 5000
"""

import argparse
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

SIDE, FOLDER, OF_PATIENT = 12, 1000, 20


def tiny_png(number: int) -> bytes:
    """Return an image of noise, which is like that of no other number."""
    noise = random.Random(number).randbytes(3 * SIDE * SIDE)
    pixels = zlib.compress(b"".join(b"\0" + noise[line : line + 3 * SIDE] for line in range(0, len(noise), 3 * SIDE)), 1)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    written = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def write_data(root: Path, images: int, rows: int) -> Path:
    """Write images, those that are there already excepted, and a table of rows that go through them again and again."""
    for number in range(images):
        path = root / f"{number // FOLDER:04d}" / f"{number:07d}.png"
        if number % FOLDER == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(tiny_png(number))
    with (root / f"{images}-{rows}.csv").open("w", encoding="utf-8") as table:
        table.write("image,label,patient\n")
        for row in range(rows):
            number = row % images
            table.write(f"{number // FOLDER:04d}/{number:07d}.png,c{number % 7},p{number // OF_PATIENT}\n")
    return Path(table.name)


def check(table: Path) -> None:
    from balanced_mixup.cli import run

    run(["check", "--data", str(table), "--group-column", "patient"])


def score(images: int, classes: int) -> None:
    """Score random predictions that are right for a fifth of the images."""
    from balanced_mixup.runs.predictions import Predictions
    from balanced_mixup.runs.scores import Scores

    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    logits = 2 * rng.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 5
    weights = np.exp(logits)
    names = tuple(map(str, range(classes)))
    probabilities = weights / weights.sum(1, keepdims=True)
    Scores.of(Predictions(tuple(map(str, range(images))), labels, probabilities, names, None, np.full(images, "test")))


def measured(*arguments: object) -> dict[str, Any]:
    """Run a case in a process of its own: seconds, processor seconds of all its processes, and its own peak memory."""
    done = subprocess.run(
        [sys.executable, __file__, "--case", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_case(kind: str, *arguments: str) -> None:
    start = time.perf_counter()
    check(Path(arguments[0])) if kind == "check" else score(*map(int, arguments))
    seconds = time.perf_counter() - start
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    used = sum(usage.ru_utime + usage.ru_stime for usage in (own, others))
    print(json.dumps({"seconds": seconds, "processor_s": used, "peak_mib": own.ru_maxrss / 1024}))


def main() -> None:
    """Measure each case, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--classes", type=int, default=2000)
    parser.add_argument("--images", type=int, default=20_000, help="that are scored")
    parser.add_argument("--folder", type=Path, help="for the images, which are kept for the next time; a temporary one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run_case(*arguments.case)
        return
    rows, figures = arguments.rows, {}
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        figures[f"check {rows:,} images"] = measured("check", write_data(root, rows, rows))
        few = max(1, rows // 100)
        figures[f"check {rows:,} rows of {few:,} images"] = measured("check", write_data(root, few, rows))
    name = f"score {arguments.images:,} images of {arguments.classes:,} classes"
    figures[name] = measured("score", arguments.images, arguments.classes)
    table = Table("", "seconds", "processor seconds", "peak MiB", box=None, pad_edge=False)
    for case, found in figures.items():
        table.add_row(case, *(f"{found[key]:.3g}" for key in ("seconds", "processor_s", "peak_mib")))
    Console(width=120).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
