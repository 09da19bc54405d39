"""A bound on the pixels that are decoded at once, so that memory does not grow with the number of threads and processes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from balanced_mixup.errors import DataError

LEFT_TO_PARENT = "left to the parent process"  # kind of the problem of an image above a worker's share


class PixelBudget:
    """Makes threads wait until what all of them decode at once is at most `total` pixels.

    A worker process is one of several (`share_with`). It decodes images up to its share, and leaves larger ones
    to its parent, which decodes them afterwards under the whole budget.
    """

    def __init__(self) -> None:
        """Begin with nothing being decoded."""
        self._processes = 1
        self._reset()
        if hasattr(os, "register_at_fork"):  # the threads that decode are not copied
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._changed, self._decoded_now = threading.Condition(), 0

    def share_with(self, processes: int) -> None:
        """Let this process use 1 / `processes` of every budget from now on."""
        self._processes = processes

    @contextmanager
    def reserve(self, pixels: int, total: int) -> Iterator[None]:
        """Wait until `pixels` are free of `total`; a larger image is decoded alone.

        Raises:
            DataError: It is larger than the share of this process.
        """
        if self._processes > 1 and pixels > total / self._processes:
            message = f"{pixels:,} pixels are above the share of one of {self._processes} processes"
            raise DataError.of(LEFT_TO_PARENT, message, "Decode it in the parent process.")
        with self._changed:
            self._changed.wait_for(lambda: not self._decoded_now or self._decoded_now + pixels <= total)
            self._decoded_now += pixels
        try:
            yield
        finally:
            with self._changed:
                self._decoded_now -= pixels
                self._changed.notify_all()


budget = PixelBudget()
