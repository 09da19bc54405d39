"""The log of a run: what was printed, and its scores or the reason why it failed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from balanced_mixup.errors import BalancedMixupError, RunError
from balanced_mixup.runs.run_folder import RunFolder

log = logging.getLogger("balanced_mixup")


class _Handler(logging.FileHandler):
    """A log that a training can do without: what a full disk does not take was on the terminal, too."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do not print a traceback."""


@contextmanager
def log_file(run: RunFolder) -> Iterator[Callable[[str], None]]:
    """Keep what is logged in the run's folder too; yields a function that writes there alone.

    Raises:
        RunError: It cannot be begun.
    """
    try:
        handler = _Handler(run.log, encoding="utf-8")
    except OSError as error:
        raise RunError(f"The file {str(run.log)!r} could not be written: {error}.") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)

    def note(text: str) -> None:
        handler.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, text, (), None))

    try:
        yield note
    except BalancedMixupError as error:
        note(str(error))
        raise
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        with suppress(OSError):
            handler.close()
