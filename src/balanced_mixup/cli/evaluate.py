"""`bmixup evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from balanced_mixup.data.settings import DataSettings


def evaluate(
    run: Annotated[Path, Parameter()],
    /,
    *,
    settings: Annotated[DataSettings | None, Parameter(name="*")] = None,
    split: Literal["train", "val", "test", "all"] | None = None,
    allow_seen: Annotated[bool, Parameter(negative="")] = False,
    flip: bool = True,
    out: Path | None = None,
    prior: str | None = None,
    sensitivity: dict[str, float] | None = None,
    report: bool = True,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a run on unseen data, each score with a 95 % bootstrap interval.

    Without `--data`: the held-out test split of the run. With it: any labelled data. Column names default to those of the
    run; different class names are mapped with `--label-map.THEIRS OURS`. Where there are groups, whole groups are resampled.

    Calibration: the expected calibration error (ECE), before and after temperature scaling fitted on the run's validation split
    (which `predict` applies, too). Scores are of the uncalibrated probabilities, or with `--prior` of those corrected to
    another class prior.

    ```
    bmixup evaluate runs/mine --prior uniform                  # as if all classes were equally frequent
    bmixup evaluate runs/mine --sensitivity.melanoma 0.95      # threshold with 95 % sensitivity for melanoma
    ```

    Parameters
    ----------
    run
        Folder of a finished run.
    split
        Split of the data to score; if not given the test split, or all images if there is none.
    allow_seen
        Also score images that the run was trained on (these scores are optimistic).
    flip
        Average over each image and its mirror image, as in the paper.
    out
        Folder for predictions.parquet and metrics.json; one in the run's `evaluations` if not given.
    prior
        Score probabilities that are corrected to another class prior: `train` (that of the training split), `uniform`,
        `estimate` (from the scored images), or a CSV file with the columns class and share.
    sensitivity
        Target sensitivity for a class, as --sensitivity.CLASS 0.95: the threshold is chosen on the run's validation split; its
        sensitivity and specificity are measured on the scored images.
    report
        With --data or --out: write report.html beside the scores.
    json
        Print one JSON object instead of tables.
    """
    from balanced_mixup.cli.refuse import refuse_missing

    refuse_missing(run)
    from balanced_mixup.cli import show
    from balanced_mixup.cli.report import write_final_report
    from balanced_mixup.evaluation.evaluate import evaluate as score_run
    from balanced_mixup.runs.run import Run

    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    result = score_run(
        run, split=split, allow_seen=allow_seen, flip=flip, out=out, prior=prior, sensitivity=sensitivity, **given
    )
    if json:
        show.print_json({**result.to_dict(), "folder": None if result.folder is None else str(result.folder)})
    else:
        images = "all images" if result.split == "all" else f"the {result.split} split"
        corrected = "" if result.prior is None else f", probabilities corrected to the class prior `{result.prior.name}`"
        title = f"{images} of {result.data or 'the data of the run'}{corrected}"
        show.print_scores(result.scores, title, ordinal=Run.open(run).ordinal)
        show.print_calibration(result)
    if report and result.folder is not None:
        write_final_report(result.folder)
