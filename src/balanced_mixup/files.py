"""Files of runs and data: written atomically, and read with clear errors."""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from balanced_mixup.errors import RunError, UsageError

_DAY = 24 * 3600


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary name next to `path`, flush the file to disk, and rename it.

    A symbolic link is kept: its target is replaced. Temporary files of killed processes in the folder are deleted first.

    Raises:
        RunError: The disk is full or broken, or the folder cannot be written to.
    """
    path = Path(os.path.realpath(path))
    temporary = temporary_path(path)
    try:
        _delete_left_over(path.parent)
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # some writers create files that only the owner can read
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"The file {str(path)!r} could not be written: {error}.") from error


def temporary_path(path: Path) -> Path:
    """Return where this process writes what becomes `path`; the name tells the process."""
    return path.with_name(f".{path.name}.{_process_space()}-{os.getpid()}.tmp")


@cache
def _process_space() -> str:
    """Return what all processes have in common among which an id is unique: those of a machine, or of a container on it."""
    space = Path("/proc/self/ns/pid")
    name = f"{platform.node()} {space.readlink() if space.exists() else ''}"
    return hashlib.blake2b(name.encode(), digest_size=4).hexdigest()


@cache  # once for each folder
def _delete_left_over(folder: Path) -> None:
    """Delete the temporary files of processes that have ended, or that run elsewhere and have not written to them for a day."""
    for path in folder.glob(".*.tmp"):
        if match := re.fullmatch(r"\..+\.([0-9a-f]{8})-(\d+)\.tmp", path.name):
            with suppress(OSError):  # renamed at this moment, or another user's
                import psutil  # takes a moment

                ours, process = match[1] == _process_space(), int(match[2])
                if not psutil.pid_exists(process) if ours else time.time() - path.stat().st_mtime > _DAY:
                    path.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def json_text(content: Any) -> str:
    """Return `content` as indented JSON; NaN, which JSON lacks, must have been replaced by None."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Write `content` atomically as JSON (see `json_text`)."""
    write_text(path, json_text(content))


def read_json(path: Path, remedy: str = "Make it again.") -> dict[str, Any]:
    """Return what `write_json` wrote. UsageError with the `remedy` where the file is missing or damaged."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device would not end
            raise OSError("it is not a regular file")
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"The file {str(path)!r} is missing or damaged: {error}. {remedy}") from None
