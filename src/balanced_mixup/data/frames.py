"""Data frames of pandas as data: written to a table first, so that there is one way to read data and a run can name them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeGuard

from balanced_mixup.files import write_text

if TYPE_CHECKING:
    import pandas as pd

FILE = "data.csv"  # in the folder of a run or an evaluation


def is_frame(value: object) -> TypeGuard[pd.DataFrame]:
    """Return whether a value is a data frame."""
    return "pandas" in sys.modules and isinstance(value, sys.modules["pandas"].DataFrame)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a data frame as CSV, with its index if that has a name.

    Raises:
        RunError: It cannot be written.
    """
    write_text(path, _text(frame))


def is_written(frame: pd.DataFrame, path: Path) -> bool:
    """Return whether a file is what `write_frame` makes of a data frame."""
    return path.is_file() and path.read_text(encoding="utf-8") == _text(frame)


def _text(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=frame.index.name is not None, lineterminator="\n")


def settings_of_frame(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return settings whose `data` is a frame as they are for the file it is written to: relative paths start where we are."""
    return {"images": Path.cwd(), **settings, "data": str(path)}


@contextmanager
def frames_as_files(given: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], list[Path]]]:
    """Write the data frames among named values to files that last as long as the block.

    Yields:
        The values, with the path of its file in place of each frame; and the files, each named by its key.
    """
    with TemporaryDirectory(prefix="balanced-mixup-") as folder:
        values, files = dict(given), []
        for name, value in given.items():
            if is_frame(value):
                file = Path(folder).resolve() / f"{name}.csv"
                write_frame(value, file)
                values[name] = str(file)
                files.append(file)
        if is_frame(given.get("data")):
            values = settings_of_frame(values, Path(values["data"]))
        yield values, files
