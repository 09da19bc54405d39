"""The report of a run: what was found and missed, what it learned from, and how far its answers can be believed."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.evaluation.prior import effective_prior
from balanced_mixup.metrics import METRICS, confusion
from balanced_mixup.report.calibration_view import calibration_view
from balanced_mixup.report.citation import CITATION
from balanced_mixup.report.contents import RunContents, read_evaluation, read_run, require
from balanced_mixup.report.document import Block, Chart, Document, Folded, Listing, Note, Section, Table, Text
from balanced_mixup.report.figures import ClassCounts, figure1
from balanced_mixup.report.figures.class_scores import class_scores
from balanced_mixup.report.figures.confusion import confusion_matrix
from balanced_mixup.report.figures.history import training_curves
from balanced_mixup.report.figures.operating_curves import precision_recall_curves, roc_curves
from balanced_mixup.report.figures.priors import prior_bars
from balanced_mixup.report.mistakes import mistakes
from balanced_mixup.report.training_view import training_view
from balanced_mixup.report.words import percent, spoken, summary, with_interval

Builder = Callable[[RunContents], Sequence[Block]]


def run_report(path: Path) -> Document:
    """Return the report of a run; what cannot be shown is named, with the reason.

    Raises:
        UsageError: It is no folder of a run.
    """
    run = read_run(path)
    title = f"{run.recipe.method} on {_data_name(run.recipe.data)}"
    return Document(title, f"Run {path.resolve().name}: {run.recipe.backbone}, {run.recipe.size} px", _sections(run, _PARTS))


def evaluation_report(path: Path) -> Document:
    """Return the report of an evaluation: of what it scored alone.

    Raises:
        UsageError: It is no folder of an evaluation, or its run is gone.
    """
    run = read_evaluation(path)
    title = f"{run.recipe.method}, trained on {_data_name(run.recipe.data)}, scored on {_data_name(run.settings.data)}"
    subtitle = f"Run {run.folder.path.name}: {run.recipe.backbone}, {run.recipe.size} px"
    return Document(title, subtitle, _sections(run, {name: part for name, part in _PARTS.items() if name not in _TRAINING}))


def _data_name(data: str) -> str:
    """Return the data set's folder where its table has a name that any table has."""
    path = Path(data)
    return path.parent.name if path.stem in ("labels", "manifest") and path.parent.name else path.stem


def _sections(run: RunContents, parts: Mapping[str, tuple[str, Builder]]) -> list[Section]:
    return [Section(name, title, _built(build, run)) for name, (title, build) in parts.items()]


def _built(build: Builder, run: RunContents) -> Sequence[Block]:
    try:
        return build(run)
    except BalancedMixupError as error:
        return [Note(f"This part is missing. {error}")]


def _summary(run: RunContents) -> list[Block]:
    notes: list[Block] = [Note(reason) for reason in run.missing]
    if run.scores is None or run.predictions is None:
        return [*notes, Text("This run has no scores yet.")]
    scores, metrics = run.scores, run.scores["metrics"]
    groups = f" ({scores['groups']:,} by {run.recipe.group_column or 'group'})" if scores["groups"] else ""
    table = confusion(run.predictions.labels, run.predictions.probabilities).astype(np.int64)
    blocks: list[Block] = [
        Text(
            f"Scored on {scores['n']:,} images{groups}: {run.scored}. "
            f"Averaged over the classes, {with_interval(metrics['balanced_accuracy'])} of a class's images are found "
            f"(balanced accuracy); of all images {with_interval(metrics['accuracy'])} are right."
        ),
        Text("The rare classes, the rarest first:"),
        Listing(summary(run.classes, table, run.counts("train"), scores)),
    ]
    if run.part == "val":
        notes.append(
            Note("Nothing was held out for a test: the epoch was chosen by these images, so the scores are a little too good.")
        )
    return [*notes, *blocks]


def _data(run: RunContents) -> list[Block]:
    counts = {part: run.counts(part) for part in ("train", "val", "test")}
    total = np.sum(list(counts.values()), axis=0)
    table = Table(
        "Images of each class in the parts of the data.",
        ["class", "training", "validation", "test", "all"],
        [[name, *(f"{counts[part][k]:,}" for part in counts), f"{total[k]:,}"] for k, name in enumerate(run.classes)]
        + [["all", *(f"{counts[part].sum():,}" for part in counts), f"{total.sum():,}"]],
    )
    ordinal = run.recipe.ordinal
    drawing = figure1([ClassCounts("Training images", run.classes, counts["train"].tolist(), ordinal)])
    largest, smallest = counts["train"].max(), counts["train"][counts["train"] > 0].min()
    alternative = (
        f"Bars: training images of each of {len(run.classes)} classes, from {smallest:,} to {largest:,}, "
        f"a ratio of {largest / smallest:.1f} to 1."
    )
    natural, effective = counts["train"] / counts["train"].sum(), effective_prior(run.recipe, counts["train"])
    rarest = int(np.argmin(np.where(natural > 0, natural, np.inf)))
    seen = (
        f"The share of each class in the training images, and in the targets that the method {run.recipe.method} makes of them."
    )
    shares = f"{percent(natural[rarest])} of the images, {percent(effective[rarest])} of the targets"
    return [
        table,
        Chart("classes", "How many training images each class has.", alternative, drawing),
        Chart(
            "prior", seen, f"{spoken(run.classes[rarest])}, the rarest: {shares}.", prior_bars(run.classes, natural, effective)
        ),
    ]


