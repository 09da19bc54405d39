"""Images from anywhere to the pixels that a model takes: files, folders, images of Pillow, arrays."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

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
from balanced_mixup.words import counted

log = logging.getLogger("balanced_mixup")

ImageLike: TypeAlias = str | Path | Image.Image | npt.NDArray[np.uint8]

_REST = "To predict the others: --exclude-bad (in Python `exclude_bad=True`)."


class PreparedImages(NamedTuple):
    """Images without labels, ready for a model.

    names: Of N images. pixels: Theirs, at the size of the model. excluded: Names of those left out, each with its problems.
    """

    names: list[str]
    pixels: Pixels
    excluded: tuple[tuple[str, str], ...] = ()


def prepare_images(
    images: ImageLike | Iterable[ImageLike],
    card: ModelCard,
    max_megapixels: float = Decoding.max_megapixels,
    *,
    exclude_bad: bool | None = None,
) -> PreparedImages:
    """Return images without labels, decoded as the model was trained, each with its name.

    What is only suspicious about the files is logged.

    Args:
        images: As for `Classifier.predict`.
        card: Of the model.
        max_megapixels: Limit on the size of an image, see `Decoding`.
        exclude_bad: Leave out images that cannot be read, unless none can; None where that cannot be chosen.

    Raises:
        DataError, UsageError: As for `Classifier.predict`.
    """
    decoding = Decoding(max_megapixels, card.bit_depth)
    several = [images] if isinstance(images, str | Path | Image.Image) or _is_one(images) else list(images)
    if all(isinstance(image, str | Path) for image in several):
        return _read_files([Path(str(image)) for image in several], card, decoding, exclude_bad)
    if not several:
        raise UsageError("Expected at least one image, but got none.")
    names, pixels, problems = list[str](), np.empty((len(several), card.size, card.size, 3), np.uint8), list[Problem]()
    for row, image in enumerate(several):
        names.append(_name(image, row))
        try:
            pixels[row] = _pixels_of(image, names[row], card, decoding)
        except DataError as error:
            # A file that does not exist is a mistake in the list, as where all are files.
            in_memory = not isinstance(image, str | Path)
            problems += [replace(problem, rows=(row,) if in_memory or problem.rows else ()) for problem in error.problems]
    return _readable(names, ArrayPixels(pixels), tuple(problems), exclude_bad)


def _read_files(paths: list[Path], card: ModelCard, decoding: Decoding, exclude_bad: bool | None) -> PreparedImages:
    files = unlabelled(paths).decoded_by(decoding)
    pixels, inspection = read(Manifest(files, np.full(len(files), -1), card.classes), card.size, near_copies=False)
    readable = _readable(list(files.names), pixels, inspection.fatal, exclude_bad)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return readable


def _readable(names: list[str], pixels: Pixels, problems: tuple[Problem, ...], exclude_bad: bool | None) -> PreparedImages:
    """Return the images that have no problem. DataError where one has and is not to be left out, or none would remain."""
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        for row in problem.rows:
            reasons.setdefault(row, []).append(f"{problem.kind}: {problem.message}")
    good = [row for row in range(len(names)) if row not in reasons]
    if not problems:
        return PreparedImages(names, pixels)
    if not good or exclude_bad is None or not all(problem.rows for problem in problems):
        raise DataError(problems)
    if not exclude_bad:
        raise DataError([replace(problem, remedy=f"{problem.remedy} {_REST}") for problem in problems])
    log.warning("Left out %s of %s that cannot be read.\n%s", len(reasons), counted(len(names), "image"), describe(problems))
    excluded = tuple((names[row], "; ".join(texts)) for row, texts in reasons.items())
    return PreparedImages([names[row] for row in good], pixels.subset(np.array(good, np.int64)), excluded)


def _is_one(images: object) -> bool:
    """Return whether an array is a single image; (N, H, W, 3) is several."""
    return isinstance(images, np.ndarray) and images.ndim != 4


def _name(image: object, row: int) -> str:
    if isinstance(image, str | Path):
        return str(image)
    return str(getattr(image, "filename", "")) or f"image {row}"


def _pixels_of(image: Any, name: str, card: ModelCard, decoding: Decoding) -> npt.NDArray[np.uint8]:
    if isinstance(image, str | Path):
        pixels = _read_files([Path(image)], card, decoding, None).pixels
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
