"""`bmixup evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.table_format import TableFormat

if TYPE_CHECKING:
    from balanced_mixup.runs.evaluation import EvaluationResult

_OTHERS = Group("Predictions of another program", sort_key=2)


def evaluate(
    run: Path | None = None,
    /,
    *,
    settings: Annotated[DataSettings | None, Parameter(name="*")] = None,
    split: Literal["train", "val", "test", "all"] | None = None,
    allow_seen: Annotated[bool, Parameter(negative="")] = False,
    flip: bool = True,
    out: Path | None = None,
    prior: str | None = None,
    sensitivity: dict[str, float] | None = None,
    subgroup_columns: str | None = None,
    predictions: Annotated[Path | None, Parameter(group=_OTHERS)] = None,
    form: Annotated[TableFormat | None, Parameter(name="*", group=_OTHERS)] = None,
    name: Annotated[str | None, Parameter(group=_OTHERS)] = None,
    overwrite: Annotated[bool, Parameter(negative="", group=_OTHERS)] = False,
    report: bool = True,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a run, or predictions of another program, on labelled images, each score with a 95 % interval.

    Without `--data`: the held-out test split of the run. With it: any labelled data. Column names default to those of the
    run; different class names are mapped with `--label-map.THEIRS OURS`. Where there are groups, whole groups are resampled.

    Calibration: the expected calibration error (ECE) with the p-value of a consistency test, before and after temperature
    scaling fitted on the run's validation split, where it is known to help (`predict` applies it, too). Scores are of the
    uncalibrated probabilities, or with `--prior` of those corrected to another class prior.

    ```
    bmixup evaluate runs/mine --prior uniform                  # as if all classes were equally frequent
    bmixup evaluate runs/mine --sensitivity.melanoma 0.95      # threshold for a sensitivity of 95 % for melanoma
    ```

    **Predictions of another program** are a table with a row per image: its name, and a column for each class or one with the
    predicted class. They are scored against labels without any image, on the test split of a run, or in every fold of a
    benchmark, whose tables then have a row for them. Names are matched as they are, or else by file name; images without a
    prediction and doubtful numbers are refused, all at once. Of a benchmark of several data sets,
    `--data` names one as in its plan.

    ```
    bmixup evaluate --predictions theirs.csv --data labels.csv --label-column dx
    bmixup evaluate runs/mine --predictions theirs.xlsx --prefix prob_ --scores logits
    bmixup evaluate runs/plan --predictions theirs.parquet --data skin --name theirs      # then: bmixup table runs/plan
    ```

    Parameters
    ----------
    run
        Folder of a finished run; with --predictions also of a benchmark, or none.
    split
        Split of the data to score; if not given the test split, or all images if there is none.
    allow_seen
        Also score images that the run was trained on (these scores are optimistic).
    flip
        Average over each image and its mirror image, as in the paper.
    out
        Folder for predictions.parquet and metrics.json; if not given one in `evaluations` of the run, or of `runs`.
    prior
        Score probabilities that are corrected to another class prior: `train` (that of the training split), `uniform`,
        `estimate` (from the scored images), or a CSV file with the columns class and share.
    sensitivity
        Target sensitivity for a class, as --sensitivity.CLASS 0.95: the threshold is chosen on the run's validation split, with
        a lower bound of its sensitivity; sensitivity and specificity are measured on the scored images.
    subgroup_columns
        Columns of the table of the scored data (or of the run's own), as age,sex,site: scores of the images with each value,
        of many numbers between the quartiles, and their differences from all other images.
    predictions
        Table of predictions (.csv, .xlsx, .parquet ...); of a benchmark also a folder with a table for each fold, r0f0.csv ...
    name
        What the predictions are called in reports, and in the tables of a benchmark; the name of the file if not given.
    overwrite
        Replace the row of that name in a benchmark.
    report
        Write report.html beside the scores, where they are stored.
    json
        Print one JSON object instead of tables.
    """
    from balanced_mixup.cli.refuse import refuse_missing

    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    columns = {} if form is None else form.model_dump(exclude_unset=True)
    if predictions is None and run is not None and (given or not (run / "metrics.json").is_file()):
        refuse_missing(run)
    if predictions is not None and run is not None and (run / "benchmark.json").is_file():
        if subgroup_columns is not None:
            raise UsageError("Expected a run, or --predictions of one data set, with --subgroup-columns, but got a benchmark.")
        _add_to_benchmark(run, predictions, columns, name, overwrite, given)
        return
    if "fold_column" in columns:
        raise UsageError("Expected the folder of a benchmark with --fold-column, which names its folds.")
    from balanced_mixup.cli import show
    from balanced_mixup.cli.report import write_final_report
    from balanced_mixup.cli.show_subgroups import print_subgroups
    from balanced_mixup.evaluation.collapse import warnings
    from balanced_mixup.evaluation.evaluate import evaluate as score
    from balanced_mixup.runs.run import Run

    result = score(
        run,
        split=split,
        allow_seen=allow_seen,
        flip=flip,
        out=out,
        prior=prior,
        sensitivity=sensitivity,
        subgroup_columns=[name.strip() for name in (subgroup_columns or "").split(",") if name.strip()],
        predictions=predictions,
        name=name,
        **{**columns, **given},
    )
    ordinal = _is_ordinal(result)
    found = warnings(result.scores, Run.open(result.run) if result.other_program is None else None)
    if json:
        content = show.scores_content(result.to_dict(), result.scores, ordinal=ordinal)
        show.print_json({**content, "folder": None if result.folder is None else str(result.folder), "warnings": found})
        show.log_warnings(found)
    else:
        show.print_scores(result.scores, _title(result), ordinal=ordinal, warnings=found)
        show.print_calibration(result)
        print_subgroups(result)
    if report and result.folder is not None:
        write_final_report(result.folder)


def _title(result: "EvaluationResult") -> str:
    images = "all images" if result.split == "all" else f"the {result.split} split"
    corrected = "" if result.prior is None else f", probabilities corrected to the class prior `{result.prior.name}`"
    by = "" if result.other_program is None else f", predictions {result.other_program.name}"
    return f"{images} of {result.data or 'the data of the run'}{corrected}{by}"


def _is_ordinal(result: "EvaluationResult") -> bool:
    from balanced_mixup.runs.run import Run

    return Run.open(result.run).ordinal if result.other_program is None else result.other_program.ordinal


def _add_to_benchmark(
    benchmark: Path,
    predictions: Path,
    columns: dict[str, Any],
    name: str | None,
    overwrite: bool,
    settings: dict[str, Any],
) -> None:
    from balanced_mixup.benchmark.added_rows import add_predictions
    from balanced_mixup.cli.console import Console

    row = add_predictions(benchmark, predictions, name, overwrite=overwrite, **{**columns, **settings})
    text = f"{row.name} is scored in {len(row.folds)} folds of {row.data}. Table: bmixup table {benchmark}"
    Console().print(text, soft_wrap=True, highlight=False, markup=False)
