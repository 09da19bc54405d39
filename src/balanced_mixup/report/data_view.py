"""The data of a run, and its training: class sizes, splits, class prior, learning curves."""

from dataclasses import replace

import numpy as np

from balanced_mixup.calibration.priors import training_prior
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Note, Table, Text
from balanced_mixup.report.figures import ClassCounts, figure1, prior_bars, training_curves
from balanced_mixup.report.words import percent
from balanced_mixup.training.schedules import epochs_since_best
from balanced_mixup.words import counted, display_name


def data_view(run: RunContents) -> list[Block]:
    """Return the classes and splits of the data, and the weight of each class in training.

    Raises:
        UsageError: The run lacks the list of its images.
    """
    counts = {split: run.counts(split) for split in ("train", "val", "test")}
    total = np.sum(list(counts.values()), axis=0)
    table = Table(
        "Images of each class in each split.",
        ["class", "training", "validation", "test", "all"],
        [[name, *(f"{own[k]:,}" for own in counts.values()), f"{total[k]:,}"] for k, name in enumerate(run.classes)]
        + [["all", *(f"{own.sum():,}" for own in counts.values()), f"{total.sum():,}"]],
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
        table,
        *_undecided(run),
        Chart("classes", "Training images of each class.", sizes),
        Chart("prior", caption, replace(prior_bars(run.classes, natural, effective), description=weights)),
    ]


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
