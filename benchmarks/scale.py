"""How cost grows with the size of the data set: index streams and the batch path from 10^4 to 10^9 samples.

python benchmarks/scale.py                       # 10^9 needs 7 GiB of memory; a sparse file stands for the pixels
python benchmarks/scale.py --samples 10000 1000000
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from balanced_mixup.data.batches import TrainBatches
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.methods import Stage
from balanced_mixup.mixing import BalancedMixUp
from balanced_mixup.sampling import class_branch, instance_branch

SHARES = (0.735, 0.07, 0.15, 0.025, 0.02)  # EyePACS
BATCH, SIDE, STEPS = 32, 16, 300


def labels_of(n: int) -> np.ndarray:
    """Return n labels of one byte, classes as rare as in EyePACS, in no order."""
    rng = np.random.default_rng(0)
    edges = (np.cumsum(SHARES) * 256).astype(np.int64)
    table = np.searchsorted(edges[:-1], np.arange(256), side="right").astype(np.uint8)
    return table[np.frombuffer(rng.bytes(n), np.uint8)]


def anonymous_mib() -> float:
    """Return the private memory of this process in MiB, without the page cache."""
    return float(psutil.Process().memory_full_info().uss) / 2**20


def median_time(function: Any, calls: int) -> float:
    """Return the median seconds of function(0), function(1) ..."""
    seconds = []
    for call in range(calls):
        start = time.perf_counter()
        function(call)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def measure(n: int) -> dict[str, Any]:
    """Measure one size, in a process of its own."""
    labels = labels_of(n)
    before = anonymous_mib()
    start = time.perf_counter()
    branches = instance_branch(labels), class_branch(labels)
    start_up = time.perf_counter() - start
    memory = anonymous_mib() - before
    places = np.random.default_rng(1).integers(0, n // BATCH, 3 * STEPS)  # steps anywhere in the epoch

    def draw(branch: int) -> float:
        calls = [np.arange(BATCH) + place * BATCH for place in places]
        return median_time(lambda call: branches[branch].rows(0, calls[call]), STEPS) / BATCH

    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.name, n * SIDE * SIDE * 3)
        rows = np.arange(n, dtype=np.uint32)
        pixels = ArrayPixels(np.memmap(file.name, np.uint8, "r", shape=(n, SIDE, SIDE, 3)), rows)
        stage = Stage(*branches, BalancedMixUp(0.2, "sample"))
        batches = TrainBatches(pixels, labels, rows, stage, batch_size=BATCH, seed=0, epoch=0)
        step = median_time(lambda call: batches.step(int(places[call])), STEPS)
    return {
        "samples": n,
        "start_up_s": start_up,
        "branches_mib": memory,
        "instance_draw_us": draw(0) * 1e6,
        "class_draw_us": draw(1) * 1e6,
        "step_ms": step * 1e3,
    }


def main() -> None:
    """Measure each size, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10**power for power in range(4, 10)])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    rows: list[dict[str, Any]] = []
    for n in arguments.samples:
        done = subprocess.run([sys.executable, __file__, "--one", str(n)], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
    table = Table(title=f"a draw and a step of {BATCH} samples (medians)", title_justify="left", box=None, pad_edge=False)
    names = list(rows[0])
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(f"{row['samples']:,}", *(f"{row[name]:.3g}" for name in names[1:]))
    Console(width=120).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
