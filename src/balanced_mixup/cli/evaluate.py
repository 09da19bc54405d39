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
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a run on data that it has not seen, each score with a 95 % bootstrap interval.

    Without `--data`: the test part that the run held out. With it: any labelled data, with column names of their own; labels
    that are called otherwise are translated with `--label-map.THEIRS OURS`. Column names not given are those of the run.
    Whole groups are resampled where there are groups.

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
    json
        Print one JSON object instead of tables.
    """
    from balanced_mixup.cli import show
    from balanced_mixup.evaluation.evaluate import evaluate as score_run

    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    result = score_run(run, split=split, allow_seen=allow_seen, flip=flip, out=out, **given)
    if json:
        show.print_json(result)
    else:
        part = "all images" if result["split"] == "all" else f"the {result['split']} part"
        show.print_scores(result, f"{part} of {result['data'] or 'the data that the run was made with'}")
