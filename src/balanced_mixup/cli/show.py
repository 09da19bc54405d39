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


def print_json(content: Any) -> None:
    """Print one JSON object to standard output."""
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def interval(score: Mapping[str, float | None], form: str = ".3f") -> str:
    """Return "0.612 [0.58, 0.65]", or a dash for what is undefined; `form` is how the value is written."""
    value, low, high = (score[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:{form}}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")


def print_scores(scores: Mapping[str, Any], title: str) -> None:
    """Print a table of scores and one of classes."""
    from balanced_mixup.metrics import METRICS

    console = Console()
    of = f"{scores['n']:,} images" + (f" in {scores['groups']:,} groups" if scores["groups"] else "")
    console.print(f"[bold]Scores on {escape(title)}[/]: {of}", "", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("value [95 % interval]", justify="right")
    for name, score in scores["metrics"].items():
        table.add_row(METRICS[name].label, interval(score))
    console.print(table, "")
    classes = Table(box=None, pad_edge=False)
    classes.add_column("class")
    for heading in ("images", "recall [95 % interval]", "precision [95 % interval]"):
        classes.add_column(heading, justify="right")
    for name, row in scores["per_class"].items():
        classes.add_row(escape(name), f"{row['support']:,}", interval(row["recall"]), interval(row["precision"]))
    console.print(classes, "")


def print_experiment(experiment: "Experiment") -> None:
    """Print the scores of what was held out."""
    scores = experiment.scores
    if "test" in scores:
        print_scores(scores["test"], "the held-out test part")
    else:
        print_scores(scores["val"], "the validation part")
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
