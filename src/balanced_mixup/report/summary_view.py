"""The summary of a report: overall scores and the recall of the rare classes."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.evaluation.collapse import warnings
from balanced_mixup.metrics import confusion
from balanced_mixup.report.contents import Contents, RunContents
from balanced_mixup.report.document import Block, Listing, Note, Text
from balanced_mixup.report.words import class_sentence, percent, with_interval
from balanced_mixup.runs.scores import ClassScores, Scores
from balanced_mixup.statistics.interval import warnings_of
from balanced_mixup.words import counted, display_name, listed

Counts = npt.NDArray[np.int64]

MOST = 12  # rare classes that get a sentence of their own

_VAGUE = 0.5  # an interval of a class share that is wider says little


def summary(run: Contents) -> list[Block]:
    """Return overall scores, and how many images of each rare class were found."""
    notes: list[Block] = []
    if isinstance(run, RunContents) and not run.finished:
        notes.append(Note(f"This run is not finished. To resume it: bmixup train --out {run.path} --resume"))
    if run.scores is None or run.predictions is None:
        return [*notes, Text("There are no scores yet.")]
    if run.split == "val":
        notes.append(
            Note("There is no test split: the epoch was chosen on these images, so the scores are slightly optimistic.")
        )
    notes += [Note(sentence) for sentence in warnings(run.scores, run.run if isinstance(run, RunContents) else None)]
    table = confusion(run.predictions.labels, run.predictions.probabilities).astype(np.int64)
    shown = [run.scores.metrics[name] for name in ("balanced_accuracy", "accuracy")]
    return [
        *notes,
        Text(_overall(run, run.scores, table)),
        Text(_meaning_of_intervals(run.scores)),
        *_prior(run),
        *_classes(run, run.scores.per_class, table),
        *map(Text, warnings_of([*shown, *(row.recall for row in run.scores.per_class.values())])),
    ]


def _overall(run: Contents, scores: Scores, table: Counts) -> str:
    metrics, column = scores.metrics, run.settings.group_column
    groups = f" in {counted(scores.groups, 'group')}" if scores.groups else ""
    groups += f" (column {column})" if groups and column else ""
    text = f"Scored on {counted(scores.n, 'image')}{groups}: {run.scored}. "
    if not math.isnan(metrics["balanced_accuracy"].value):
        text += f"Balanced accuracy, the mean recall of the classes, is {with_interval(metrics['balanced_accuracy'])}. "
    text += f"Accuracy over all images is {with_interval(metrics['accuracy'])}."
    if run.ordinal:
        text += f" {percent(_near(table))} of the predictions are at most one class off."
    return text + _constant(run, table.sum(axis=1))


def _near(table: Counts) -> float:
    """Return the share of a confusion matrix that is at most one class off."""
    return float(sum(np.trace(table, offset) for offset in (-1, 0, 1)) / table.sum())


def _constant(run: Contents, images: Counts) -> str:
    """Return what a model without any knowledge reaches, which the scores are to be compared with; "" for one class alone.

    images: (K,), of each class.
    """
    if (present := int((images > 0).sum())) < 2:
        return ""
    largest = int(images.argmax())
    table = np.zeros((len(images), len(images)), np.int64)
    table[:, largest] = images
    reached = [
        f"a balanced accuracy of {percent(1 / present)}",
        f"an accuracy of {percent(float(images[largest] / images.sum()))}",
        *([f"{percent(_near(table))} of its predictions at most one class off"] if run.ordinal else []),
    ]
    return f" For comparison: a model that always predicts {display_name(run.classes[largest])} has {listed(reached)}."


def _meaning_of_intervals(scores: Scores) -> str:
    together = " Images of one group count as dependent." if scores.groups else ""
    return (
        "95% CI (confidence interval): the values that agree with these images, if they are a fair sample of those that the "
        f"model is meant for.{together} It is of this one trained model: images from elsewhere, or another training, can "
        "differ by more."
    )


def _prior(run: Contents) -> list[Block]:
    """Return the class prior that the probabilities were corrected to, if any."""
    prior = run.target
    if prior is None:
        return []
    shares = sorted(prior.by_class(run.classes).items(), key=lambda item: -item[1].value)
    listing = ", ".join(f"{display_name(name)} {with_interval(share)}" for name, share in shares[:MOST])
    blocks: list[Block] = [
        Text(
            f"All scores are of probabilities corrected to the class prior `{prior.name}`: {listing}"
            f"{' ...' if len(shares) > MOST else ''}. This can change the predicted class."
        )
    ]
    if any(share.high - share.low > _VAGUE for share in prior.by_class(run.classes).values()):
        blocks.append(
            Note(
                "These images say little about the class shares, as the intervals show: do not rely on the corrected "
                "probabilities, nor on the scores below, which change with the shares."
            )
        )
    if not prior.converged:
        blocks.append(Note("The estimate of the class prior did not converge: do not rely on it."))
    return blocks


def _classes(run: Contents, per_class: Mapping[str, ClassScores], table: Counts) -> list[Block]:
    trained = None if run.images is None else run.counts("train")
    classes, everything = run.classes, list(range(len(run.classes)))
    sizes, known = (table.sum(axis=1), "scored") if trained is None else (trained, "training")
    rare = rare_classes(sizes)
    chosen = (rare or everything)[:MOST]
    sentences = [
        class_sentence(k, classes, table, None if trained is None else int(trained[k]), per_class[classes[k]].recall)
        for k in chosen
    ]
    if rare:
        head = (
            f"Rare classes, the rarest first (rare: fewer than half of the {known} images it would have if all classes were "
            "equally large):"
        )
    else:
        head = "No class is rare. Classes:"
    blocks: list[Block] = [Text(head), Listing(sentences)]
    others = [k for k in everything if k not in chosen]
    if others:
        total, hits = int(table[others].sum()), int(sum(table[k, k] for k in others))
        names = ", ".join(display_name(classes[k]) for k in others) if len(others) <= 5 else counted(len(others), "class")
        text = f"Other classes ({names}): {hits:,} of {counted(total, 'image')} found."
        unfound = [k for k in others if table[k].any() and not table[k, k]]
        if unfound:
            zeros = [f"{display_name(classes[k])} (0 of {table[k].sum():,})" for k in unfound]
            text += f" None of {listed(zeros, MOST)}."
        blocks.append(Text(text))
    return blocks
