"""The commands that write something, each on small data in a folder of its own, and what such a folder holds in the end."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# Files whose content names the time or the process; only that they exist is compared.
VOLATILE = {"environment.json", "train.log", "files.json", "cost.json"}


@dataclass(frozen=True)
class Command:
    """A command line, run in a folder of its own.

    Args:
        arguments: As a user types them.
        needs: What the folder has before: "images", "run", "raw".
        again: Added to the arguments when the command is given again after an interruption.
    """

    arguments: str
    needs: tuple[str, ...]
    again: str = ""

    def line(self, *, again=False):
        return [*self.arguments.split(), *(self.again.split() if again else ())]


_TRAINING = "--backbone test_resnet --weights none --size 32 --batch-size 8 --accelerator cpu --val-fraction 0.2"
COMMANDS = {
    "train": Command(f"train --data images/labels.csv {_TRAINING} --epochs 2 --no-report --out new", ("images",), "--resume"),
    "benchmark": Command("benchmark plan.yaml --no-report --out bench", ("images",)),
    "evaluate": Command("evaluate run --data images/labels.csv --allow-seen --no-report", ("images", "run")),
    "predict": Command("predict run images --out predictions.csv", ("images", "run")),
    "prepare": Command("prepare ham10000 --root raw --out prepared --size 16 --jobs 1", ("raw",)),
    "report": Command("report run --format md", ("images", "run")),
    "explain": Command("explain run images/000.png images/001.png --out explained", ("images", "run")),
}

LONG = ("train", "benchmark", "report")  # to be started again after each file

_PLAN = """
data: {blobs: {data: images/labels.csv}}
methods: [instance]
backbones: [test_resnet]
folds: 2
settings: {size: 32, epochs: 1, batch_size: 8, weights: none}
"""


def lay_out(folder, needs, images, run):
    """Make `folder` with what a command needs; `images` and `run` are copied."""
    folder.mkdir()
    if "images" in needs:
        shutil.copytree(images, folder / "images")
        (folder / "plan.yaml").write_text(_PLAN)
    if "run" in needs:
        shutil.copytree(run, folder / "run")
    if "raw" in needs:
        _write_raw(folder / "raw")


def _write_raw(root):
    """HAM10000 as published, with seven images."""
    (root / "HAM10000_images_part_1").mkdir(parents=True)
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for i, name in enumerate(["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"]):
        pixels = np.random.default_rng(i).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(root / "HAM10000_images_part_1" / f"ISIC_{i}.jpg")
        lines.append(f"HAM_{i},ISIC_{i},{name},histo,50.0,male,back")
    (root / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")


def contents(folder):
    """Return the digest of each file, "" where the content may differ; the path of the folder itself does not count."""

    def digest(path):
        return hashlib.sha256(path.read_bytes().replace(bytes(folder), b"")).hexdigest()

    return {
        str(path.relative_to(folder)): "" if path.name in VOLATILE else digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def before_each_file(monkeypatch, act):
    """Call `act(path)` before each file that this process writes gets its name."""
    replace = Path.replace

    def act_and_replace(path, target):
        act(Path(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", act_and_replace)


def bmixup(folder, line):
    """Run a command in `folder` in this process and return its exit status."""
    from balanced_mixup.cli import run

    before = Path.cwd()
    os.chdir(folder)
    try:
        return run(line)
    finally:
        os.chdir(before)
