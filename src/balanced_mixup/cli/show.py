"""Printing scores: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from balanced_mixup.evaluation.experiment import Experiment
    from balanced_mixup.runs.run_folder import RunFolder


def print_json(content: Any) -> None:
    """Print one JSON object to standard output."""
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def interval(score: Mapping[str, float | None], form: str = ".3f", ends: str = ".2f") -> str:
    """Return "0.612 [0.58, 0.65]", or a dash for what is undefined; `form` and `ends` are how its numbers are written."""
    value, low, high = (score[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:{form}}" + ("" if low is None or high is None else f" [{low:{ends}}, {high:{ends}}]")


def print_scores(scores: Mapping[str, Any], title: str, run: "RunFolder") -> None:
    """Print a table of scores and one of classes, of a run whose model knows whether the classes are grades."""
    from balanced_mixup.metrics import METRICS, applicable
    from balanced_mixup.runs.classifier import ModelCard

    console = Console()
    of = f"{scores['n']:,} images" + (f" in {scores['groups']:,} groups" if scores["groups"] else "")
    console.print(f"[bold]Scores on {escape(title)}[/]: {of}", "", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("value [95 % interval]", justify="right")
    for name, score in applicable(scores["metrics"], ModelCard.read(run.model).ordinal).items():
        table.add_row(METRICS[name].label, interval(score))
    console.print(table, "")
    classes = Table(box=None, pad_edge=False)
    classes.add_column("class")
    for heading in ("images", "recall [95 % interval]", "precision [95 % interval]"):
        classes.add_column(heading, justify="right")
    for name, row in scores["per_class"].items():
        classes.add_row(escape(name), f"{row['support']:,}", interval(row["recall"]), interval(row["precision"]))
    console.print(classes, "")


_CALIBRATION = {
    "ece": "ECE",
    "classwise_ece": "classwise ECE",
    "rare_ece": "  of the rare classes",
    "brier": "Brier score (0 to 2)",
    "log_loss": "log loss",
}


def print_calibration(scores: Mapping[str, Any]) -> None:
    """Print what `Assessment.of` says about calibration, class shares and thresholds."""
    console = Console()
    if (calibration := scores["calibration"]) is None:
        return
    prior = scores["prior"]
    table = Table(box=None, pad_edge=False)
    table.add_column("calibration (lower is better)")
    table.add_column("as predicted", justify="right")
    table.add_column("corrected", justify="right")
    for name, label in _CALIBRATION.items():
        if name in calibration["before"]:
            table.add_row(label, *(interval(calibration[when][name], ends=".3f") for when in ("before", "after")))
        if name == "ece":
            chance = (f"{calibration[when]['ece_by_chance']:.3f}" for when in ("before", "after"))
            table.add_row("  by chance, if perfect", *chance)
    console.print(table, "")
    shares = "" if prior is None else f", class shares `{escape(prior['name'])}`"
    fitted = f"fitted on {calibration['images']:,} validation images"
    said = f"Corrected: temperature {calibration['temperature']:.2f}{shares}, {fitted}.\n"
    console.print(said, soft_wrap=True, highlight=False)
    if prior is not None:
        _print_shares(console, prior)
    if scores["thresholds"]:
        _print_thresholds(console, scores["thresholds"])


def _print_shares(console: Console, prior: Mapping[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column(f"share ({escape(prior['name'])})", justify="right")
    for name, share in prior["shares"].items():
        table.add_row(escape(name), interval(share))
    console.print(table, "")
    if not prior["converged"]:
        console.print("The estimate of the class prior did not converge: do not rely on it.\n")


def _print_thresholds(console: Console, thresholds: Mapping[str, Any]) -> None:
    from balanced_mixup.calibration.thresholds import DECIMALS

    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in ("target sensitivity", "threshold", "sensitivity", "specificity"):
        table.add_column(heading, justify="right")
    for name, row in thresholds.items():
        found = ("–",) * 3
        if row["threshold"] is not None:
            found = f"{row['threshold']:.{DECIMALS}f}", interval(row["sensitivity"]), interval(row["specificity"])
        table.add_row(escape(name), f"{row['wanted']:g}", *found)
    console.print(table, "")
    for name, row in thresholds.items():
        if row["note"]:
            console.print(f"{escape(name)}: {row['note']}.", soft_wrap=True, highlight=False)
    said = "Thresholds are on corrected probabilities, as `bmixup predict` writes them; [95 % interval].\n"
    console.print(escape(said), soft_wrap=True, highlight=False)


def print_experiment(experiment: "Experiment") -> None:
    """Print the scores of what was held out."""
    scores = experiment.scores
    if "test" in scores:
        print_scores(scores["test"], "the held-out test part", experiment.folder)
    else:
        print_scores(scores["val"], "the validation part", experiment.folder)
        Console().print(
            "These are validation scores: the epoch was chosen by them, so they are a little too good. For an honest number "
            "score data that were not part of this run (`bmixup evaluate RUN --data ...`), or train with "
            "`--test-fraction 0.2`.\n"
        )
    Console().print(f"Run folder: {escape(str(experiment.folder.path))}", soft_wrap=True, highlight=False)


def print_predictions(table: "pd.DataFrame", out: Path) -> None:
    """Print how many images were predicted as what, and where the table is."""
    counts = table["prediction"].value_counts()
    console = Console()
    view = Table(box=None, pad_edge=False)
    view.add_column("predicted class")
    view.add_column("images", justify="right")
    for name, count in counts.items():
        view.add_row(escape(str(name)), f"{count:,}")
    console.print(view, "")
    console.print(f"{len(table):,} predictions are in {escape(str(out))}", soft_wrap=True, highlight=False)
