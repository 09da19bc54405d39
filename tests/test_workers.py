"""Worker processes: what they return, and that none is left."""

import os
import signal
import time
from contextlib import closing

import psutil
import pytest

from balanced_mixup.errors import RunError
from balanced_mixup.workers import map_in_processes


def workers():
    return [process for process in psutil.Process().children() if "LokyProcess" in " ".join(process.cmdline())]


def test_results_come_in_order_from_other_processes():
    tasks = [(number, 2) for number in range(6)]
    found = list(map_in_processes(lambda a, b: (a**b, os.getpid()), tasks, 2))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {process for _, process in found}
    assert workers() == []


def test_one_process_is_this_one():
    assert list(map_in_processes(lambda number: (number, os.getpid()), [(3,)], 1)) == [(3, os.getpid())]


@pytest.mark.parametrize("end", ["error in a worker", "error here", "killed"])
def test_workers_end_with_the_work(end):
    """Those that still have long work are not waited for."""

    def work(number):
        if number == 0 and end == "error in a worker":
            raise ValueError("no")
        if number == 0 and end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if number:
            time.sleep(3600)
        return number

    error = {"killed": RunError, "error here": KeyError}.get(end, ValueError)
    with pytest.raises(error) as raised, closing(map_in_processes(work, [(0,), (1,), (2,)], 2)) as found:
        assert next(found) == 0
        raise KeyError
    assert workers() == []
    if end == "killed":
        assert str(raised.value).startswith("A worker process ended before its work was done. If the system ran out of memory")
