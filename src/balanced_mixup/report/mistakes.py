"""The gallery of the most confident mistakes and the least certain hits, with what the model looked at."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.explain.saliency import evidence, overlay, upsampled
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Gallery, Note, Picture, Text, View
from balanced_mixup.report.originals import Originals, Pixels8, jpeg
from balanced_mixup.report.words import percent, spoken
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.predictions import Predictions

_SIDE = 320  # px, of the images
_MISTAKES, _HITS = (48, 4), (24, 2)  # in all, and of a class

Rows = npt.NDArray[np.int64]


def mistakes(run: RunContents) -> list[Block]:
    """Show what the model was most wrong and least sure about.

    Raises:
        DataError, UsageError: The images or the predictions are gone.
    """
    found = require(run.predictions, "its predictions")
    originals = Originals.of(run, found.images)
    p, labels = found.probabilities, found.labels
    answers, confidence = p.argmax(axis=1), p.max(axis=1)
    order = np.argsort(np.bincount(labels, minlength=p.shape[1]), kind="stable")
    wrong = _of_each_class(np.flatnonzero(answers != labels), labels, -confidence, order, *_MISTAKES)
    unsure = _of_each_class(np.flatnonzero(answers == labels), labels, confidence, order, *_HITS)
    chosen = np.concatenate([wrong, unsure]).tolist()
    images = {row: image for row in chosen if (image := originals.read(row, _SIDE)) is not None}
    blocks: list[Block] = [
        Text(
            "Beside each image stands what counted for the model's answer (Grad-CAM), the brighter, the more. Brightness "
            "cannot be compared between images, and is no proof that an answer has the right reason. Probabilities are those "
            "of the scores."
        )
    ]
    try:
        overlays = _overlays(run, originals, images, answers)
    except BalancedMixupError as error:
        overlays = {}
        blocks.append(Note(f"What the model looked at cannot be shown: {error}"))
    if gone := len(chosen) - len(images):
        lost = "1 image is left out: it is" if gone == 1 else f"{gone} images are left out: they are"
        blocks.append(Note(f"{lost} gone, or not the same as when the run was made."))
    right = int((answers == labels).sum())
    for title, rows, of, (most, each) in (
        ("Most confident mistakes", wrong, len(labels) - right, _MISTAKES),
        ("Least certain hits", unsure, right, _HITS),
    ):
        caption = f"{title}: {len(rows)} of {of:,}, up to {each} of a class and {most} in all, the rarest classes first."
        pictures = [_picture(found, row, images[row], overlays.get(row)) for row in rows.tolist() if row in images]
        blocks.append(Gallery(caption, pictures, filtered=True) if pictures else Note(f"{title}: there are none to show."))
    return blocks


def _of_each_class(rows: Rows, labels: Rows, key: npt.NDArray[np.floating], order: Rows, most: int, each: int) -> Rows:
    """Return the `each` rows of each class with the smallest `key`, classes in the given order, `most` in all."""
    chosen = []
    for k in order:
        own = rows[labels[rows] == k]
        chosen.append(own[np.argsort(key[own], kind="stable")[:each]])
    return np.concatenate(chosen)[:most]


def _overlays(run: RunContents, originals: Originals, images: Mapping[int, Pixels8], answers: Rows) -> dict[int, Pixels8]:
    """Return the images (side, side, 3) with the evidence for their answers; those without any are left out."""
    if not images:
        return {}
    classifier = Classifier.load(run.folder.path)
    rows = list(images)
    small = np.stack([originals.images.read(row, classifier.card.size) for row in rows])
    maps = upsampled(evidence(classifier, ArrayPixels(small), targets=answers[rows]), _SIDE)
    return {row: overlay(images[row], found) for row, found in zip(rows, maps, strict=True) if found.any()}


def _picture(found: Predictions, row: int, image: Pixels8, marked: Pixels8 | None) -> Picture:
    p, label = found.probabilities[row], int(found.labels[row])
    answer = int(p.argmax())
    is_a, called = spoken(found.classes[label]), spoken(found.classes[answer])
    line = f"{is_a}: called {called} ({percent(float(p[answer]))})"
    if label != answer:
        line += f", {percent(float(p[label]))} {is_a}"
    views = [View(jpeg(image), f"{found.images[row]}, {is_a}, called {called}.")]
    if marked is not None:
        views.append(View(jpeg(marked), "The same image, bright where it counted most for the answer."))
    return Picture(views, [line, found.images[row]], tuple(dict.fromkeys((is_a, called))))
