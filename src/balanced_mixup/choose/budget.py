"""A budget of time that survives an interruption."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from balanced_mixup.errors import UsageError, shown
from balanced_mixup.files import write_text

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_budget(text: str) -> float:
    """Return the seconds of a duration such as "20m", "1h30m" or "90s".

    Raises:
        UsageError: It is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smh])", text)
    if "".join(number + unit for number, unit in parts) != re.sub(r"\s", "", text) or not parts:
        raise UsageError(f"Expected `budget` to be a duration such as 20m, 1h30m or 90s, but got {shown(text)}.")
    if not (seconds := sum(float(number) * _SECONDS[unit] for number, unit in parts)) > 0:
        raise UsageError(f"Expected `budget` to be above 0, but got {shown(text)}.")
    return seconds


_TICK = 5.0  # seconds between two records, so that a kill loses no more


def spent_before(file: Path) -> float:
    """Return the seconds that earlier attempts have recorded in a file; 0 where there is none."""
    with suppress(OSError, ValueError):
        return float(file.read_text(encoding="utf-8"))
    return 0.0


class Budget:
    """Counts the seconds that have been spent, those of earlier attempts included."""

    def __init__(self, seconds: float, spent: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: seconds: In all. spent: By earlier attempts. clock: What time it is."""
        self.seconds, self._before, self._clock = seconds, spent, clock
        self._start = clock()

    @property
    def spent(self) -> float:
        """Seconds until now."""
        return self._before + self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds from now on; negative once it is used up."""
        return self.seconds - self.spent

    @contextmanager
    def recorded(self, file: Path) -> Iterator[None]:
        """Record the seconds in a file every few seconds while the block runs, for `spent_before`."""
        stop = threading.Event()

        def record() -> None:
            while not stop.wait(_TICK):
                write_text(file, f"{self.spent:.1f}\n")

        ticking = threading.Thread(target=record, daemon=True)
        ticking.start()
        try:
            yield
        finally:
            stop.set()
            ticking.join()
            write_text(file, f"{self.spent:.1f}\n")

    def deadline(self, reserve: float) -> float:
        """Return when, by the clock, no more than `reserve` seconds are left."""
        return self._clock() + self.left - reserve
