"""The data of a run, and its training: class sizes, splits, class prior, learning curves."""

from dataclasses import replace

import numpy as np

from balanced_mixup.calibration.priors import training_prior
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Note, Table, Text
from balanced_mixup.report.figures import ClassCounts, Part, figure1, flow, prior_bars, training_curves
from balanced_mixup.report.words import percent
from balanced_mixup.training.schedules import epochs_since_best
from balanced_mixup.words import counted, display_name


def data_view(run: RunContents) -> list[Block]:
    """Return from which rows the splits came, their classes and groups, and the weight of each class in training.

    Raises:
        UsageError: The run lacks the list of its images.
    """
    counts = {split: run.counts(split) for split in ("train", "val", "test")}
    total = np.sum(list(counts.values()), axis=0)
    table = Table(
        "Images of each class in each split.",
        ["class", "training", "validation", "test", "all"],
        [[name, *(f"{own[k]:,}" for own in counts.values()), f"{total[k]:,}"] for k, name in enumerate(run.classes)]
        + [["all", *(f"{own.sum():,}" for own in counts.values()), f"{total.sum():,}"]]
        + _group_row(run),
    )
    sizes = figure1([ClassCounts("Training images", run.classes, counts["train"].tolist(), run.ordinal)])
    natural, effective = counts["train"] / counts["train"].sum(), training_prior(run.recipe, counts["train"])
    rarest = int(np.argmin(np.where(natural > 0, natural, np.inf)))
    weights = (
        f"The rarest class, {display_name(run.classes[rarest])}, has {percent(natural[rarest])} of the training images and "
        f"{percent(effective[rarest])} of the weight in training."
    )
    caption = (
        f"Proportion of each class in the training images, and the weight that {run.recipe.method.name} gives it in training "
        f"through sampling, mixing and loss. {weights}"
    )
    return [
        _flow(run),
        table,
        *_undecided(run),
        Chart("classes", "Training images of each class.", sizes),
        Chart("prior", caption, replace(prior_bars(run.classes, natural, effective), description=weights)),
    ]


_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}


def _groups(run: RunContents, split: str | None = None) -> int | None:
    """Return the number of groups, in a split or at all; None where the images have none."""
    table = require(run.images, "the list of its images (manifest.csv)")
    if "group" not in table or not table["group"].any():
        return None
    groups = table["group"] if split is None else table.loc[table["split"] == split, "group"]
    return int(groups[groups != ""].nunique())


def _group_row(run: RunContents) -> list[list[str]]:
    numbers = [_groups(run, split) for split in (*_NAMES, None)]
    named = f"groups ({run.recipe.group_column})" if run.recipe.group_column else "groups"
    return [] if numbers[-1] is None else [[named, *(f"{number or 0:,}" for number in numbers)]]


def _flow(run: RunContents) -> Chart:
    images = require(run.images, "the list of its images (manifest.csv)")["split"].value_counts()
    parts = [Part(name, int(images[split]), _groups(run, split)) for split, name in _NAMES.items() if images.get(split)]
    drawing = flow(run.run.left_out, parts, _groups(run))
    caption = "From the rows of the data to the splits. " + (
        "What was left out, each row by the first of its problems, is in excluded.csv."
        if run.run.left_out
        else "No row was left out for a problem."
    )
    return Chart("flow", caption, drawing)


def _undecided(run: RunContents) -> list[Block]:
    """Return how the images were grouped where no groups were given, and what nobody has decided but the data suggest."""
    suggestions = (run.environment or {}).get("suggestions")
    if not isinstance(suggestions, list):  # a run of an older version
        return []
    blocks: list[Block] = []
    if run.images is not None and "group" in run.images and not run.images["group"].any():
        ignored = "ignored, as set" if run.recipe.ignore_groups else "not given"
        blocks.append(Text(f"Groups: {ignored}. Each image was split as independent of all others."))
    return [*blocks, *(Note(f"Not decided for this run: {suggestion}") for suggestion in suggestions)]


def training_curves_view(run: RunContents) -> list[Block]:
    """Return loss and scores over the epochs, and which epoch was kept.

    Raises:
        UsageError: The run has no history.
    """
    history = require(run.history, "the history of its epochs (history.csv)")
    scores = history[run.monitor].to_numpy(float)
    best = max(1, len(scores) - epochs_since_best(scores.tolist()))
    labels = {name: metric.label for name, metric in METRICS.items()}
    label, verb = labels[run.monitor], "was kept" if run.finished else "is the best so far"
    reason = f"it has the best {label} on validation data, {scores[best - 1]:.3f}"
    if np.isnan(scores).all():
        reason = f"{label} on validation data was never defined"
    text = f"Epoch {best} of {len(history)} {verb}: {reason}."
    drawing = training_curves(history, run.monitor, best, labels)
    description = f"Learning curves over {counted(len(history), 'epoch')}. {text}"
    return [Chart("training", text, replace(drawing, description=description))]
