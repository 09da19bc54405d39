"""The results of a benchmark, read from its run folders."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from balanced_mixup.benchmark.added_rows import AddedRow, added_rows
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.corrected_rows import corrected, corrected_label, has_corrected_row
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.evaluation.collapse import Collapse, collapse
from balanced_mixup.metrics import score
from balanced_mixup.runs.evaluation import Evaluation
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores, read_scores

ADDED = ""  # backbone and seed of a row that was added
EXTERNAL = " -> "  # between the training data and the external data that are scored


@dataclass(frozen=True)
class RunCollapse:
    """Whether a run has collapsed on the images that it is scored on; `data` as in `Results.scores`."""

    data: str
    backbone: str
    method: str
    collapse: Collapse


@dataclass(frozen=True)
class Results:
    """The results of a benchmark so far.

    Args:
        scores: A row for each run and scored data set: data, backbone, method, fold, seed, test_share, scored (the split; None
            for other data), predictions (a path), prior (that their probabilities are corrected to, or None), run (its folder),
            and a column for each metric (NaN where undefined). After each run whose method allows it, the same corrected to the
            prior of the place of use. Then one for each fold of the rows that were added from another program; their backbone
            and seed are "".
        methods: Labels in the order of the plan, each followed by that of its corrected row, then those of added rows.
        baseline: Label of the method that the others are compared with.
        metrics: Names of the metrics in the plan; none if it has none.
        protocol: Name of the protocol.
        ordinal: Names of the data sets, as in `scores`, whose classes are ordinal.
        planned, finished: Number of runs in the plan, and of those that are finished.
        failed: Titles of the runs that failed, each with the reason.
        collapses: For each row of `scores`; for those of added rows with each backbone.
        added: Labels of the rows that were added.
        corrected: Labels of the corrected rows.
        remarks: Sentences on them.
        margin: The largest difference of methods that count as equivalent.
    """

    scores: pd.DataFrame
    methods: tuple[str, ...]
    baseline: str
    metrics: tuple[str, ...]
    protocol: str
    ordinal: Collection[str]
    planned: int
    finished: int
    failed: tuple[tuple[str, str], ...]
    collapses: Sequence[RunCollapse] = ()
    added: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    margin: float = 0.01


def read_results(path: Path | str, baseline: str | None = None, margin: float | None = None) -> Results:
    """Return the results of the benchmark in a folder.

    Args:
        path: The folder.
        baseline: Label of the method that others are compared with; that of the plan if not given.
        margin: The largest difference of methods that count as equivalent, in percentage points; that of the plan if not given.

    Raises:
        UsageError: It is no folder of a benchmark, has no finished run yet, has no such method, or the margin is not above 0.
    """
    if margin is not None and not 0 < margin <= 100:
        raise UsageError(f"Expected `margin` to be a number of percentage points above 0, such as 1, but got {margin:g}.")
    folder = BenchmarkFolder(Path(path))
    index = folder.read()
    runs = index.runs
    scored = [each for run in runs for each in _scored(folder, run)]
    if not scored:
        raise UsageError(f"The benchmark in {str(path)!r} has no finished run yet: resume it with `bmixup benchmark`.")
    remarks: list[str] = []
    added = [each for row, path in added_rows(folder) for each in _added(runs, row, path, remarks)]
    corrected_labels = tuple(dict.fromkeys(each.row["method"] for each in scored if each.scores is None))
    labels = [name for run in runs for name in (run.method, corrected_label(run)) if name in {run.method, *corrected_labels}]
    methods = tuple(dict.fromkeys([*labels, *(each.row["method"] for each in added)]))
    if baseline is not None and baseline not in methods:
        raise UsageError(
            f"Expected `baseline` to be one of {', '.join(methods)}, but got {baseline!r}.{nearest(baseline, methods)}"
        )
    return Results(
        scores=pd.DataFrame(each.row for each in scored + added),
        methods=methods,
        baseline=baseline or index.baseline,
        metrics=tuple(index.metrics),
        protocol=index.protocol,
        ordinal={each.row["data"] for each in scored if each.ordinal},
        planned=len(runs),
        finished=sum(folder.is_finished(run) for run in runs),
        failed=tuple(_failures(folder, runs)),
        collapses=tuple(
            RunCollapse(each.row["data"], backbone, each.row["method"], collapse(each.scores))
            for each in scored + added
            if each.scores is not None
            for backbone in _backbones(each.row, runs)
        ),
        added=tuple(dict.fromkeys(each.row["method"] for each in added)),
        corrected=corrected_labels,
        remarks=tuple(remarks),
        margin=(index.margin if margin is None else margin) / 100,
    )


def _backbones(row: Mapping[str, Any], runs: Iterable[PlannedRun]) -> list[str]:
    """Return the backbones that a row is beside in tables: its own, or for an added one all of its data."""
    if row["backbone"] != ADDED:
        return [row["backbone"]]
    return list(dict.fromkeys(run.backbone for run in runs if run.data == row["data"]))


def _added(runs: Sequence[PlannedRun], added: AddedRow, folder: Path, remarks: list[str]) -> Iterator["_Scored"]:
    """Yield the scores of an added row in each fold, none if the plan has other folds now; appends to `remarks`."""
    of_fold = {run.fold: run for run in runs if run.data == added.data}
    if {fold: run.data_fingerprint for fold, run in of_fold.items()} != added.folds:
        remarks.append(f"{added.name} is not shown: the folds of {added.data} have changed since it was added. Add it again.")
        return
    remarks.append(f"{added.name}: predictions of another program on the same images of {added.data}.")
    for fold, run in of_fold.items():
        yield _added_fold(replace(run, method=added.name, backbone=ADDED), added.data, folder / fold)


def _added_fold(planned: PlannedRun, data: str, folder: Path) -> "_Scored":
    """Return the scores of an added row in one fold, whose evaluation is in `folder`."""
    evaluation = Evaluation.open(folder)
    scores, program = evaluation.stored.scores, evaluation.stored.other_program
    values = scores.values(lambda: evaluation.predictions)
    row = _row(planned, data, values, folder / "predictions.parquet", planned.scored)
    return _Scored({**row, "seed": ADDED}, scores, program is not None and program.ordinal)


def _failures(folder: BenchmarkFolder, runs: Iterable[PlannedRun]) -> Iterator[tuple[str, str]]:
    for run in runs:
        path = folder.failure(run)
        if path.is_file() and not folder.is_finished(run):
            yield run.title, path.read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class _Scored:
    """The row of a run and scored data set, the scores as stored (None: corrected), and whether the classes are ordinal."""

    row: dict[str, Any]
    scores: Scores | None
    ordinal: bool


def _scored(folder: BenchmarkFolder, planned: PlannedRun) -> Iterator[_Scored]:
    """Yield the scores of one run, on its held-out split, then on each external data set; each as they are and corrected."""
    for each in _as_stored(folder, planned):
        yield each
        if has_corrected_row(planned):
            row = {**each.row, "method": corrected_label(planned), "prior": planned.prior}
            try:
                found = predictions_of(row)
            except UsageError:  # no predictions are left, or nothing to fit the correction to
                continue
            scores = score(found.labels, found.probabilities)
            defined = {name: value for name, value in scores.items() if not math.isnan(each.row[name])}
            yield _Scored({**row, **defined}, None, each.ordinal)


def _as_stored(folder: BenchmarkFolder, planned: PlannedRun) -> Iterator[_Scored]:
    run = Run(folder.run(planned))
    if run.folder.metrics.is_file():
        scores = _held_out(run, planned.scored)
        values = scores.values(lambda: run.predictions.in_split(planned.scored))
        row = _row(planned, planned.data, values, run.folder.predictions, planned.scored, run.path)
        yield _Scored(row, scores, run.ordinal)
    for name in planned.external:
        path = folder.external(planned, name)
        if path.is_file():
            scores, values = _of_external(Evaluation.open(path.parent))
            data = f"{planned.data}{EXTERNAL}{name}"
            row = _row(planned, data, values, path.with_name("predictions.parquet"), None, run.path)
            yield _Scored(row, scores, run.ordinal)


def _of_external(evaluation: Evaluation) -> tuple[Scores, dict[str, float]]:
    scores = evaluation.stored.scores
    return scores, scores.values(lambda: evaluation.scored)


def held_out_scores(run: Run, split: str) -> dict[str, float]:
    """Return the value of every metric on a split of a run, NaN where undefined; missing ones are computed.

    Raises:
        UsageError: The run's metrics.json is damaged.
    """
    return _held_out(run, split).values(lambda: run.predictions.in_split(split))


def _held_out(run: Run, split: str) -> Scores:
    stored = read_scores(run.folder.metrics)
    if split not in stored:
        raise UsageError(f"The file {str(run.folder.metrics)!r} is damaged: it lacks '{split}'. Train the run again.")
    return stored[split]


def _row(
    run: PlannedRun,
    data: str,
    scores: Mapping[str, float],
    predictions: Path,
    scored: str | None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Return a row of `Results.scores`; `scored` is the split that the run in `folder` held out, None for other data."""
    return {
        "data": data,
        "backbone": run.backbone,
        "method": run.method,
        "fold": run.fold,
        "seed": run.seed,
        "test_share": None if scored is None else run.test_share,
        "scored": scored,
        "predictions": str(predictions),
        "prior": None,
        "run": None if folder is None else str(folder),
        **scores,
    }


def predictions_of(row: Mapping[str, Any] | pd.Series) -> Predictions:
    """Return the predictions behind a row of `Results.scores`."""
    predictions = Predictions.read(Path(row["predictions"]))
    if not pd.isna(row["scored"]):
        predictions = predictions.in_split(row["scored"])
    prior = row.get("prior")
    return corrected(predictions, Path(row["run"]), prior) if isinstance(prior, str | Mapping) else predictions
