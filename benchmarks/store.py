"""What the store of decoded images costs: building it, starting and reading from it, and the memory of a large one.

python benchmarks/store.py [--json FILE]
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from modules import first_module
from PIL import Image
from throughput import CLASSES, machine, write_images

from balanced_mixup.data.images import ArrayImages, stamp_of
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.data.preparation import Cache, Prepared, prepare, read
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.store import Store
from balanced_mixup.data.store_format import CHANNELS, IndexEntry, begin_store, header_for, pixel_file, replace_index
from balanced_mixup.training.backbones import create
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.module import ClassifierModule
from balanced_mixup.training.recipe import make_recipe


def decode(size: int, file: Path) -> int:
    """Decode and resize a file, and do nothing with it."""
    with Image.open(file) as image:
        image.draft(None, (2 * size, 2 * size))
        return len(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR).tobytes())


def prepared(table: Path, size: int, cache_dir: Path) -> Prepared:
    """Look at the data through the store."""
    settings = DataSettings(data=str(table), split_column="split")
    return prepare(load(settings), size, cache=Cache("disk", cache_dir), val_fraction=0.1)


def seconds_of(function: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def building(folder: Path, source: int, size: int, n: int, rounds: int) -> dict[str, Any]:
    """Compare building the store with decoding alone, by as many processes as there are cores."""
    folder.mkdir()
    table = write_images(folder, n, source)
    files = sorted(folder.glob("*.jpg"))
    alone, building, starting = [], [], []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(decode, size), files[:64]))  # the processes are there
        for number in range(rounds):
            cache_dir = folder / f"cache{number}"
            alone.append(seconds_of(lambda: list(pool.map(partial(decode, size), files, chunksize=16))))
            building.append(seconds_of(partial(prepared, table, size, cache_dir)))
            starting.append(seconds_of(partial(start, table, size, cache_dir)))
    return {
        "source_px": source,
        "size": size,
        "images": n,
        "decoding_alone_per_s": n / statistics.median(alone),
        "building_per_s": n / statistics.median(building),
        "ratio": statistics.median(a / b for a, b in zip(alone, building, strict=True)),
        "second_start_s": statistics.median(starting),
    }


def after_a_step(data: Prepared, size: int) -> ClassifierModule:
    """Return a training after its first step."""
    recipe = make_recipe({"size": size, "batch_size": 8, "epochs": 1, "alpha": 0.2})
    parts = data.manifest.rows("train"), data.manifest.rows("val")
    training = TrainingData(data.pixels, data.manifest.labels, *parts, CLASSES)
    module = first_module(recipe, create("test_efficientnet", CLASSES, size, "none", 0), training)
    module.on_train_epoch_start()
    module.training_step(module.batches(0).step(0), 0).backward()
    return module


def start(table: Path, size: int, cache_dir: Path) -> ClassifierModule:
    """Return a training after its first step, from the store."""
    return after_a_step(prepared(table, size, cache_dir), size)


def reading(folder: Path, size: int, n: int, rounds: int) -> dict[str, Any]:
    """Compare reading images for the first time, when they are verified, with reading them again: processor time of each."""
    folder.mkdir()
    images = ArrayImages([f"{row}" for row in range(n)], np.zeros((n, size, size, 3), np.uint8), folder, stamp_of(folder))
    rows, first, again = np.arange(n), [], []
    for _ in range(rounds):
        pixels, _ = read(Manifest(images, np.zeros(n, np.int64), ("a",)), size, Cache("disk", folder / "cache"))
        for seconds in (first, again):
            began = time.process_time()
            for start in range(0, n, 32):
                pixels.gather(rows[start : start + 32])
            seconds.append(time.process_time() - began)
    return {
        "size": size,
        "images": n,
        "first_us": statistics.median(first) / n * 1e6,
        "again_us": statistics.median(again) / n * 1e6,
        "verifying_gb_per_s": n * size * size * 3 / (statistics.median(first) - statistics.median(again)) / 1e9,
    }


def memory(folder: Path, n: int, size: int) -> dict[str, Any]:
    """Return the private memory of training steps from a store of n images, beyond that of the same steps without one."""
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "0.jpg")
    lines = ["image,label,split"]
    for row in range(n):
        if row:
            os.link(folder / "0.jpg", folder / f"{row}.jpg")
        lines.append(f"{row}.jpg,{min(row % 40, CLASSES - 1)},{'val' if row % 5 == 4 else 'train'}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    time.sleep(2.1)  # until the times of the files count as settled
    store = Store.under(folder / "cache", str(folder.resolve()), size)
    store.folder.parent.mkdir()
    begin_store(store.folder, header_for(store.origin, size))
    image = bytes(size * size * CHANNELS)
    stamps = [stamp_of(folder / f"{row}.jpg").fingerprint for row in range(n)]
    entries = [IndexEntry(stamp, f"digest {row}", 8, 8, "file", row, zlib.crc32(image)) for row, stamp in enumerate(stamps)]
    pixel_file(store.folder, "file").touch()
    os.truncate(pixel_file(store.folder, "file"), n * len(image))  # no pixels, but as long
    replace_index(store.folder, {f"{row}.jpg": entry for row, entry in enumerate(entries)}).close()

    def private_after(data: Prepared) -> float:
        module = after_a_step(data, size)
        for step in range(20):
            module.training_step(module.batches(0).step(step), 0).backward()
        return float(psutil.Process().memory_full_info().uss) / 2**20

    alone = private_after(tiny(table, size))
    start = time.perf_counter()
    data = prepared(table, size, folder / "cache")
    after_a_step(data, size)
    started = time.perf_counter() - start
    return {"images": n, "size": size, "second_start_s": started, "private_mib": private_after(data) - alone}


def tiny(table: Path, size: int) -> Prepared:
    """Return data for the same steps in an array that takes no memory, because nothing was written to it yet."""
    manifest = load(DataSettings(data=str(table), split_column="split")).subset(np.arange(400))
    return Prepared(ArrayPixels(np.zeros((400, size, size, 3), np.uint8)), manifest, ("",) * 400)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    logging.getLogger("balanced_mixup").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        result = {
            "machine": machine(),
            "building": [
                building(root / "few", 128, 96, 2000, arguments.rounds),
                building(root / "many", 128, 96, 16_000, arguments.rounds),
                building(root / "middle", 512, 256, 6000, arguments.rounds),
                building(root / "large", 1024, 512, 3000, arguments.rounds),
            ],
            "reading": [
                reading(root / f"reading{size}", size, n, arguments.rounds) for size, n in ((96, 8000), (256, 2000), (512, 500))
            ],
            "memory": memory(root / "huge", 50_000, 512),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
