"""The results of a benchmark, read from its run folders."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.runs.evaluation import Evaluation
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import read_scores

EXTERNAL = " -> "  # between the training data and the external data that are scored


@dataclass(frozen=True)
class Results:
    """The results of a benchmark so far.

    Args:
        scores: A row for each run and scored data set: data, backbone, method, fold, seed, test_share, scored (the split; None
            for other data), predictions (a path), and a column for each metric (NaN where undefined).
        methods: Labels in the order of the plan.
        baseline: Label of the method that the others are compared with.
        metrics: Names of the metrics in the plan; none if it has none.
        protocol: Name of the protocol.
        ordinal: The classes of all data sets are ordinal.
        planned, finished: Number of runs in the plan, and of those that are finished.
        failed: Titles of the runs that failed, each with the reason.
    """

    scores: pd.DataFrame
    methods: tuple[str, ...]
    baseline: str
    metrics: tuple[str, ...]
    protocol: str
    ordinal: bool
    planned: int
    finished: int
    failed: tuple[tuple[str, str], ...]


def read_results(path: Path | str, baseline: str | None = None) -> Results:
    """Return the results of the benchmark in a folder.

    Args:
        path: The folder.
        baseline: Label of the method that others are compared with; that of the plan if not given.

    Raises:
        UsageError: It is no folder of a benchmark, has no finished run yet, or has no such method.
    """
    folder = BenchmarkFolder(Path(path))
    index = folder.read()
    runs = index.runs
    rows = [row for run in runs for row in _rows(folder, run)]
    if not rows:
        raise UsageError(f"The benchmark in {str(path)!r} has no finished run yet: resume it with `bmixup benchmark`.")
    methods = tuple(dict.fromkeys(run.method for run in runs))
    if baseline is not None and baseline not in methods:
        raise UsageError(
            f"Expected `baseline` to be one of {', '.join(methods)}, but got {baseline!r}.{nearest(baseline, methods)}"
        )
    return Results(
        scores=pd.DataFrame(rows),
        methods=methods,
        baseline=baseline or index.baseline,
        metrics=tuple(index.metrics),
        protocol=index.protocol,
        ordinal=all(Run(folder.run(run)).ordinal for run in runs if folder.run(run).metrics.is_file()),
        planned=len(runs),
        finished=sum(folder.is_finished(run) for run in runs),
        failed=tuple(_failures(folder, runs)),
    )


def _failures(folder: BenchmarkFolder, runs: Iterable[PlannedRun]) -> Iterator[tuple[str, str]]:
    for run in runs:
        path = folder.failure(run)
        if path.is_file() and not folder.is_finished(run):
            yield run.title, path.read_text(encoding="utf-8").strip()


def _rows(folder: BenchmarkFolder, planned: PlannedRun) -> Iterator[dict[str, Any]]:
    """Yield the scores of one run: on its held-out split, then on each external data set."""
    run = Run(folder.run(planned))
    if run.folder.metrics.is_file():
        yield _row(planned, planned.data, held_out_scores(run, planned.scored), run.folder.predictions, planned.scored)
    for name in planned.external:
        path = folder.external(planned, name)
        if path.is_file():
            evaluation = Evaluation.open(path.parent)
            data = f"{planned.data}{EXTERNAL}{name}"
            yield _row(planned, data, _external_scores(evaluation), path.with_name("predictions.parquet"), None)


def _external_scores(evaluation: Evaluation) -> dict[str, float]:
    return evaluation.stored.scores.values(lambda: evaluation.scored)


def held_out_scores(run: Run, split: str) -> dict[str, float]:
    """Return the value of every metric on a split of a run, NaN where undefined; missing ones are computed.

    Raises:
        UsageError: The run's metrics.json is damaged.
    """
    stored = read_scores(run.folder.metrics)
    if split not in stored:
        raise UsageError(f"The file {str(run.folder.metrics)!r} is damaged: it lacks '{split}'. Train the run again.")
    return stored[split].values(lambda: run.predictions.in_split(split))


def _row(run: PlannedRun, data: str, scores: Mapping[str, float], predictions: Path, scored: str | None) -> dict[str, Any]:
    """Return a row of `Results.scores`; `scored` is the split that the run held out, None for other data."""
    return {
        "data": data,
        "backbone": run.backbone,
        "method": run.method,
        "fold": run.fold,
        "seed": run.seed,
        "test_share": None if scored is None else run.test_share,
        "scored": scored,
        "predictions": str(predictions),
        **scores,
    }


def predictions_of(row: pd.Series) -> Predictions:
    """Return the predictions behind a row of `Results.scores`."""
    predictions = Predictions.read(Path(row["predictions"]))
    return predictions if pd.isna(row["scored"]) else predictions.in_split(row["scored"])
