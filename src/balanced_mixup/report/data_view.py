"""The data of a run, and its training: class sizes, parts, what the method makes of them, the curves."""

import numpy as np

from balanced_mixup.calibration.priors import training_prior
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Table
from balanced_mixup.report.figures import ClassCounts, figure1
from balanced_mixup.report.figures.history import training_curves
from balanced_mixup.report.figures.priors import prior_bars
from balanced_mixup.report.words import counted, percent, spoken
from balanced_mixup.training.schedules import epochs_since_best


def data_view(run: RunContents) -> list[Block]:
    """Show the classes and parts of the data, and what weight the method gives to each class.

    Raises:
        UsageError: The run lacks the list of its images.
    """
    counts = {part: run.counts(part) for part in ("train", "val", "test")}
    total = np.sum(list(counts.values()), axis=0)
    table = Table(
        "Images of each class in the parts of the data.",
        ["class", "training", "validation", "test", "all"],
        [[name, *(f"{counts[part][k]:,}" for part in counts), f"{total[k]:,}"] for k, name in enumerate(run.classes)]
        + [["all", *(f"{counts[part].sum():,}" for part in counts), f"{total.sum():,}"]],
    )
    ordinal = run.ordinal
    drawing = figure1([ClassCounts("Training images", run.classes, counts["train"].tolist(), ordinal)])
    largest, smallest = counts["train"].max(), counts["train"][counts["train"] > 0].min()
    alternative = (
        f"Bars: training images of each of {len(run.classes)} classes, from {smallest:,} to {largest:,}, "
        f"a ratio of {largest / smallest:.1f} to 1."
    )
    natural, effective = counts["train"] / counts["train"].sum(), training_prior(run.recipe, counts["train"])
    rarest = int(np.argmin(np.where(natural > 0, natural, np.inf)))
    seen = (
        f"The share of each class in the training images, and of the weight that the method {run.recipe.method.name} gives it "
        "in training (by sampling, mixing and loss)."
    )
    shares = f"{percent(natural[rarest])} of the images, {percent(effective[rarest])} of the weight"
    return [
        table,
        Chart("classes", "How many training images each class has.", alternative, drawing),
        Chart(
            "prior", seen, f"{spoken(run.classes[rarest])}, the rarest: {shares}.", prior_bars(run.classes, natural, effective)
        ),
    ]


def training_curves_view(run: RunContents) -> list[Block]:
    """Show loss and scores over the epochs, and which epoch was kept.

    Raises:
        UsageError: The run has no history.
    """
    history = require(run.history, "the book of its epochs (history.csv)")
    scores = history[run.monitor].to_numpy(float)
    best = max(1, len(scores) - epochs_since_best(scores.tolist()))
    label = METRICS[run.monitor].label
    labels = {name: metric.label for name, metric in METRICS.items()}
    verb = "was kept" if run.finished else "is the best so far"
    text = f"Epoch {best} of {len(history)} {verb}"
    if np.isnan(scores).all():
        text += f": {label} on validation was never defined."
    else:
        text += f": its {label} on validation, {scores[best - 1]:.3f}, was the best."
    alternative = f"Curves over {counted(len(history), 'epoch')}. {text}"
    return [Chart("training", text, alternative, training_curves(history, run.monitor, best, labels))]
