"""The formats of a run's files: each has a number; newer ones are refused with advice, older ones are migrated when read.

A file without a number has format 1. Files on disk are not rewritten.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from balanced_mixup.errors import UsageError
from balanced_mixup.files import read_json, write_json

Content = dict[str, Any]


class NewerFormatError(UsageError):
    """A file was written by a newer version of this program."""


@dataclass(frozen=True)
class Format:
    """The format of a kind of file.

    newest: The current number. migrations: By older number, a function from content of that format to the next one.
    """

    newest: int = 1
    migrations: Mapping[int, Callable[[Content], Content]] = field(default_factory=dict)


METRICS_FILE = Format()
CALIBRATION_FILE = Format()
MODEL_FILE = Format(2, {1: lambda content: {**content, "head": {"name": "softmax"}}})
ENVIRONMENT_FILE = Format()
COST_FILE = Format()
EVALUATION_FILE = Format()
PREDICTIONS_FILE = Format()


def write_file(path: Path, content: Content, form: Format) -> None:
    """Write JSON with the number of its format. RunError where it cannot be written."""
    write_json(path, {"format": form.newest, **content})


def read_file(path: Path, form: Format, remedy: str = "Make it again.") -> Content:
    """Read a file that this or an older version wrote, and return its content in the newest format.

    Raises:
        UsageError: The file is missing, damaged, or of a newer version of this program.
    """
    content = read_json(path, remedy)
    number = content.get("format", 1)
    refuse_newer(path, number, form)
    while number < form.newest:
        content, number = form.migrations[number](content), number + 1
    return {**content, "format": form.newest}


def refuse_newer(path: Path, number: Any, form: Format) -> None:
    """Raise NewerFormatError for a file of a newer version of this program, UsageError where its format is not a number."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UsageError(f"The file {str(path)!r} is damaged: expected `format` to be a number from 1, but got {number!r}.")
    if number > form.newest:
        writer = _writer(path)
        raise NewerFormatError(
            f"The file {str(path)!r} was written by {'a newer version' if writer is None else f'version {writer}'} of "
            f"balanced-mixup (format {number}); this is version {version('balanced-mixup')}, which reads formats up to "
            f"{form.newest}. Upgrade it with `pip install --upgrade balanced-mixup`."
        )


def _writer(path: Path) -> str | None:
    """Return the version of the program that wrote a file, from itself or environment.json next to it; None if unknown."""
    for file, keys in ((path, ("version",)), (path.with_name("environment.json"), ("versions", "balanced-mixup"))):
        try:
            content: Any = read_json(file)
            for key in keys:
                content = content[key]
            return str(content)
        except (UsageError, KeyError, TypeError):
            continue
    return None
