"""The gallery of the most confident errors and the least certain correct predictions, with Grad-CAM maps."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.explain.saliency import evidence, overlay, upsampled
from balanced_mixup.report.contents import Contents, RunContents, require
from balanced_mixup.report.document import Block, Gallery, Note, Picture, Scale, Text, View
from balanced_mixup.report.originals import Originals, Pixels8, jpeg
from balanced_mixup.report.words import percent
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.words import counted, display_name

_SIDE = 320  # px, of the images
_ERRORS, _CORRECT = (48, 4), (24, 2)  # in total, and per class

Rows = npt.NDArray[np.int64]


def errors_view(run: Contents) -> list[Block]:
    """Return galleries of the most confident errors and the least certain correct predictions.

    Raises:
        DataError, UsageError: The images or the predictions are missing.
    """
    found = require(run.predictions, "its predictions")
    originals = Originals.of(run, found.images)
    p, labels = found.probabilities, found.labels
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    order = np.argsort(np.bincount(labels, minlength=p.shape[1]), kind="stable")
    wrong = _select_per_class(np.flatnonzero(predicted != labels), labels, -confidence, order, *_ERRORS)
    unsure = _select_per_class(np.flatnonzero(predicted == labels), labels, confidence, order, *_CORRECT)
    chosen = (wrong if found.answers_only else np.concatenate([wrong, unsure])).tolist()
    images = {row: image for row in chosen if (image := originals.read(row, _SIDE)) is not None}
    overlays: dict[int, Pixels8] = {}
    blocks: list[Block] = []
    if isinstance(run, RunContents):
        try:
            overlays = _overlays(run, originals, images, predicted)
            blocks.append(
                Text(
                    "Each image is shown beside its Grad-CAM map for the predicted class. A map is scaled to its own strongest "
                    "evidence, so maps cannot be compared with one another; and a plausible map does not prove that a "
                    "prediction is made for the right reason."
                )
            )
        except BalancedMixupError as error:
            blocks.append(Note(f"Grad-CAM maps cannot be shown: {error}"))
    scale = _scale() if overlays else None
    if gone := len(chosen) - len(images):
        blocks.append(Note(f"{counted(gone, 'image')} not shown: missing, or no longer the same as when the run was made."))
    right = int((predicted == labels).sum())
    galleries = [
        ("Errors" if found.answers_only else "Most confident errors", wrong, len(labels) - right, _ERRORS),
        ("Least certain correct predictions", unsure, right, _CORRECT),
    ]
    for title, rows, of, (most, each) in galleries[: 1 if found.answers_only else 2]:
        caption = f"{title}: {len(rows)} of {of:,}; at most {each} per class and {most} in all, the rarest classes first."
        pictures = [_picture(found, row, images[row], overlays.get(row)) for row in rows.tolist() if row in images]
        blocks.append(Gallery(caption, pictures, filtered=True, scale=scale) if pictures else Note(f"{title}: none to show."))
    return blocks


def _select_per_class(rows: Rows, labels: Rows, key: npt.NDArray[np.floating], order: Rows, most: int, each: int) -> Rows:
    """Return the `each` rows of each class with the smallest `key`, classes in the given order, `most` in all."""
    chosen = []
    for k in order:
        own = rows[labels[rows] == k]
        chosen.append(own[np.argsort(key[own], kind="stable")[:each]])
    return np.concatenate(chosen)[:most]


def _overlays(run: RunContents, originals: Originals, images: Mapping[int, Pixels8], predicted: Rows) -> dict[int, Pixels8]:
    """Return the images (side, side, 3) with the evidence for their predicted classes; images without any are omitted."""
    if not images:
        return {}
    classifier = Classifier.load(run.path)
    rows = list(images)
    small = np.stack([originals.images.read(row, classifier.card.size) for row in rows])
    maps = upsampled(evidence(classifier, ArrayPixels(small), targets=predicted[rows]), _SIDE)
    return {row: overlay(images[row], found) for row, found in zip(rows, maps, strict=True) if found.any()}


def _scale() -> Scale:
    """Return the colours of the maps, as they look over a grey image."""
    height, width = 16, 256
    bar = overlay(np.full((height, width, 3), 128, np.uint8), np.linspace(np.zeros(height), 1, width, dtype=np.float32).T)
    return Scale(jpeg(bar), "no evidence for the predicted class", "strongest in the image")


def _picture(found: Predictions, row: int, image: Pixels8, explained: Pixels8 | None) -> Picture:
    p, label = found.probabilities[row], int(found.labels[row])
    predicted = int(p.argmax())
    is_a, as_a = display_name(found.classes[label]), display_name(found.classes[predicted])
    line = f"{is_a}: predicted {as_a}" + ("" if found.answers_only else f" ({percent(float(p[predicted]))})")
    if label != predicted and not found.answers_only:
        line += f", {percent(float(p[label]))} {is_a}"
    views = [View(jpeg(image), f"{found.images[row]}, label {is_a}, predicted {as_a}.")]
    if explained is not None:
        views.append(
            View(jpeg(explained), "Grad-CAM map of the same image, bright where it contributed most to the prediction.")
        )
    return Picture(views, [line, found.images[row]], tuple(dict.fromkeys((is_a, as_a))))
