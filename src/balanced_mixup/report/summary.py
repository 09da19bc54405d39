"""The first section of a report: what was found and what was missed, for somebody who reads nothing else."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.metrics import confusion
from balanced_mixup.report.contents import RunContents
from balanced_mixup.report.document import Block, Listing, Note, Text
from balanced_mixup.report.words import counted, found_and_missed, percent, spoken, with_interval
from balanced_mixup.runs.scores import ClassScores, Scores

Counts = npt.NDArray[np.int64]

MOST = 12  # rare classes that get a sentence of their own


def summary(run: RunContents) -> list[Block]:
    """Say how many images of each rare class were found, and of the others together."""
    notes: list[Block] = []
    if not run.finished:
        notes.append(Note(f"This run is not finished: go on with it (bmixup train --out {run.folder.path} --resume)."))
    if run.scores is None or run.predictions is None:
        return [*notes, Text("There are no scores yet.")]
    if run.split == "val":
        notes.append(
            Note("Nothing was held out for a test: the epoch was chosen by these images, so the scores are a little too good.")
        )
    table = confusion(run.predictions.labels, run.predictions.probabilities).astype(np.int64)
    return [*notes, Text(_overall(run, run.scores, table)), *_prior(run), *_classes(run, run.scores.per_class, table)]


def _overall(run: RunContents, scores: Scores, table: Counts) -> str:
    metrics = scores.metrics
    by = f" (by {run.settings.group_column})" if run.settings.group_column else ""
    groups = f" from {counted(scores.groups, 'group')}{by}" if scores.groups else ""
    text = f"Scored on {counted(scores.n, 'image')}{groups}: {run.scored}. "
    if not math.isnan(metrics["balanced_accuracy"].value):
        share = with_interval(metrics["balanced_accuracy"])
        text += f"Averaged over the classes, {share} of a class's images are found (balanced accuracy). "
    text += f"Of all images {with_interval(metrics['accuracy'])} are right."
    if run.ordinal:
        near = sum(int(np.trace(table, offset)) for offset in (-1, 0, 1))
        text += f" {percent(near / table.sum())} are at most one grade off."
    return text


def _prior(run: RunContents) -> list[Block]:
    """Say to what class shares the probabilities were corrected, if to any."""
    prior = run.target
    if prior is None:
        return []
    shares = sorted(prior.by_class(run.classes).items(), key=lambda item: -item[1].value)
    said = [f"{spoken(name)} {with_interval(share)}" for name, share in shares[:MOST]]
    blocks: list[Block] = [
        Text(
            f"All of this is of probabilities corrected to the class prior `{prior.name}`: {', '.join(said)}"
            f"{' ...' if len(shares) > MOST else ''}. That can change the answers."
        )
    ]
    if not prior.converged:
        blocks.append(Note("The estimate of the class prior has not converged and is unreliable."))
    return blocks


def _classes(run: RunContents, per_class: Mapping[str, ClassScores], table: Counts) -> list[Block]:
    trained = None if run.images is None else run.counts("train")
    classes = run.classes
    everything = list(range(len(classes)))
    rare = [] if trained is None else rare_classes(trained)
    chosen = (rare or everything)[:MOST]
    sentences = [
        found_and_missed(k, classes, table, None if trained is None else int(trained[k]), per_class[classes[k]].recall)
        for k in chosen
    ]
    if rare:
        head = "The rare classes, with fewer than half of the training images of an even share, the rarest first:"
    else:
        head = "The classes:" if trained is None else "No class is rare. The classes:"
    blocks: list[Block] = [Text(head), Listing(sentences)]
    others = [k for k in everything if k not in chosen]
    if others:
        total, hits = int(table[others].sum()), int(sum(table[k, k] for k in others))
        names = ", ".join(spoken(classes[k]) for k in others) if len(others) <= 5 else f"{len(others)} classes"
        blocks.append(Text(f"Of the others ({names}) {hits:,} of {counted(total, 'image')} are found."))
    return blocks
