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
    """Score a run on data that it has not seen, each score with a 95 % bootstrap interval.

    Without `--data`: the test part that the run held out. With it: any labelled data, with column names of their own; labels
    that are called otherwise are translated with `--label-map.THEIRS OURS`. Column names not given are those of the run.
    Whole groups are resampled where there are groups.

    Calibration tells whether probabilities can be believed: ECE is how far they are from the share that is right, before and
    after the correction that was fitted on the run's validation part (`predict` makes it, too). Scores are of the probabilities
    as the model gave them, or with `--prior` of those corrected to other class shares.

    ```
    bmixup evaluate runs/mine --prior uniform                  # as if all classes were equally frequent
    bmixup evaluate runs/mine --sensitivity.melanoma 0.95      # from what probability on, to find 95 % of the melanomas?
    ```

    Parameters
    ----------
    run
        Folder of a finished run.
    split
        Part of the data to score; their test part if they have one, else all.
    allow_seen
        Score images that the run was trained on, too (such scores are too good).
    flip
        Average over each image and its mirror image, as in the paper.
    out
        Folder for predictions.parquet and metrics.json; one in the run's `evaluations` if not given.
    prior
        Score probabilities that are corrected to other class shares: `train` (as the training part), `uniform` (all alike),
        `estimate` (from the images that are scored), or a CSV file with the columns class and share.
    sensitivity
        Share of the cases of a class to find, as --sensitivity.CLASS 0.95: the threshold for it is chosen on the run's
        validation part, and sensitivity and specificity are counted on the images that are scored.
    report
        With --data or --out: write report.html beside the scores.
    json
        Print one JSON object instead of tables.
    """
    from balanced_mixup.cli import show
    from balanced_mixup.cli.report import report_at_the_end
    from balanced_mixup.evaluation.evaluate import evaluate as score_run
    from balanced_mixup.runs.run_folder import RunFolder

    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    result = score_run(
        run, split=split, allow_seen=allow_seen, flip=flip, out=out, prior=prior, sensitivity=sensitivity, **given
    )
    if json:
        show.print_json(result)
    else:
        part = "all images" if result["split"] == "all" else f"the {result['split']} part"
        corrected = (
            "" if result["prior"] is None else f", probabilities corrected to the class shares `{result['prior']['name']}`"
        )
        title = f"{part} of {result['data'] or 'the data that the run was made with'}{corrected}"
        show.print_scores(result, title, RunFolder(run))
        show.print_calibration(result)
    if report and result["folder"] is not None:
        report_at_the_end(Path(result["folder"]))
