"""The lock of a folder that is being written, so that two processes cannot mix their files in it.

The kernel releases it when its holder ends, however that ends; `.lock` in the folder says who holds it, and is removed with the
lock. A process can lock a folder again that it has locked (a run of a benchmark).
"""

import errno
import logging
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from balanced_mixup.errors import RunError, UsageError, printable

log = logging.getLogger("balanced_mixup")

_NAME = ".lock"
_LONGEST = 300  # of the command, in a message
_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


class FolderInUseError(UsageError):
    """Another process is writing to the folder."""


@contextmanager
def locked(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Lock a folder while the block runs; it is made if it does not exist, and removed again where it is left empty.

    Args:
        folder: What only one process at a time may write to.
        wait: Seconds to wait for another process.

    Raises:
        FolderInUseError: Another process holds the lock; the message says which.
        RunError: The folder cannot be written to.

    Where the file system has no locks, a warning says so and the block runs without one.
    """
    path, made = folder / _NAME, [each for each in (folder, *folder.parents) if not each.exists()]
    lock = FileLock(path, is_singleton=True, fallback_to_soft=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        raise FolderInUseError(
            f"The folder {str(folder)!r} is being written by another process{_holder(path)}. Wait for its end, or choose "
            "another folder."
        ) from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise RunError(f"The folder {str(folder)!r} could not be written to: {error}.") from error
        log.warning("The folder %s is on a file system without locks: let no other process write to it meanwhile.", folder)
        yield
        return
    try:
        if lock.lock_counter == 1:
            with suppress(OSError):  # on a full disk the lock holds all the same
                path.write_text(_this_process(), encoding="utf-8")
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # before the release: a process that has opened it meanwhile tries again
                path.unlink()
        lock.release()
        with suppress(OSError):
            for each in made:
                each.rmdir()


def _this_process() -> str:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return f"process {os.getpid()} on {platform.node()}, since {since}: {shlex.join(sys.argv)}"


def _holder(path: Path) -> str:
    """Return who holds the lock, in brackets; "" where that is not known."""
    try:
        with path.open("rb") as file:
            holder = file.read(_LONGEST + 1).decode(errors="replace").strip()
    except OSError:
        return ""
    return f" ({printable(holder[:_LONGEST])}{'...' if len(holder) > _LONGEST else ''})" if holder else ""
