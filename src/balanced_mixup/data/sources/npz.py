"""An npz in the format of MedMNIST: uint8 images and one integer label an image, in the parts train, val and test."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.images import ArrayImages, stamp_of
from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.label_names import canonical, encode
from balanced_mixup.errors import DataError, Problem

_FORMAT = "Expected <part>_images, uint8 (N,H,W) or (N,H,W,3), and <part>_labels, integers (N,) or (N,1), for train, val, test."


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the npz `settings.data`; its images are named train_00000, ... by their position in it.

    The label k is the k-th of `settings.classes` where these are names, unless the label map renames the number; without
    either, the classes are "0" to the highest label.

    Raises:
        DataError: The file cannot be read, or an array in it is missing or has another type or shape.
    """
    path = Path(settings.data)
    stamp = stamp_of(path)
    arrays = _read(path)
    parts = [part for part in SPLITS if f"{part}_images" in arrays or f"{part}_labels" in arrays]
    problems = [problem for part in parts for problem in _check(arrays, part, path.name)]
    if not problems:
        problems = _check_together(arrays, parts, path.name)
    if problems:
        raise DataError(problems)
    pixels = [arrays[f"{part}_images"] for part in parts]
    numbers = np.concatenate([arrays[f"{part}_labels"].reshape(-1).astype(np.int64) for part in parts])
    names = [f"{part}_{i:05d}" for part, images in zip(parts, pixels, strict=True) for i in range(len(images))]
    classes = settings.classes
    if classes is None and not settings.label_map:
        classes = tuple(map(str, range(int(numbers.max()) + 1)))
    labels, classes, label_problems = encode(_raw(numbers, settings), names, classes, settings.label_map, settings.ordinal)
    return Manifest(
        images=ArrayImages(names, pixels[0] if len(parts) == 1 else np.concatenate(pixels), path, stamp),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        split=np.repeat(parts, [len(images) for images in pixels]),
        published_split=True,
        problems=tuple(label_problems),
    )


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the parts that are there. Nothing is unpickled: it could run code."""
    wanted = [f"{part}_{what}" for part in SPLITS for what in ("images", "labels")]
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in wanted if key in file.files}
            present = ", ".join(file.files) or "none"
    except Exception as error:  # numpy, zipfile and zlib each have errors of their own for a damaged file
        message = f"{path.name}: cannot be read as npz ({error or type(error).__name__})"
        raise DataError(
            [Problem("unreadable npz", message, "Fetch or write the file again; it must hold no objects.")]
        ) from error
    if not arrays:
        raise DataError([Problem("npz without images", f"{path.name}: its arrays are {present}", _FORMAT)])
    return arrays


def _check(arrays: dict[str, npt.NDArray[Any]], part: str, name: str) -> list[Problem]:
    """Judge images and labels of one part."""
    images, labels = arrays.get(f"{part}_images"), arrays.get(f"{part}_labels")
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        return [Problem("missing array", f"{name}: expected {part}_{missing} beside the other, got none", _FORMAT)]
    faults = []
    if images.dtype != np.uint8:
        faults.append(("wrong pixel type", f"expected {part}_images of uint8, got {images.dtype}"))
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        faults.append(("wrong shape", f"expected {part}_images (N,H,W) or (N,H,W,3), got {images.shape}"))
    if labels.dtype.kind not in "iu":
        faults.append(("wrong label type", f"expected {part}_labels of integers, got {labels.dtype}"))
    if labels.ndim == 2 and labels.shape[1] > 1:
        faults.append(("several labels an image", f"expected {part}_labels (N,) or (N,1), got {labels.shape}"))
    elif labels.ndim != 1 and labels.shape[1:] != (1,):
        faults.append(("wrong shape", f"expected {part}_labels (N,) or (N,1), got {labels.shape}"))
    if images.shape[:1] != labels.shape[:1]:
        faults.append(
            ("wrong shape", f"expected as many {part}_images as {part}_labels, got {images.shape} and {labels.shape}")
        )
    return [Problem(kind, f"{name}: {message}", _FORMAT) for kind, message in faults]


def _check_together(arrays: dict[str, npt.NDArray[Any]], parts: list[str], name: str) -> list[Problem]:
    """Judge what the parts, each good by itself, are together."""
    shapes = {part: arrays[f"{part}_images"].shape[1:] for part in parts}
    if len(set(shapes.values())) > 1:
        message = f"{name}: expected images of one size in all parts, got {shapes}"
        return [Problem("wrong shape", message, "Resize the images to one size, or give them as files.")]
    if not any(len(arrays[f"{part}_labels"]) for part in parts):
        return [Problem("npz without images", f"{name}: expected images, got arrays of length 0", _FORMAT)]
    return []


def _raw(numbers: npt.NDArray[np.int64], settings: DataSettings) -> list[str]:
    """Return the label of each image as a table would have it: the name of its class where names are declared."""
    classes = settings.classes or ()
    renamed = {canonical(old) for old in settings.label_map}
    if all(canonical(name).lstrip("+-").isdigit() for name in classes):
        return [str(k) for k in numbers.tolist()]
    return [classes[k] if 0 <= k < len(classes) and str(k) not in renamed else str(k) for k in numbers.tolist()]