def _training(run: RunContents) -> list[Block]:
    history = require(run.history, "the book of its epochs (history.csv)")
    monitor = run.recipe.monitor or ("quadratic_kappa" if run.recipe.ordinal else "mcc")
    best = best_epoch(history[monitor].to_numpy(float))
    labels = {name: metric.label for name, metric in METRICS.items()}
    row = history.iloc[best - 1]
    text = (
        f"Epoch {best} of {len(history)} was kept: its {METRICS[monitor].label} on validation, {row[monitor]:.3f}, was the "
        "best."
    )
    return [
        Chart("training", text, f"Curves over {len(history)} epochs. {text}", training_curves(history, monitor, best, labels))
    ]


def best_epoch(scores: npt.NDArray[np.float64]) -> int:
    """Return the number of the epoch, from 1, with the highest score, the first of equal ones; 1 where none is defined."""
    return 1 if np.isnan(scores).all() else int(np.nanargmax(scores)) + 1


def _scores(run: RunContents) -> list[Block]:
    scores = require(run.scores, "its scores (metrics.json)")
    rows = [
        [METRICS[name].label, _number(score["value"]), _range(score)]
        for name, score in scores["metrics"].items()
        if run.recipe.ordinal or not METRICS[name].ordinal
    ]
    trained = run.counts("train")
    per_class = [scores["per_class"][name] for name in run.classes]
    recall, precision = (np.array([_triple(row[which]) for row in per_class]) for which in ("recall", "precision"))
    support = np.array([row["support"] for row in per_class])
    order = np.argsort(trained, kind="stable")
    table = Table(
        "Each class, the rarest in training first: how many of its images are found (recall), and how many of those called so "
        "are right (precision).",
        ["class", "training images", "scored images", "recall", "95 % interval", "precision", "95 % interval"],
        [
            [
                run.classes[k],
                f"{trained[k]:,}",
                f"{support[k]:,}",
                _number(per_class[k]["recall"]["value"]),
                _range(per_class[k]["recall"]),
                _number(per_class[k]["precision"]["value"]),
                _range(per_class[k]["precision"]),
            ]
            for k in order
        ],
    )
    found = with_interval(per_class[order[0]]["recall"])
    rarest = spoken(run.classes[order[0]])
    alternative = f"Recall and precision of each class with intervals, by class size. Recall of {rarest}, the rarest: {found}."
    return [
        Table(f"All scores on {run.scored}.", ["score", "value", "95 % interval"], rows),
        Chart(
            "class-scores",
            "Recall and precision of each class, against how many images it had in training.",
            alternative,
            class_scores(run.classes, trained, support, recall, precision),
        ),
        table,
    ]


def _confusion(run: RunContents) -> list[Block]:
    found = require(run.predictions, "its predictions")
    table = confusion(found.labels, found.probabilities).astype(np.int64)
    right = int(np.trace(table))
    off = np.where(np.eye(len(table), dtype=bool), 0, table)
    label, answer = np.unravel_index(off.argmax(), off.shape)
    text = f"{right:,} of {table.sum():,} answers are right."
    if off.any():
        is_a, called = spoken(run.classes[label]), spoken(run.classes[answer])
        text += f" Most often {is_a} is taken for {called}: {off[label, answer]:,} times."
    caption = "Rows are what the images are, columns what the model called them: counts, and per cent of the row."
    return [Chart("confusion", caption, text, confusion_matrix(table, run.classes, run.recipe.ordinal))]


def _curves(run: RunContents) -> list[Block]:
    found = require(run.predictions, "its predictions")
    auc = require(run.scores, "its scores (metrics.json)")["metrics"]["macro_auc"]["value"]
    mean = "undefined" if auc is None else f"{auc:.3f}"
    arguments = (found.labels, found.probabilities.astype(np.float64), run.classes)
    return [
        Chart(
            "roc",
            "Each class against all others: what share of its images is found, for what share of false alarms. A large area "
            "does not say that the class is found at the model's own decision.",
            f"ROC curves; mean area {mean}.",
            roc_curves(*arguments),
        ),
        Chart(
            "precision-recall",
            "How many of the images called so are right, at each share that is found. The dotted lines are guesses.",
            "Precision-recall curves of each class against all others.",
            precision_recall_curves(*arguments),
        ),
    ]


def _making(run: RunContents) -> list[Block]:
    environment = run.environment
    return [
        Folded("Recipe", _yaml(run.recipe.model_dump(mode="json"))),
        *([Folded("Environment", _yaml(dict(environment)))] if environment else []),
        Text(f"If this helped your work, please cite the paper: {CITATION}"),
    ]


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _triple(score: Mapping[str, float | None]) -> list[float]:
    return [math.nan if (number := score[key]) is None else number for key in ("value", "low", "high")]


def _range(score: Mapping[str, float | None]) -> str:
    low, high = score["low"], score["high"]
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


_PARTS: Mapping[str, tuple[str, Builder]] = {
    "summary": ("In short", _summary),
    "data": ("The data", _data),
    "training-images": ("What training sees", training_view),
    "training": ("Training", _training),
    "scores": ("Scores", _scores),
    "confusion": ("What is taken for what", _confusion),
    "curves": ("ROC and precision-recall", _curves),
    "calibration": ("How sure it is", calibration_view),
    "gallery": ("Mistakes and doubts", mistakes),
    "making": ("How this was made", _making),
}
_TRAINING = ("data", "training-images", "training")
