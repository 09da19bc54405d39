"""How often the 95 % intervals of scores contain the truth, for small classes and few groups; see README.md here.

python benchmarks/coverage.py                           # 1,000 test sets in each cell, about half an hour on two cores
python benchmarks/coverage.py --quick                   # 100 test sets in a few cells, about half a minute
python benchmarks/coverage.py --json benchmarks/results/coverage.json --page docs/intervals.md

A cell is an expected number of images of the rarest of five classes, a number of groups and a quality of the model. Test sets
have 500 images, or patients with 25, 10 or 4 images, most of them of one class, which share an error as large as that of a
single image. A patient has up to three images of the rarest class. The truth is the score of 500,000 such images. The
percentile bootstrap, which was used before, is measured on a fifth of the test sets.
"""

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import Parallel, cpu_count, delayed
from rich.console import Console
from rich.progress import track
from rich.table import Table

from balanced_mixup.metrics import METRICS
from balanced_mixup.statistics import score_intervals
from balanced_mixup.statistics.bootstrap import bootstrap
from balanced_mixup.statistics.interval import Interval

CLASSES = 5
RAREST = CLASSES - 1
SHARES = np.array([0.45, 0.25, 0.17, 0.13])  # of the other classes
OWN = 0.7  # share of a patient's images that are of the patient's own class
IMAGES = {None: 500, 12: 300, 60: 600, 300: 1200}  # by number of groups
SCORES = {
    "macro_f1": "macro-F1",
    "macro_auc": "macro AUC",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "MCC",
    "quadratic_kappa": "quadratic kappa",
    f"recall_{RAREST}": "recall, rarest",
    "recall_0": "recall, commonest",
    f"precision_{RAREST}": "precision, rarest",
    "precision_0": "precision, commonest",
    f"auc_{RAREST}": "AUC, rarest",
    "auc_0": "AUC, commonest",
    f"average_precision_{RAREST}": "average precision, rarest",
}
BEGIN, END = "<!-- coverage -->", "<!-- end of coverage -->"
QUALITIES = {1.0: "poor", 2.5: "good", 3.5: "excellent"}  # distance of the logit of the true class, in standard deviations


class Cell(NamedTuple):
    """What a test set is like: expected images of the rarest class, groups, distance of the logit of the true class."""

    rarest: int
    groups: int | None
    skill: float


class TestSet(NamedTuple):
    """Labels (N,), probabilities (N, K), groups (N,) or None."""

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    groups: npt.NDArray[np.str_] | None


