"""The gallery of the most confident mistakes and the least certain hits, with what the model looked at."""

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.evaluation.saliency import evidence, overlay, upsampled
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Gallery, Note, Picture, View
from balanced_mixup.report.originals import Originals, Pixels8, jpeg
from balanced_mixup.report.words import percent
from balanced_mixup.training.classifier import Classifier

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
    answers = p.argmax(axis=1)
    order = np.argsort(np.bincount(labels, minlength=p.shape[1]), kind="stable")
    confidence = p.max(axis=1)
    wrong = _of_each_class(np.flatnonzero(answers != labels), labels, -confidence, order, *_MISTAKES)
    unsure = _of_each_class(np.flatnonzero(answers == labels), labels, confidence, order, *_HITS)
    blocks: list[Block] = []
    notes: list[str] = []
    for rows, title in ((wrong, "Most confident mistakes"), (unsure, "Least certain hits")):
        if not len(rows):
            blocks.append(Note(f"{title}: there are none."))
            continue
        pictures, missing = _pictures(run, originals, rows)
        notes += missing
        caption = (
            f"{title}: up to {(_MISTAKES if rows is wrong else _HITS)[1]} of a class, the rarest classes first. "
            "Beside each image what counted for the model's answer (Grad-CAM): the brighter, the more."
        )
        blocks.append(Gallery(caption, pictures, filtered=True))
    return [*blocks, *map(Note, dict.fromkeys(notes))]


def _of_each_class(rows: Rows, labels: Rows, key: npt.NDArray[np.floating], order: Rows, most: int, each: int) -> Rows:
    """Return the `each` rows of each class with the smallest `key`, classes in the given order, `most` in all."""
    chosen = []
    for k in order:
        own = rows[labels[rows] == k]
        chosen.append(own[np.argsort(key[own], kind="stable")[:each]])
    return np.concatenate(chosen)[:most]


def _pictures(run: RunContents, originals: Originals, rows: Rows) -> tuple[list[Picture], list[str]]:
    """Return the pictures of some predictions, and what is missing of them."""
    found = require(run.predictions, "its predictions")
    images: list[Pixels8] = []
    kept = []
    for row in rows.tolist():
        image = originals.read(row, _SIDE)
        if image is not None:
            images.append(image)
            kept.append(row)
    notes = []
    if len(kept) < len(rows):
        notes.append(
            f"{len(rows) - len(kept)} images are left out: they are gone, or not what they were when the run was made."
        )
    try:
        overlays = _overlays(run, originals, images, kept, found.probabilities[kept].argmax(1))
    except BalancedMixupError as error:
        overlays = [None] * len(kept)
        notes.append(f"What the model looked at cannot be shown: {error}")
    pictures = []
    for row, image, marked in zip(kept, images, overlays, strict=True):
        label, answer, p = found.labels[row], found.probabilities[row].argmax(), found.probabilities[row]
        name, called = found.classes[label], found.classes[answer]
        alternative = f"{found.images[row]}, {name}, called {called}."
        views = [View(jpeg(image), alternative)]
        if marked is not None:
            views.append(View(jpeg(marked), "The same image, bright where it counted most for the answer."))
        answered = f"called {called} ({percent(float(p[answer]))})" + (
            f", {percent(float(p[label]))} {name}" if label != answer else ""
        )
        pictures.append(Picture(views, [f"{name}: {answered}", found.images[row]], tuple(dict.fromkeys((name, called)))))
    return pictures, notes


def _overlays(
    run: RunContents, originals: Originals, images: list[Pixels8], rows: list[int], answers: Rows
) -> list[Pixels8 | None]:
    """Return each image (side, side, 3) with the evidence for its answer."""
    if not images:
        return []
    classifier = Classifier.load(run.folder.path)
    size = classifier.card.size
    small = np.stack([originals.images.read(row, size) for row in rows])
    maps = upsampled(evidence(classifier, ArrayPixels(small), targets=answers), _SIDE)
    return [overlay(image, found) if found.any() else None for image, found in zip(images, maps, strict=True)]
