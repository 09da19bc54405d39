"""Imported first by the process that forks the runs of a benchmark, so that it ends with the benchmark, if only by SIGKILL.

By itself that process would first finish its imports, which take minutes on a busy machine.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from balanced_mixup.workers import end_with

_STARTED_BY = "BMIXUP_BENCHMARK_PROCESS"  # in the environment of the server: the id of the process that starts it


@contextmanager
def started_from_here() -> Iterator[None]:
    """Let a server that is started inside the block end with this process.

    Only of the main thread: to Linux a process ends with the thread that started it, and the server serves later threads, too.
    From another one, the server ends by itself, once its imports are done and all runs have ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    os.environ[_STARTED_BY] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[_STARTED_BY]


if (starter := os.environ.pop(_STARTED_BY, None)) is not None:
    end_with(int(starter), watching=False)