def draw(cell: Cell, rng: np.random.Generator) -> TestSet:
    """Return a random test set with at least one image of the rarest class."""
    images = IMAGES[cell.groups]
    rarest = max(1, rng.binomial(images, cell.rarest / images))
    labels = rng.choice(RAREST, images, p=SHARES)
    patient = np.arange(images)
    errors = rng.normal(size=(images, CLASSES))
    if cell.groups is None:
        labels[:rarest] = RAREST
    else:
        patient = np.repeat(np.arange(cell.groups), images // cell.groups)
        own = rng.choice(RAREST, cell.groups, p=SHARES)
        labels = np.where(rng.random(images) < OWN, own[patient], labels)
        carriers = rng.permutation(cell.groups)[: -(-rarest // 3)]
        places = np.concatenate([np.flatnonzero(patient == carrier)[:3] for carrier in carriers])
        labels[places[:rarest]] = RAREST
        errors += rng.normal(size=(cell.groups, CLASSES))[patient]
    logits = errors + cell.skill * np.eye(CLASSES)[labels]
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return TestSet(labels, odds / odds.sum(1, keepdims=True), None if cell.groups is None else patient.astype(str))


def truth(cell: Cell, images: int) -> dict[str, float]:
    """Return the scores of many test sets together."""
    rng = np.random.default_rng(0)
    parts = [draw(cell, rng) for _ in range(images // IMAGES[cell.groups])]
    labels, probabilities = (np.concatenate([part[column] for part in parts]) for column in (0, 1))
    found = score_intervals(labels, probabilities, draws=1)
    return {name: found[name].value for name in SCORES}


def outcomes(cell: Cell, true: Mapping[str, float], seed: int) -> dict[str, list[float]]:
    """Return for one test set, by score: covered, width, warned; and covered, width of the percentile bootstrap."""
    test = draw(cell, np.random.default_rng(seed + 1))
    ours = score_intervals(*test, draws=1000)
    # The bootstrap takes most of the time: a fifth of the test sets tell enough of it.
    names = [name for name in SCORES if name in METRICS]
    theirs = {} if seed % 5 else bootstrap(*test, replicates=400, metrics=names)
    found = {}
    for name in SCORES:
        new, old = ours[name], theirs.get(name, Interval(np.nan))
        found[name] = [
            *(new.low <= true[name] <= new.high, new.high - new.low, new.warning is not None),
            *(old.low <= true[name] <= old.high if name in theirs else np.nan, old.high - old.low),
        ]
    return found


def measure(cell: Cell, sets: int, images: int) -> list[dict[str, Any]]:
    """Return a row for each score, of the test sets without a warning, and of all where most of them have one."""
    true = truth(cell, images)
    parallel = Parallel(n_jobs=cpu_count(only_physical_cores=True))
    drawn = parallel(delayed(outcomes)(cell, true, seed) for seed in range(sets))
    rows = []
    for name, label in SCORES.items():
        values = np.array([each[name] for each in drawn], dtype=np.float64)
        warned = values[:, 2].mean()
        shown = values if warned > 0.5 else values[values[:, 2] == 0]
        covered, width, _, bootstrap_covered, bootstrap_width = (
            float(column[~np.isnan(column)].mean()) if not np.isnan(column).all() else None for column in shown.T
        )
        rows.append(
            {
                **cell._asdict(),
                "score": label,
                "true": true[name],
                "warned": warned,
                "covered": covered,
                "width": width,
                "bootstrap_covered": bootstrap_covered,
                "bootstrap_width": bootstrap_width,
            }
        )
    return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each score and cell."""
    table = Table(box=None, title="95 % intervals (in brackets: cells whose scores carry a warning)")
    for heading in ("images", "groups", "model", "score", "true", "covered %", "width", "bootstrap %", "its width"):
        table.add_column(heading, justify="left" if heading in ("model", "score") else "right")
    for row in rows:
        covered, old = f"{100 * row['covered']:.1f}", row["bootstrap_covered"]
        table.add_row(
            f"{row['rarest']}",
            "–" if row["groups"] is None else f"{row['groups']}",
            QUALITIES[row["skill"]],
            row["score"],
            f"{row['true']:.3f}",
            f"({covered})" if row["warned"] > 0.5 else covered,
            f"{row['width']:.3f}",
            *(["–", "–"] if old is None else [f"{100 * old:.1f}", f"{row['bootstrap_width']:.3f}"]),
        )
    Console(width=120).print(table)


def page_tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return two tables in Markdown, a line for each class size and number of groups: coverage, and widths.

    Of the three models each cell has the lowest and the highest coverage, in brackets where most test sets have a warning, and
    the mean widths of the interval and of the percentile bootstrap's.
    """
    scores = list(dict.fromkeys(row["score"] for row in rows))
    sizes = list(dict.fromkeys((row["rarest"], row["groups"]) for row in rows))
    head = f"| rarest class | groups | {' | '.join(scores)} |\n|{'---:|' * (len(scores) + 2)}\n"
    coverage, widths = "", ""
    for rarest, groups in sizes:
        start = f"| {rarest} | {'none' if groups is None else groups} |"
        coverage, widths = coverage + start, widths + start
        for score in scores:
            of = [row for row in rows if (row["rarest"], row["groups"], row["score"]) == (rarest, groups, score)]
            covered = [f"{100 * row['covered']:.0f}" for row in sorted(of, key=lambda row: row["covered"])]
            ends = covered[0] if covered[0] == covered[-1] else f"{covered[0]} to {covered[-1]}"
            coverage += f" {ends if np.mean([row['warned'] for row in of]) <= 0.5 else f'({ends})'} |"
            old = [row["bootstrap_width"] for row in of if row["bootstrap_width"] is not None]
            widths += f" {np.mean([row['width'] for row in of]):.2f}{f', {np.mean(old):.2f}' if old else ''} |"
        coverage, widths = coverage + "\n", widths + "\n"
    return f"\n{head}{coverage}\nWidth of the interval, and of that of the percentile bootstrap:\n\n{head}{widths}"


def main() -> None:
    """Measure the cells, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few cells with 100 test sets")
    parser.add_argument("--sets", type=int, default=1000, help="test sets of each cell")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--page", type=Path, help="insert the tables into this page, docs/intervals.md")
    parser.add_argument("--from-json", type=Path, help="take the figures from here, and measure nothing")
    arguments = parser.parse_args()
    cells = [Cell(*each) for each in itertools.product((3, 5, 10, 30), (None, 300, 60, 12), QUALITIES)]
    sets, images = arguments.sets, 500_000
    if arguments.quick:
        cells, sets, images = [Cell(10, None, 2.5), Cell(30, 60, 2.5)], 100, 200_000
    if arguments.from_json:
        rows = json.loads(arguments.from_json.read_text())["rows"]
    else:
        rows = [row for cell in track(cells, description="cells") for row in measure(cell, sets, images)]
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"test_sets": sets, "rows": rows}, indent=1) + "\n")
    if arguments.page:
        text = arguments.page.read_text()
        before, _, after = text.partition(BEGIN)
        arguments.page.write_text(before + BEGIN + page_tables(rows) + END + after.partition(END)[2])


if __name__ == "__main__":
    main()
