"""The log file of a run: all messages, and its scores or the reason why it failed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from balanced_mixup.errors import BalancedMixupError, RunError, printable
from balanced_mixup.runs.run_folder import RunFolder

log = logging.getLogger("balanced_mixup")


class _Handler(logging.FileHandler):
    """A log file whose write errors are ignored: a full disk must not stop a training."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do not print a traceback."""


class _Formatter(logging.Formatter):
    """Writes control characters, which names can have, as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def log_file(run: RunFolder) -> Iterator[Callable[[str], None]]:
    """Also write log messages to the run's folder; yields a function that writes only there.

    Raises:
        RunError: The file cannot be opened.
    """
    try:
        handler = _Handler(run.log, encoding="utf-8")
    except OSError as error:
        raise RunError(f"The file {str(run.log)!r} could not be written: {error}.") from error
    handler.setFormatter(_Formatter("%(asctime)s %(message)s"))
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
