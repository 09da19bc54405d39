"""Near copies: how many are found of each kind, how many other images are taken for copies, and how long it takes.

python benchmarks/near_copies.py --photographs DIR ...     # folders of photographs, each by itself
python benchmarks/near_copies.py --count 100000            # and the time of `bmixup check` on so many images of 64 px
python benchmarks/near_copies.py --quick
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from rich.console import Console
from rich.table import Table

from balanced_mixup.data.images import is_image, load_rgb
from balanced_mixup.data.near_copies import near_copies
from balanced_mixup.data.thumbnails import thumbnail

Picture = Image.Image
MADE_SIDE = 64
RUN = "import sys; from balanced_mixup.cli import run; sys.exit(run(sys.argv[1:]))"


def encoded(image: Picture, quality: int) -> Picture:
    """Return an image as it is read from a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resized(image: Picture, width: float, height: float) -> Picture:
    return image.resize((round(width * image.width), round(height * image.height)), Image.Resampling.BICUBIC)


def cropped(image: Picture, share: float) -> Picture:
    """Cut off a share of the image at each side."""
    x, y = round(share * image.width), round(share * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


KINDS: Mapping[str, Callable[[Picture], Picture]] = {
    "same pixels": lambda image: image,
    "JPEG, quality 90": lambda image: encoded(image, 90),
    "JPEG, quality 50": lambda image: encoded(image, 50),
    "half the size": lambda image: resized(image, 0.5, 0.5),
    "0.7 of the size": lambda image: resized(image, 0.7, 0.7),
    "twice the size": lambda image: resized(image, 2, 2),
    "squeezed to 0.8": lambda image: resized(image, 1, 0.8),
    "mirrored, JPEG 90": lambda image: encoded(ImageOps.mirror(image), 90),
    "turned by 90°, JPEG 90": lambda image: encoded(image.rotate(90, expand=True), 90),
    "brightness 0.8": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "brightness 1.2": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "contrast 1.3": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "colour 0.8": lambda image: ImageEnhance.Color(image).enhance(0.8),
    "cropped by 1 % a side": lambda image: cropped(image, 0.01),
    "cropped by 2 % a side": lambda image: cropped(image, 0.02),
    "cropped by 3 % a side": lambda image: cropped(image, 0.03),
    "cropped by 5 % a side": lambda image: cropped(image, 0.05),
}


def made_images(count: int, seed: int = 0) -> Iterable[Picture]:
    """Yield pictures of random spots, no two alike."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        spots = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        yield spots.resize((MADE_SIDE, MADE_SIDE), Image.Resampling.BICUBIC)


def photographs(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and is_image(path)]


def quality(images: Iterable[Callable[[], Picture]], copied: int) -> dict[str, Any]:
    """Return the pairs among images, and the share of copies of `copied` of them that is found, by kind."""
    images = list(images)
    looks = np.stack([thumbnail(np.asarray(image())) for image in images])
    chosen = np.random.default_rng(0).permutation(len(images))[:copied]
    began = time.perf_counter()
    found = near_copies(looks)
    seconds = time.perf_counter() - began
    shares, wrong = {}, 0
    for kind, make in KINDS.items():
        copies = np.stack([thumbnail(np.asarray(make(images[row]()))) for row in chosen])
        pairs = near_copies(np.concatenate([looks[chosen], copies]), len(chosen))
        right = pairs[:, 1] - pairs[:, 0] == len(chosen)
        shares[kind] = float(right.sum() / len(chosen))
        wrong += int((~right).sum())
    return {"images": len(images), "pairs": len(found), "seconds": seconds, "found": shares, "wrong": wrong}


def opened(path: Path) -> Picture:
    return Image.fromarray(load_rgb(path))


def check_time(count: int, folder: Path) -> dict[str, float]:
    """Return what `bmixup check` takes for images of which every hundredth is a copy of the one before, mirrored."""
    rows, before = ["image,label"], None
    for number, image in enumerate(made_images(count)):
        name = f"{number // 1000:03d}/{number:06d}.jpg"
        (folder / name).parent.mkdir(exist_ok=True)
        (ImageOps.mirror(before) if before is not None and number % 100 == 99 else image).save(folder / name, quality=90)
        rows.append(f"{name},{'ab'[number // 100 % 2]}")
        before = image
    table = folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    figures: dict[str, float] = {"images": count}
    for name, flag in (("without", "--no-near-copies"), ("with", "--near-copies")):
        began, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", RUN, "check", "--data", str(table), "--json", flag]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures[f"seconds {name}"] = time.perf_counter() - began
        figures[f"processor seconds {name}"] = used.ru_utime + used.ru_stime - spent.ru_utime - spent.ru_stime
    kinds = [problem["kind"] for problem in json.loads(done.stdout)["problems"]]
    return figures | {"found": kinds.count("near copies"), "copies": count // 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], help="folders of photographs")
    parser.add_argument("--copied", type=int, default=300, help="images of each folder that copies are made of (300)")
    parser.add_argument("--count", type=int, default=0, help="images to check, to be timed (none)")
    parser.add_argument("--quick", action="store_true", help="few made images")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    count, copied = (300, 20) if arguments.quick else (arguments.count, arguments.copied)
    made = list(made_images(20 * copied if not arguments.quick else 100, seed=1))
    sources: dict[str, list[Callable[[], Picture]]] = {"made": [lambda image=image: image for image in made]}
    for folder in arguments.photographs:
        sources[folder.name] = [lambda path=path: opened(path) for path in photographs(folder)]
        if not sources[folder.name]:
            parser.error(f"there are no images in {folder}; unpack them first")
    figures: dict[str, Any] = {"quality": {name: quality(images, copied) for name, images in sources.items()}}
    table = Table("kind of copy", *(f"{name} ({each['images']:,})" for name, each in figures["quality"].items()))
    for kind in KINDS:
        table.add_row(kind, *(f"{each['found'][kind]:.0%}" for each in figures["quality"].values()))
    table.add_row("pairs among the images", *(str(each["pairs"]) for each in figures["quality"].values()))
    table.add_row("copies of another image", *(str(each["wrong"]) for each in figures["quality"].values()))
    Console().print(table)
    if count:
        with tempfile.TemporaryDirectory() as folder:
            figures["check"] = check_time(count, Path(folder))
        Console().print(figures["check"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
