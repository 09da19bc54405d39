"""The formats of a run's files: each has a number; newer ones are refused with advice, older ones are migrated when read.

A file without a number has format 1. Files on disk are not rewritten.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from balanced_mixup.errors import UsageError, shown
from balanced_mixup.files import json_text, read_json, write_text
from balanced_mixup.settings_file import load_yaml
from balanced_mixup.training import recipe
from balanced_mixup.training.recipe import Recipe, make_recipe

Content = dict[str, Any]


_UPGRADE = "Upgrade it with `pip install --upgrade balanced-mixup`."


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
CALIBRATION_FILE = Format(2, {1: dict})  # format 1 kept every temperature, and says nothing of reasons
MODEL_FILE = Format(2, {1: lambda content: {**content, "head": {"name": "softmax"}}})
ENVIRONMENT_FILE = Format()
COST_FILE = Format()
EVALUATION_FILE = Format()
PREDICTIONS_FILE = Format()
DIGESTS_FILE = Format()
RECIPE_FILE = Format(recipe.FORMAT, {1: recipe.current_settings, 2: recipe.current_settings})


def file_text(content: Content, form: Format) -> str:
    """Return JSON with the number of its format."""
    return json_text({"format": form.newest, **content})


def write_file(path: Path, content: Content, form: Format) -> None:
    """Write JSON with the number of its format. RunError where it cannot be written."""
    write_text(path, file_text(content, form))


def read_file(path: Path, form: Format, remedy: str = "Make it again.") -> Content:
    """Read a file that this or an older version wrote, and return its content in the newest format.

    Raises:
        UsageError: The file is missing, damaged, or of a newer version of this program.
    """
    content = read_json(path, remedy)
    number = content.get("format", 1)
    refuse_newer(path, number, form)
    try:
        while number < form.newest:
            content, number = form.migrations[number](content), number + 1
    except UsageError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(path, error, remedy) from None
    return {**content, "format": form.newest}


def read_recipe(path: Path) -> Recipe:
    """Read the recipe.yaml of a run.

    Raises:
        UsageError: It is missing, empty, damaged, or of a newer version of this program.
    """
    content = load_yaml(path)
    if not content:
        raise UsageError(f"The file {str(path)!r} is damaged: it is empty.")
    refuse_newer(path, content.get("format", 1), RECIPE_FILE)
    try:
        return make_recipe(content)
    except UsageError as error:
        raise _of_newer_version(path, str(error)) or error from None


def damaged(path: Path, reason: object, remedy: str = "") -> UsageError:
    """Return the error for a file whose content is not what it should be, or is that of a newer version.

    reason: A phrase or an exception; KeyError and ValidationError are put into words.
    """
    match reason:
        case ValidationError():
            problem = reason.errors()[0]
            where, value = ".".join(map(str, problem["loc"])), shown(problem["input"])
            text = f"{problem['msg'].lower().removesuffix('.')} in `{where:.200}`, but got {value}"
        case KeyError():
            text = f"it lacks {reason}"
        case _:
            text = str(reason)
    state = "missing or damaged" if isinstance(reason, OSError) else "damaged"
    return _of_newer_version(path, text) or UsageError(f"The file {str(path)!r} is {state}: {text}. {remedy}".rstrip())


def _of_newer_version(path: Path, reason: str) -> NewerFormatError | None:
    """Return the error for a file that a newer version wrote and this one cannot read; None where it was no newer one."""
    writer, reader = _writer(path), version("balanced-mixup")
    if writer is None or _order(writer) <= _order(reader):
        return None
    return NewerFormatError(
        f"The file {str(path)!r} was written by version {writer} of balanced-mixup; this is version {reader}, which cannot "
        f"read it ({reason}). {_UPGRADE}"
    )


def _order(number: str) -> tuple[int, ...]:
    """Return a version as numbers to compare: 0.10.1 is newer than 0.9."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", number)[:3])


def refuse_newer(path: Path, number: Any, form: Format) -> None:
    """Raise NewerFormatError for a file of a newer version of this program, UsageError where its format is not a number."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UsageError(
            f"The file {str(path)!r} is damaged: expected `format` to be a number from 1, but got {shown(number)}."
        )
    if number > form.newest:
        writer = _writer(path)
        raise NewerFormatError(
            f"The file {str(path)!r} was written by {'a newer version' if writer is None else f'version {writer}'} of "
            f"balanced-mixup (format {number}); this is version {version('balanced-mixup')}, which reads formats up to "
            f"{form.newest}. {_UPGRADE}"
        )


def _writer(path: Path) -> str | None:
    """Return the version of the program that wrote a file, from itself or environment.json next to it; None if unknown."""
    for file, keys in ((path, ("version",)), (path.with_name("environment.json"), ("versions", "balanced-mixup"))):
        try:
            content: Any = read_json(file)
            for key in keys:
                content = content[key]
            return f"{content!s:.40}"
        except (UsageError, KeyError, TypeError):
            continue
    return None
