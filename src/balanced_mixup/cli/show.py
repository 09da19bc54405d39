"""Printing scores: tables for people, JSON for programs."""

import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.words import counted

if TYPE_CHECKING:
    from balanced_mixup.calibration.class_prior import TargetPrior
    from balanced_mixup.calibration.thresholds import ThresholdResult
    from balanced_mixup.evaluation.experiment import Experiment
    from balanced_mixup.runs.evaluation import EvaluationResult
    from balanced_mixup.runs.predictions import ImagePredictions
    from balanced_mixup.runs.scores import Scores
    from balanced_mixup.statistics.interval import Interval

log = logging.getLogger("balanced_mixup")

_MOST_CLASSES, _RAREST = 40, 10  # of more classes than this, this many are printed


def print_json(content: Any) -> None:
    """Print one JSON object to standard output."""
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def interval(score: "Interval", form: str = ".3f", ends: str = ".2f") -> str:
    """Return "0.612 [0.58, 0.65]", with `*` if it has a warning, or a dash for what is undefined.

    form, ends: How its numbers are written.
    """
    if math.isnan(score.value):
        return "–"
    bounds = "" if math.isnan(score.low) or math.isnan(score.high) else f" [{score.low:{ends}}, {score.high:{ends}}]"
    return f"{score.value:{form}}{bounds}{score.mark}"


def print_warnings(console: Console, scores: "Iterable[Interval]") -> None:
    """Print what the marks of scores above mean, if there are any."""
    from balanced_mixup.statistics.interval import warnings_of

    if lines := warnings_of(scores):
        console.print(*map(escape, lines), "", sep="\n", highlight=False, soft_wrap=True)


def scores_content(content: Mapping[str, Any], scores: "Scores", *, ordinal: bool) -> dict[str, Any]:
    """Return what `to_dict` gave of scores, or of a result with scores, with the metrics that apply alone."""
    from balanced_mixup.metrics import applicable

    return {**content, "metrics": {name: score.to_dict() for name, score in applicable(scores.metrics, ordinal).items()}}


def log_warnings(warnings: Sequence[str]) -> None:
    """Log warnings of a command that prints JSON, which has them, too, but which no one may read."""
    for sentence in warnings:
        log.warning("%s", sentence)


