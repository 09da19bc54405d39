"""The check of a data set before training. This is `bmixup check`."""

from typing import Any

from balanced_mixup.data.frames import frames_as_files
from balanced_mixup.data.inspection import Inspection, inspect
from balanced_mixup.data.sources import load
from balanced_mixup.errors import UsageError
from balanced_mixup.training.recipe import make_settings


def check(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0, **settings: Any) -> Inspection:
    """Open every image of a data set and find all problems at once; bad data raise no error.

        inspection = check(data="labels.csv", images="photos", label_column="dx", group_column="patient")
        inspection.fatal, inspection.warnings, inspection.planned.counts("train")

    Args:
        val_fraction, test_fraction, seed: Of the split that a training would make, where the data have none.
        settings: Fields of `DataSettings`; `data` may be a data frame, whose relative paths start from the working directory.

    Raises:
        UsageError: A setting is wrong.
        DataError: The table cannot be read at all.
    """
    with frames_as_files(settings) as (values, _):
        chosen = make_settings(values)
        if chosen.exclude_bad:
            raise UsageError(
                "Expected no `--exclude-bad` with `check`, which lists every problem; use it with `train` and `evaluate`."
            )
        return inspect(load(chosen), val_fraction, test_fraction, seed=seed, near_copies=chosen.near_copies)
