"""Worker processes, which end with the process that started them, whatever ends that.

They are started anew, not forked: the process may have threads. A worker imports the module of the function that it runs, so
that the imports of such a module should be few.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from balanced_mixup.errors import RunError

Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_POLL_SECONDS = 0.5


def end_with(parent: int, *, watching: bool = True) -> None:
    """End this process as soon as its parent, whose id is given, has ended, if only by SIGKILL.

    Linux sends a signal, which needs no time of a busy processor; it comes when the thread ends that started this process.
    Elsewhere a thread asks for the parent again and again, unless not `watching`: what is to be forked has no threads.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)
    if watching:
        threading.Thread(target=_wait_for_end, args=(parent,), daemon=True).start()


def _wait_for_end(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def map_in_processes(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], processes: int
) -> Generator[Result, None, None]:
    """Yield `function(*task)` for each task, in their order; in this process if one is enough.

    The workers have ended when the iteration ends: after the last result, by an error, or when the iterator is closed.

    Raises:
        RunError: A worker was killed.
    """
    if processes == 1:
        yield from (function(*task) for task in tasks)
        return
    # Its import takes time, in which the process that forks the runs of a benchmark could outlive that: it imports `end_with`.
    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(processes, initializer=end_with, initargs=(os.getpid(),))
    try:
        futures = deque(executor.submit(function, *task) for task in tasks)
        while futures:
            yield futures.popleft().result()
    except BrokenProcessPool as error:
        raise RunError(
            "A worker process ended before its work was done. If the system ran out of memory, free some, or shrink the "
            "largest images."
        ) from error
    finally:
        executor.shutdown(wait=True, kill_workers=True)