def print_scores(scores: "Scores", title: str, *, ordinal: bool, warnings: Sequence[str] = ()) -> None:
    """Print a table of the scores that apply, one of classes, and warnings."""
    from balanced_mixup.metrics import METRICS, applicable

    console = Console()
    of = counted(scores.n, "image") + (f" in {counted(scores.groups, 'group')}" if scores.groups else "")
    console.print(f"[bold]Scores on {escape(title)}[/]: {of}", "", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("value [95 % interval]", justify="right")
    applied = applicable(scores.metrics, ordinal)
    for name, score in applied.items():
        table.add_row(METRICS[name].label, interval(score))
    console.print(table, "")
    print_warnings(console, applied.values())
    classes = Table(box=None, pad_edge=False)
    classes.add_column("class")
    for heading in ("images", "recall [95 % interval]", "precision [95 % interval]"):
        classes.add_column(heading, justify="right")
    shown = _rarest(scores)
    for name in shown:
        row = scores.per_class[name]
        cells = (row.instead_of(score) or interval(getattr(row, score)) for score in ("recall", "precision"))
        classes.add_row(escape(name), f"{row.support:,}", *cells)
    console.print(classes, "")
    rows = [scores.per_class[name] for name in shown]
    print_warnings(console, (score for row in rows for score in (row.recall, row.precision)))
    if len(shown) < len(scores.per_class):
        line = f"These are the {len(shown)} rarest of {len(scores.per_class):,} classes; metrics.json has all of them.\n"
        console.print(line, highlight=False, soft_wrap=True)
    for sentence in warnings:
        console.print(f"[bold yellow]Warning:[/] {escape(sentence)}\n", highlight=False, soft_wrap=True)


def _rarest(scores: "Scores") -> list[str]:
    """Return the classes to print: all of them, or of very many those with the fewest images, if any, the rarest first."""
    names = list(scores.per_class)
    if len(names) <= _MOST_CLASSES:
        return names
    with_images = [name for name in names if scores.per_class[name].support]
    return sorted(with_images, key=lambda name: scores.per_class[name].support)[:_RAREST]


_CALIBRATION = {
    "ece": "ECE",
    "classwise_ece": "classwise ECE",
    "rare_ece": "  of the rare classes",
    "brier": "Brier score (0 to 2)",
    "log_loss": "log loss",
}


def print_calibration(result: "EvaluationResult") -> None:
    """Print calibration, class prior and thresholds of an evaluation."""
    console = Console()
    if (calibration := result.calibration) is None:
        return
    changed = calibration.temperature != 1 or result.prior is not None
    after = calibration.after if changed else None
    stages = [stage for stage in (calibration.before, after) if stage is not None]
    table = Table(box=None, pad_edge=False)
    table.add_column("calibration (lower is better)")
    table.add_column("as predicted", justify="right")
    if after is not None:
        table.add_column("corrected", justify="right")
    for name, label in _CALIBRATION.items():
        if name in calibration.before.metrics:
            table.add_row(label, *(interval(stage.metrics[name], ends=".3f") + stage.p_text(name) for stage in stages))
        if name == "ece":
            table.add_row("  expected by chance", *(f"{stage.ece_by_chance:.3f}" for stage in stages))
    console.print(table, "")
    if calibration.before.p_values:
        line = "[95 % interval]; p: how often calibrated probabilities would show as large an error by chance.\n"
        console.print(escape(line), soft_wrap=True, highlight=False)
    if calibration.after is None:
        return
    none = calibration.note and calibration.temperature == 1
    parts = [] if none else [f"temperature {calibration.temperature:.2f}"]
    parts += [] if result.prior is None else [f"class prior `{escape(result.prior.name)}`"]
    lines = [f"Corrected: {', '.join(parts)}, fitted on {calibration.images:,} validation images."] if parts else []
    if calibration.note:
        why = "No temperature is applied" if none else "An older version kept this temperature; today none would be kept"
        lines.append(f"{why}, as {escape(calibration.note)}.")
    console.print(*lines, "", sep="\n", soft_wrap=True, highlight=False)
    if result.prior is not None:
        _print_prior(console, result.prior, tuple(result.scores.per_class))
    if result.thresholds:
        _print_thresholds(console, result.thresholds)


def _print_prior(console: Console, prior: "TargetPrior", classes: tuple[str, ...]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column(f"share ({escape(prior.name)})", justify="right")
    for name, share in prior.by_class(classes).items():
        table.add_row(escape(name), interval(share))
    console.print(table, "")
    if not prior.converged:
        console.print("The estimate of the class prior did not converge: do not rely on it.\n")


def _print_thresholds(console: Console, thresholds: Mapping[str, "ThresholdResult"]) -> None:
    from balanced_mixup.calibration.thresholds import DECIMALS

    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in ("target sensitivity", "threshold", "at least", "sensitivity", "specificity"):
        table.add_column(heading, justify="right")
    for name, row in thresholds.items():
        cells = ("–",) * 4
        if row.point is not None:
            low = "–" if row.threshold.low is None else f"{row.threshold.low:.3f}"
            measured = interval(row.point.sensitivity), interval(row.point.specificity)
            cells = f"{row.threshold.value:.{DECIMALS}f}", low, *measured
        table.add_row(escape(name), f"{row.threshold.wanted:g}", *cells)
    console.print(table, "")
    points = [row.point for row in thresholds.values() if row.point is not None]
    print_warnings(console, (score for point in points for score in (point.sensitivity, point.specificity)))
    for name, row in thresholds.items():
        if row.threshold.note:
            console.print(f"{escape(name)}: {row.threshold.note}.", soft_wrap=True, highlight=False)
    line = "Thresholds are on probabilities as `bmixup predict` writes them with the same --prior; [95 % interval]. At least: "
    line += "95 % lower bound of the sensitivity, from the validation images.\n"
    console.print(escape(line), soft_wrap=True, highlight=False)


def experiment_warnings(experiment: "Experiment") -> list[str]:
    """Return what is to be said of the scores on held-out data, or of the validation scores where there are none."""
    from balanced_mixup.evaluation.collapse import warnings

    return warnings(experiment.scores["test" if "test" in experiment.scores else "val"], experiment.run)


def print_experiment(experiment: "Experiment") -> None:
    """Print the scores on held-out data."""
    scores, ordinal, warnings = experiment.scores, experiment.run.ordinal, experiment_warnings(experiment)
    if "test" in scores:
        print_scores(scores["test"], "the held-out test split", ordinal=ordinal, warnings=warnings)
    else:
        print_scores(scores["val"], "the validation split", ordinal=ordinal, warnings=warnings)
        Console().print(
            "These are validation scores: the epoch was chosen by them, so they are slightly optimistic. For an unbiased "
            "estimate score data that were not part of this run (`bmixup evaluate RUN --data ...`), or train with "
            "`--test-fraction 0.2`.\n"
        )
    Console().print(f"Run folder: {escape(str(experiment.folder.path))}", soft_wrap=True, highlight=False)


def print_predictions(predictions: "ImagePredictions", out: Path) -> None:
    """Print the number of images for each predicted class, and where the table is."""
    counts = Counter(predictions.predicted.tolist())
    console = Console()
    view = Table(box=None, pad_edge=False)
    view.add_column("predicted class")
    view.add_column("images", justify="right")
    for name, count in counts.most_common():
        view.add_row(escape(str(name)), f"{count:,}")
    console.print(view, "")
    number = "1 prediction is" if len(predictions) == 1 else f"{len(predictions):,} predictions are"
    console.print(f"{number} in {escape(str(out))}", soft_wrap=True, highlight=False)
