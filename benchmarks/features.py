"""How fast features are computed, beside the model's forward pass alone, and how long a head takes to train on them.

    python benchmarks/features.py --data labels.csv --images DIR --label dx --size 64 [--threads 1]

The two speeds are measured alternately, in one process, so that what else the machine does falls on both; their ratio counts.
The training is that of `bmixup train --train head --method balanced-mixup` with its features in the cache, without its start.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from balanced_mixup import train
from balanced_mixup.data.preparation import Cache, prepare
from balanced_mixup.data.sources import load
from balanced_mixup.training.backbones import create, features_of
from balanced_mixup.training.features import FeatureExtractor
from balanced_mixup.training.inputs import FeatureCache, TrainingData
from balanced_mixup.training.preprocessing import Preprocessing
from balanced_mixup.training.recipe import make_recipe

ROUNDS, BATCH = 5, 64


def speeds(settings: dict[str, object], cache: Path) -> dict[str, float]:
    """Return images a second of computing and storing features, and of the forward pass alone: medians, and of their ratio."""
    recipe = make_recipe(settings)
    manifest = load(recipe)
    prepared = prepare(manifest, recipe.size, cache=Cache("disk", cache), near_copies=False)
    backbone = create(recipe.backbone, len(manifest.classes), recipe.size, "auto", 0)
    model = backbone.model.eval().to(memory_format=torch.channels_last)
    device = torch.device("cpu")
    extractor = FeatureExtractor(model, recipe.backbone, Preprocessing(backbone.mean, backbone.std), device)
    rows, found = np.arange(len(manifest)), []
    images = extractor.preprocessing(prepared.pixels.gather(rows))
    for number in range(ROUNDS + 1):
        start, busy = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            for batch in images.split(BATCH):
                features_of(model, batch)
        forward, busy_forward = time.perf_counter() - start, time.process_time() - busy
        cached = FeatureCache(prepared.digests, cache / f"round-{number}", manifest.images.origin)
        data = TrainingData(prepared.pixels, manifest.labels, rows, rows[:1], len(manifest.classes), cached=cached)
        start, busy = time.perf_counter(), time.process_time()
        extractor.of(data, rows)
        seconds, busy_seconds = time.perf_counter() - start, time.process_time() - busy
        found.append((len(rows) / seconds, len(rows) / forward, busy_forward / busy_seconds))
    features, forward, busy_ratios = np.array(found[1:]).T  # the first round warms up
    return {
        "features_per_second": float(np.median(features)),
        "forward_per_second": float(np.median(forward)),
        "ratio": float(np.median(features / forward)),
        "ratio_of_processor_time": float(np.median(busy_ratios)),
        "ratios": [round(float(ratio), 3) for ratio in features / forward],
    }


def training(settings: dict[str, object], cache: Path, out: Path) -> dict[str, float]:
    """Return the seconds of a training of the head on features in the cache: those of its loop, and of the whole run."""
    common = {**settings, "train": "head", "cache_dir": cache, "near_copies": False}
    train(common, method="instance", epochs=1, out=out / "fills-the-cache")
    start = time.perf_counter()
    run = train(common, method="balanced-mixup", out=out / "measured").run
    return {"loop_seconds": run.cost.seconds, "run_seconds": time.perf_counter() - start, "images": len(run.images)}


def main() -> None:
    """Measure, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--images")
    parser.add_argument("--label", required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = {"data": arguments.data, "images": arguments.images, "label_column": arguments.label, "size": arguments.size}
    settings |= {"accelerator": "cpu", "threads": arguments.threads}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        result = {"speed": speeds(settings, cache), "training": training(settings, cache, Path(folder))}
    about = {"torch": torch.__version__, "processor": platform.machine(), "threads": arguments.threads, "size": arguments.size}
    print(json.dumps({**about, **result}, indent=2))


if __name__ == "__main__":
    main()
