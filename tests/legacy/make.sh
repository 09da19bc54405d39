#!/bin/bash
# How the folders beside this script were made, by the commit before issue 11 (82f3e49). They are not made again: what they
# are for is that the files of an old version stay readable. Needs that version's `bmixup` and `python` on PATH.
#
#   tests/legacy/make.sh EMPTY_FOLDER
set -eu
out=$(realpath "$1")
export OMP_NUM_THREADS=1 BMIXUP_CACHE_DIR=$out/cache
cd "$out"

# Data: 72 pictures in three classes (42/18/12) of 36 patients; 24 of another place; 48 in four grades as one npz.
python - <<'PYTHON'
from pathlib import Path

import numpy as np
from PIL import Image

rng = np.random.default_rng(0)
CLASSES = ("red", "green", "blue")


def picture(k, size=32):
    pixels = np.repeat(np.repeat(rng.integers(0, 100, (4, 4, 3)), size // 4, 0), size // 4, 1)
    pixels[8:24, 8:24, k] += rng.integers(20, 120)
    return pixels.astype(np.uint8)


def table(folder, labels, names, patients):
    folder = Path("data") / folder
    folder.mkdir(parents=True)
    lines = ["image,label,patient"]
    for number, k in enumerate(labels):
        Image.fromarray(picture(k)).save(folder / f"{number:02}.png", optimize=True)
        lines.append(f"{number:02}.png,{names[k]},{patients}{number // 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


table("photos", [0] * 42 + [1] * 18 + [2] * 12, CLASSES, "p")
table("clinic", [0] * 12 + [1] * 8 + [2] * 4, ("rot", "green", "blue"), "c")
grades = rng.permutation(np.repeat(np.arange(4), (24, 12, 8, 4)))
images = np.stack([np.clip(picture(0).astype(int) + 25 * grade, 0, 255).astype(np.uint8) for grade in grades])
split = {"train": slice(0, 28), "val": slice(28, 36), "test": slice(36, 48)}
arrays = {f"{part}_images": images[rows] for part, rows in split.items()}
arrays |= {f"{part}_labels": grades[rows].reshape(-1, 1).astype(np.uint8) for part, rows in split.items()}
np.savez_compressed("data/grades.npz", **arrays)
PYTHON

common=(--backbone test_efficientnet --weights none --size 32 --batch-size 8 --learning-rate 3e-3 --accelerator cpu)
photos=(--data data/photos/labels.csv --group-column patient --val-fraction 0.2)

# A finished run with an evaluation on other data, corrected to other class shares.
bmixup train "${photos[@]}" "${common[@]}" --epochs 3 --method balanced-mixup --alpha 0.3 --out finished --no-report
bmixup evaluate finished --data data/clinic/labels.csv --label-map.rot red --prior uniform --sensitivity.blue 0.8 --no-report

# A finished run of a method with a setting of its own, on ordinal classes.
bmixup train --data data/grades.npz --classes none,mild,moderate,severe --ordinal "${common[@]}" --epochs 2 \
    --method cb-loss --cb-beta 0.99 --out ordinal --no-report

# A run that was killed when the checkpoint of its second epoch of four had reached the disk.
python - "${photos[@]}" "${common[@]}" <<'PYTHON' || true
import os
import signal
import sys

from balanced_mixup.cli import main
from balanced_mixup.training import fit

save = fit._AtomicCheckpointIO.save_checkpoint
saved = []


def save_and_die(*args, **kwargs):
    save(*args, **kwargs)
    saved.append(1)
    if len(saved) == 2:
        os.kill(os.getpid(), signal.SIGKILL)


fit._AtomicCheckpointIO.save_checkpoint = save_and_die
sys.argv = ["bmixup", "train", *sys.argv[1:], "--epochs", "4", "--method", "balanced-mixup", "--out", "interrupted"]
main()
PYTHON
# What the old version makes of it on one thread. Holds for the same torch and instruction set only; the test trains afresh.
cp -r interrupted resumed
bmixup train --out resumed --resume --no-report
sha256sum resumed/weights.safetensors | cut -d ' ' -f 1 > interrupted.sha256
rm -r resumed

# A benchmark that was stopped when three of its six runs were finished.
cat > plan.yaml <<'YAML'
data:
  photos:
    data: data/photos/labels.csv
    group_column: patient
    external:
      clinic: {data: data/clinic/labels.csv, label_map: {rot: red}}
methods:
  - instance
  - {method: focal, focal_gamma: 1.5}
backbones: [test_efficientnet]
folds: 3
settings: {size: 32, epochs: 1, batch_size: 8, weights: none, learning_rate: 0.003, val_fraction: 0.2}
YAML
bmixup benchmark plan.yaml --out benchmark --accelerator cpu --no-report &
while [ "$(ls benchmark/runs/*/evaluations/*/metrics.json 2> /dev/null | wc -l)" -lt 3 ]; do sleep 0.05; done
kill -9 $!
rm -r cache
