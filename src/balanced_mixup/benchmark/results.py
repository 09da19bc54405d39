"""The scores of a benchmark, read from its run folders."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.files import read_json
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.classifier import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder

EXTERNAL = " -> "  # between the data that were trained on and other data that were scored


@dataclass(frozen=True)
class Results:
    """What a benchmark found so far.

    Args:
        scores: A row for each run and scored data set: data, backbone, method, fold, seed, test_share, scored (the part; None
            for other data), predictions (a path), and a column for each metric (NaN where undefined).
        methods: Labels in the order of the plan.
        baseline: Label of the method that the others are compared with.
        metrics: Names of the metrics that the plan asks for; none if it leaves the choice open.
        protocol: Name of the protocol.
        ordinal: The classes of all data sets are grades.
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
        raise UsageError(f"The benchmark in {str(path)!r} has no finished run yet: go on with it (`bmixup benchmark`).")
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
        ordinal=all(_is_ordinal(folder.run(run)) for run in runs if folder.run(run).metrics.is_file()),
        planned=len(runs),
        finished=sum(folder.is_finished(run) for run in runs),
        failed=tuple(_failures(folder, runs)),
    )


def _is_ordinal(run: RunFolder) -> bool:
    return ModelCard.read(run.model).ordinal


def _failures(folder: BenchmarkFolder, runs: Iterable[PlannedRun]) -> Iterator[tuple[str, str]]:
    for run in runs:
        path = folder.failure(run)
        if path.is_file() and not folder.is_finished(run):
            yield run.title, path.read_text(encoding="utf-8").strip()


def _rows(folder: BenchmarkFolder, run: PlannedRun) -> Iterator[dict[str, Any]]:
    """Yield the scores of one run: on the part that it held out, then on each of the other data."""
    own = folder.run(run)
    if own.metrics.is_file():
        yield _row(run, run.data, read_json(own.metrics).get(run.scored), own.metrics, own.predictions, run.scored)
    for name in run.external:
        path = folder.external(run, name)
        if path.is_file():
            yield _row(run, f"{run.data}{EXTERNAL}{name}", read_json(path), path, path.with_name("predictions.parquet"), None)


def _row(
    run: PlannedRun, data: str, scores: dict[str, Any] | None, metrics: Path, predictions: Path, scored: str | None
) -> dict[str, Any]:
    """Return a row of `Results.scores`; `scored` is the part that the run held out, None for other data."""
    try:
        values = {name: (scores or {})["metrics"][name]["value"] for name in METRICS}
    except (KeyError, TypeError) as error:
        raise UsageError(f"The file {str(metrics)!r} is damaged: it lacks {error}. Make the run again.") from None
    return {
        "data": data,
        "backbone": run.backbone,
        "method": run.method,
        "fold": run.fold,
        "seed": run.seed,
        "test_share": None if scored is None else run.test_share,
        "scored": scored,
        "predictions": str(predictions),
        **{name: float("nan") if value is None else value for name, value in values.items()},
    }


def predictions_of(row: pd.Series) -> Predictions:
    """Return the predictions behind a row of `Results.scores`."""
    predictions = Predictions.read(Path(row["predictions"]))
    return predictions if row["scored"] is None else predictions.part(row["scored"])
