"""Predictions of images from anywhere. Files are decoded in blocks, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from balanced_mixup.data.batches import eval_batch_size
from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.pixels import Pixels, Rows
from balanced_mixup.data.preparation import read_in_blocks
from balanced_mixup.runs.predictions import ImagePredictions
from balanced_mixup.runs.prepared_images import ImageLike, files_among, listed_images, prepare_images, readable_files

if TYPE_CHECKING:
    from balanced_mixup.runs.classifier import Classifier

_BLOCK_BYTES = 2**28


def predict_images(
    classifier: Classifier,
    images: ImageLike | Iterable[ImageLike],
    *,
    flip: bool,
    exclude_bad: bool,
    max_megapixels: float = Decoding.max_megapixels,
    check_count: Callable[[int], None] = lambda count: None,
) -> ImagePredictions:
    """Predict images, which are decoded and resized as in training.

    Args:
        classifier: Gives the probabilities.
        images, flip, exclude_bad: As for `Classifier.predict`.
        max_megapixels: Limit on the size of an image, see `Decoding`.
        check_count: Called with the number of images before any is predicted, to refuse it.

    Raises:
        DataError, UsageError: As for `Classifier.predict`.
    """
    card, several = classifier.card, listed_images(images)
    files = files_among(several, card, Decoding(max_megapixels, card.bit_depth))
    if files is None:
        names, prepared, excluded = prepare_images(several, card, max_megapixels, exclude_bad=exclude_bad)
        check_count(len(names))
        return ImagePredictions(tuple(names), classifier.probabilities(prepared, flip=flip), card.classes, excluded)
    check_count(len(files))
    probabilities, done = np.empty((len(files), len(card.classes)), np.float32), 0

    def predict_block(pixels: Pixels, rows: Rows) -> None:
        nonlocal done
        if exclude_bad or done == rows[-1] + 1 - len(rows):  # after a problem that ends it all, only more are looked for
            probabilities[rows] = classifier.probabilities(pixels, flip=flip, watched=False)
            done += len(rows)

    # Whole batches: the last bits of a probability depend on how many images are predicted with it.
    batch = eval_batch_size(card.size, card.size)
    block = batch * max(1, _BLOCK_BYTES // (batch * card.size**2 * 3))
    rows, excluded = readable_files(read_in_blocks(files, card.size, block, predict_block), exclude_bad)
    named = tuple(files.images.names[row] for row in rows.tolist())
    return ImagePredictions(named, probabilities[rows], card.classes, excluded)
