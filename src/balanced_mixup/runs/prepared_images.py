"""Images from anywhere to the pixels that a model takes: files, folders, images of Pillow, arrays."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.images import to_pixels
from balanced_mixup.data.inspection import Inspection
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.pixels import ArrayPixels, Pixels, Rows
from balanced_mixup.data.preparation import read
from balanced_mixup.data.sources.unlabelled import unlabelled
from balanced_mixup.errors import DataError, Problem, UsageError, describe
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.words import counted

log = logging.getLogger("balanced_mixup")

ImageLike: TypeAlias = str | Path | Image.Image | npt.NDArray[np.uint8]
Excluded: TypeAlias = tuple[tuple[str, str], ...]  # names of images that are left out, each with its problems

_REST = "To predict the others: --exclude-bad (in Python `exclude_bad=True`)."


class PreparedImages(NamedTuple):
    """Images without labels, ready for a model.

    names: Of N images. pixels: Theirs, at the size of the model. excluded: Names of those left out, each with its problems.
    """

    names: list[str]
    pixels: Pixels
    excluded: Excluded = ()


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
    decoding, several = Decoding(max_megapixels, card.bit_depth), listed_images(images)
    if (files := files_among(several, card, decoding)) is not None:
        return _read_files(files, card, exclude_bad)
    names, pixels, problems = list[str](), np.empty((len(several), card.size, card.size, 3), np.uint8), list[Problem]()
    for row, image in enumerate(several):
        names.append(_name(image, row))
        try:
            pixels[row] = _pixels_of(image, names[row], card, decoding)
        except DataError as error:
            # A file that does not exist is a mistake in the list, as where all are files.
            in_memory = not isinstance(image, str | Path)
            problems += [replace(problem, rows=(row,) if in_memory or problem.rows else ()) for problem in error.problems]
    rows, excluded = readable_rows(names, problems, exclude_bad)
    return PreparedImages([names[row] for row in rows.tolist()], ArrayPixels(pixels).subset(rows), excluded)


def listed_images(images: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
    """Return one or several images as a list."""
    if isinstance(images, str | Path | Image.Image) or _is_one(images):
        return [cast(ImageLike, images)]
    return list(images)


def files_among(images: Sequence[ImageLike], card: ModelCard, decoding: Decoding) -> Manifest | None:
    """Return the files that paths name, those in folders too, as data without labels; None where not all images are paths.

    Raises:
        DataError: As for `unlabelled`.
    """
    if not all(isinstance(image, str | Path) for image in images):
        return None
    files = unlabelled([Path(str(image)) for image in images]).decoded_by(decoding)
    return Manifest(files, np.full(len(files), -1), card.classes)


def _read_files(files: Manifest, card: ModelCard, exclude_bad: bool | None) -> PreparedImages:
    pixels, inspection = read(files, card.size, near_copies=False)
    rows, excluded = readable_files(inspection, exclude_bad)
    return PreparedImages([files.images.names[row] for row in rows.tolist()], pixels.subset(rows), excluded)


def readable_files(inspection: Inspection, exclude_bad: bool | None) -> tuple[Rows, Excluded]:
    """Return the rows of the files that have no problem, as `readable_rows`, and log what is only suspicious."""
    readable = readable_rows(inspection.manifest.images.names, inspection.fatal, exclude_bad)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return readable


def readable_rows(names: Sequence[str], problems: Sequence[Problem], exclude_bad: bool | None) -> tuple[Rows, Excluded]:
    """Return the rows of the images that have no problem, int64, ascending; and the names of the others with their problems.

    Raises:
        DataError: An image has a problem and is not to be left out, or none would remain.
    """
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        for row in problem.rows:
            reasons.setdefault(row, []).append(f"{problem.kind}: {problem.message}")
    good = np.array([row for row in range(len(names)) if row not in reasons], np.int64)
    if not problems:
        return good, ()
    if not len(good) or exclude_bad is None or not all(problem.rows for problem in problems):
        raise DataError(problems)
    if not exclude_bad:
        raise DataError([replace(problem, remedy=f"{problem.remedy} {_REST}") for problem in problems])
    log.warning("Left out %s of %s that cannot be read.\n%s", len(reasons), counted(len(names), "image"), describe(problems))
    return good, tuple((names[row], "; ".join(texts)) for row, texts in reasons.items())


def _is_one(images: object) -> bool:
    """Return whether an array is a single image; (N, H, W, 3) is several."""
    return isinstance(images, np.ndarray) and images.ndim != 4


def _name(image: object, row: int) -> str:
    if isinstance(image, str | Path):
        return str(image)
    return str(getattr(image, "filename", "")) or f"image {row}"


def _pixels_of(image: Any, name: str, card: ModelCard, decoding: Decoding) -> npt.NDArray[np.uint8]:
    if isinstance(image, str | Path):
        pixels = prepare_images(image, card, decoding.max_megapixels).pixels
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
