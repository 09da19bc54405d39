"""An npz in the format of MedMNIST: uint8 images and one integer label per image, in the splits train, val and test."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.images import ArrayImages, stamp_of
from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.label_names import canonical, encode
from balanced_mixup.data.sources.npz_arrays import Header, NpzFile
from balanced_mixup.errors import DataError, Problem

_MOST_CLASSES = 1000  # that need not occur: labels up to this are class numbers,
_MOST_PER_LABEL = 10  # and so are labels up to this times the number of those that occur

_FORMAT = (
    "Expected <split>_images, uint8 (N,H,W) or (N,H,W,3), and <split>_labels, integers (N,) or (N,1), for train, val, test."
)


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the npz `settings.data`; its images are named train_00000, ... by their position in it.

    The label k is the k-th of `settings.classes` if these are names, unless the label map renames the number; without either,
    the classes are "0" to the highest label.

    Raises:
        DataError: The file cannot be read, or an array in it is missing or has another type or shape.
    """
    path = Path(settings.data)
    stamp = stamp_of(path)
    with NpzFile(path) as file:
        headers = file.headers(f"{split}_{content}" for split in SPLITS for content in ("images", "labels"))
        splits = [split for split in SPLITS if f"{split}_images" in headers or f"{split}_labels" in headers]
        if not splits:
            message = f"{path.name}: its arrays are {', '.join(file.names) or 'none'}"
            raise DataError.of("npz without images", message, _FORMAT)
        faults = [fault for split in splits for fault in _check(headers, split)] or _check_together(headers, splits)
        if faults:
            raise DataError([Problem(kind, f"{path.name}: {message}", remedy) for kind, message, remedy in faults])
        height, width = headers[f"{splits[0]}_images"].shape[1:3]
        Decoding(settings.max_megapixels).check_size(width, height, path.name)
        arrays = file.read(headers, copies=1 if len(splits) == 1 else 2)
    pixels = [arrays[f"{split}_images"] for split in splits]
    numbers = np.concatenate([arrays[f"{split}_labels"].reshape(-1).astype(np.int64) for split in splits])
    names = [f"{split}_{i:05d}" for split, images in zip(splits, pixels, strict=True) for i in range(len(images))]
    classes = settings.classes
    if classes is None and not settings.label_map and settings.one_vs_rest is None:
        classes = _numbered(numbers, path.name)
    raw, one = _raw(numbers, settings), settings.one_vs_rest
    labels, classes, problems = encode(raw, names, classes, settings.label_map, settings.ordinal, one_vs_rest=one)
    return Manifest(
        images=ArrayImages(names, pixels[0] if len(splits) == 1 else np.concatenate(pixels), path, stamp),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        split=np.repeat(splits, [len(images) for images in pixels]),
        published_split=True,
        problems=tuple(problems),
    )


def _numbered(numbers: npt.NDArray[np.int64], name: str) -> tuple[str, ...]:
    """Return the classes 0 to the highest label. DataError if the labels are too far apart to be numbers of classes."""
    highest, distinct = int(numbers.max()), len(np.unique(numbers))
    if highest >= max(_MOST_CLASSES, _MOST_PER_LABEL * distinct):
        message = f"{name}: expected labels that count classes from 0, got {highest} among {distinct} different ones"
        remedy = "Name the labels that are meant with --classes, or correct them."
        raise DataError.of("labels far apart", message, remedy)
    return tuple(map(str, range(highest + 1)))


def _check(headers: Mapping[str, Header], split: str) -> list[tuple[str, str, str]]:
    """Return kind, message and remedy of what is wrong with images and labels of one split."""
    images, labels = headers.get(f"{split}_images"), headers.get(f"{split}_labels")
    if images is None or labels is None:
        missing, other = ("images", "labels") if images is None else ("labels", "images")
        return [("missing array", f"expected {split}_{missing} to go with {split}_{other}, got none", _FORMAT)]
    faults = []
    if images.dtype != np.uint8:
        faults.append(("wrong pixel type", f"expected {split}_images of uint8, got {images.dtype}"))
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        faults.append(("wrong shape", f"expected {split}_images (N,H,W) or (N,H,W,3), got {images.shape}"))
    elif 0 in images.shape[1:]:
        faults.append(("wrong shape", f"expected {split}_images of at least one pixel, got {images.shape}"))
    if labels.dtype.kind not in "iu":
        faults.append(("wrong label type", f"expected {split}_labels of integers, got {labels.dtype}"))
    if labels.ndim == 2 and labels.shape[1] > 1:
        faults.append(("several labels per image", f"expected {split}_labels (N,) or (N,1), got {labels.shape}"))
    elif labels.ndim != 1 and labels.shape[1:] != (1,):
        faults.append(("wrong shape", f"expected {split}_labels (N,) or (N,1), got {labels.shape}"))
    if images.shape[:1] != labels.shape[:1]:
        message = f"expected as many {split}_images as {split}_labels, got {images.shape} and {labels.shape}"
        faults.append(("wrong shape", message))
    return [(*fault, _FORMAT) for fault in faults]


def _check_together(headers: Mapping[str, Header], splits: list[str]) -> list[tuple[str, str, str]]:
    """Return what is wrong between splits that are valid by themselves."""
    shapes = {split: headers[f"{split}_images"].shape[1:] for split in splits}
    if len(set(shapes.values())) > 1:
        message = f"expected images of one size in all splits, got {shapes}"
        return [("wrong shape", message, "Resize the images to one size, or provide them as files.")]
    if not any(headers[f"{split}_labels"].shape[0] for split in splits):
        return [("npz without images", "expected images, got arrays of length 0", _FORMAT)]
    return []


def _raw(numbers: npt.NDArray[np.int64], settings: DataSettings) -> list[str]:
    """Return the label of each image as a table would have it: the name of its class if names are declared."""
    classes = settings.classes or ()
    renamed = {canonical(old) for old in settings.label_map}
    if all(canonical(name).lstrip("+-").isdigit() for name in classes):
        return [str(k) for k in numbers.tolist()]
    return [classes[k] if 0 <= k < len(classes) and str(k) not in renamed else str(k) for k in numbers.tolist()]
