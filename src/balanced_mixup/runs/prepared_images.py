"""Images from anywhere to the pixels that a model takes: files, folders, images of Pillow, arrays."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.images import to_pixels
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.pixels import ArrayPixels, Pixels
from balanced_mixup.data.preparation import read
from balanced_mixup.data.sources.unlabelled import unlabelled
from balanced_mixup.errors import DataError, Problem, UsageError, describe
from balanced_mixup.runs.model_card import ModelCard

log = logging.getLogger("balanced_mixup")

ImageLike: TypeAlias = str | Path | Image.Image | npt.NDArray[np.uint8]


def prepare_images(
    images: ImageLike | Iterable[ImageLike], card: ModelCard, max_megapixels: float = Decoding.max_megapixels
) -> tuple[list[str], Pixels]:
    """Return the names of N images without labels, and their pixels at the size of the model, decoded as it was trained.

    What is only suspicious about the files is logged.

    Args:
        images: As for `Classifier.predict`.
        card: Of the model.
        max_megapixels: Limit on the size of an image, see `Decoding`.

    Raises:
        DataError, UsageError: As for `Classifier.predict`.
    """
    decoding = Decoding(max_megapixels, card.bit_depth)
    several = [images] if isinstance(images, str | Path | Image.Image) or _is_one(images) else list(images)
    if all(isinstance(image, str | Path) for image in several):
        return _read_files([Path(str(image)) for image in several], card, decoding)
    if not several:
        raise UsageError("Expected at least one image, but got none.")
    names, pixels, problems = [], np.empty((len(several), card.size, card.size, 3), np.uint8), list[Problem]()
    for row, image in enumerate(several):
        names.append(_name(image, row))
        try:
            pixels[row] = _pixels_of(image, names[row], card, decoding)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return names, ArrayPixels(pixels)


def _read_files(paths: list[Path], card: ModelCard, decoding: Decoding) -> tuple[list[str], Pixels]:
    files = unlabelled(paths).decoded_by(decoding)
    pixels, inspection = read(Manifest(files, np.full(len(files), -1), card.classes), card.size, near_copies=False)
    if inspection.fatal:
        raise DataError(inspection.fatal)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return list(files.names), pixels


def _is_one(images: object) -> bool:
    """Return whether an array is a single image; (N, H, W, 3) is several."""
    return isinstance(images, np.ndarray) and images.ndim != 4


def _name(image: object, row: int) -> str:
    if isinstance(image, str | Path):
        return str(image)
    return str(getattr(image, "filename", "")) or f"image {row}"


def _pixels_of(image: Any, name: str, card: ModelCard, decoding: Decoding) -> npt.NDArray[np.uint8]:
    if isinstance(image, str | Path):
        _, pixels = _read_files([Path(image)], card, decoding)
        if pixels.shape[0] != 1:
            raise UsageError(f"Expected {name} to be a file among images in memory, but it is a folder.")
        only: npt.NDArray[np.uint8] = pixels.gather(np.zeros(1, np.int64))[0].numpy()
        return only
    if isinstance(image, Image.Image | np.ndarray):
        return to_pixels(image, card.size, name, decoding)
    raise UsageError(
        f"Expected {name} to be a path, an image of Pillow or an array uint8 (H, W, 3), but got {type(image).__name__}. A "
        "tensor (3, H, W) from 0 to 1 becomes one by `(255 * tensor).byte().permute(1, 2, 0).numpy()`."
    )
