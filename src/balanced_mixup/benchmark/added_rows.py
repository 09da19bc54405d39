"""Rows of a benchmark that another program made: its predictions for every fold, scored on exactly the images of the runs.

They are imported into the folder of the benchmark, predictions/NAME-DATA/ with an evaluation for each fold and row.json, so
that tables and reports read folders alone.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun, short_hash
from balanced_mixup.benchmark.plan import slug
from balanced_mixup.data.frames import frames_as_files
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import DataError, RunError, UsageError, nearest
from balanced_mixup.evaluation.other_predictions import Labelled, assess, match_table, read_predictions
from balanced_mixup.evaluation.prediction_table import PredictionTable
from balanced_mixup.evaluation.table_format import TableFormat, make_format
from balanced_mixup.files import read_json, write_json
from balanced_mixup.runs.evaluation import EvaluationResult
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.training.recipe import make_settings

if TYPE_CHECKING:
    import pandas as pd

FOLDER, FILE = "predictions", "row.json"


@dataclass(frozen=True)
class AddedRow:
    """The predictions of another program for a data set of a benchmark.

    Args:
        name: The label in tables, beside those of the methods.
        data: Name of the data set in the plan.
        folds: Fingerprint of the data and their division, by the name of each fold.
    """

    name: str
    data: str
    folds: Mapping[str, str]


def add_predictions(
    benchmark: Path | str,
    predictions: "Path | str | pd.DataFrame",
    name: str | None = None,
    *,
    data: str = "",
    overwrite: bool = False,
    label_map: Mapping[str, str] | None = None,
    **form: Any,
) -> AddedRow:
    """Add the predictions of another program to a benchmark, as a row of its tables and report.

        add_predictions("runs/plan", "theirs.csv", "theirs")

    Each fold needs predictions of all its images; the runs of the benchmark say which these are. Where an image is in several
    folds, as in repeats, a column names the fold of each row, or there is a file for each.

    Args:
        benchmark: Folder of the benchmark; every fold has a finished run.
        predictions: A table, or a folder with a table for each fold: r0f0.csv, r0f1.csv ...
        name: The label of the row; the name of the file if not given.
        data: Name of the data set in the plan, if there are several.
        overwrite: Replace the row of that name.
        label_map: New names for the classes of the predictions.
        form: Fields of `TableFormat`.

    Raises:
        UsageError: It is no folder of a benchmark, a fold has no finished run, the name is taken, or there is no such data set.
        DataError: Predictions are missing or invalid; lists all of it for the first fold in which there is something.
        RunError: They cannot be written.
    """
    folder = BenchmarkFolder(Path(benchmark))
    with frames_as_files({"predictions": predictions}) as (values, _):
        source = Path(values["predictions"])
        label = name or source.stem
        index = folder.read()
        runs = _runs_of(index.runs, data)
        _check_name(folder, label, [run.method for run in index.runs], runs[0].data, overwrite=overwrite)
        table_format, settings = make_format(form), make_settings({"label_map": dict(label_map or {})})
        target = folder.path / FOLDER / slug(f"{label}-{runs[0].data}-{short_hash((label, runs[0].data))}")
        folds: dict[str, PlannedRun] = {}
        for run in runs:
            if folder.run(run).metrics.is_file():
                folds.setdefault(run.fold, run)
        if lacking := sorted({run.fold for run in runs} - folds.keys()):
            raise UsageError(
                f"Expected a finished run in every fold, but there is none in {', '.join(lacking)}: run the plan first."
            )
        scored = [
            (fold, run, *_scored(folder, run, _file_of(source, fold), table_format, settings, label))
            for fold, run in sorted(folds.items())
        ]
        row = AddedRow(label, runs[0].data, {fold: run.data_fingerprint for fold, run, *_ in scored})
        try:
            shutil.rmtree(target, ignore_errors=True)
            for fold, _, found, result in scored:
                (target / fold).mkdir(parents=True)
                found.write(target / fold / "predictions.parquet")
                result.write(target / fold)
            write_json(target / FILE, asdict(row))
        except OSError as error:
            raise RunError(f"The predictions could not be written to {str(target)!r}: {error}.") from error
    return row


def _runs_of(runs: Sequence[PlannedRun], data: str) -> list[PlannedRun]:
    names = list(dict.fromkeys(run.data for run in runs))
    if (data or len(names) > 1) and data not in names:
        got = f"but got {data!r}.{nearest(data, names)}" if data else "but got none."
        raise UsageError(f"Expected `data` to be one of the data sets of the benchmark ({', '.join(names)}), {got}")
    return [run for run in runs if run.data == (data or names[0])]


def _check_name(folder: BenchmarkFolder, name: str, methods: Sequence[str], data: str, *, overwrite: bool) -> None:
    if name in methods:
        raise UsageError(f"Expected a `name` that no method of the benchmark has, but got {name!r}: choose another --name.")
    if not overwrite and any((row.name, row.data) == (name, data) for row, _ in added_rows(folder)):
        raise UsageError(
            f"The benchmark has a row {name!r} for {data} already. Choose another --name, or replace it with --overwrite."
        )


def _file_of(source: Path, fold: str) -> Path:
    """Return the table for a fold: the only one, or that of its name in a folder."""
    if not source.is_dir():
        return source
    found = [path for path in sorted(source.iterdir()) if path.name.partition(".")[0] == fold]
    if len(found) != 1:
        fault = "none" if not found else f"{len(found)}"
        raise UsageError(f"Expected one table for the fold {fold} in {str(source)!r}, such as {fold}.csv, but found {fault}.")
    return found[0]


def _scored(
    folder: BenchmarkFolder, run: PlannedRun, file: Path, form: TableFormat, settings: DataSettings, name: str
) -> tuple[Predictions, EvaluationResult]:
    """Return the predictions for a fold and their result."""
    opened = Run(folder.run(run))
    labelled = Labelled.of_run(opened, run.scored).only_scored()
    settings = settings.model_copy(update={"classes": labelled.classes})
    table = _of_fold(read_predictions(file, labelled, form, settings), run.fold)
    try:
        found, _ = match_table(labelled, table, settings, may_have_others=True)  # those of the other folds
    except DataError as error:
        problems = [replace(problem, message=f"{run.fold}: {problem.message}") for problem in error.problems]
        raise DataError(problems) from None
    result = assess(found, file, form, name, ordinal=labelled.ordinal)
    return found, replace(result, run=str(opened.path.resolve()), split=run.scored)


def _of_fold(table: PredictionTable, fold: str) -> PredictionTable:
    """Return the rows of a fold, all if there is no column with the fold. A number is a fold of the first repeat."""
    if table.folds is None:
        return table
    names = {fold} | ({fold.removeprefix("r0f")} if fold.startswith("r0f") else set())
    rows = [row for row, cell in enumerate(table.folds) if cell.removesuffix(".0") in names]
    if not rows:
        known = ", ".join(list(dict.fromkeys(table.folds))[:12])
        raise UsageError(f"Expected predictions for the fold {fold}, but the column with the fold has only: {known}.")
    return table.take(rows)


def added_rows(folder: BenchmarkFolder) -> Iterator[tuple[AddedRow, Path]]:
    """Yield the rows that were added to a benchmark, each with its folder; a damaged one is left out."""
    for file in sorted((folder.path / FOLDER).glob(f"*/{FILE}")):
        with suppress(UsageError, TypeError):
            yield AddedRow(**read_json(file)), file.parent
