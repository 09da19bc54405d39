"""The number of CPU threads of a training.

Sums of floating-point numbers depend on how many threads share them, so that weights of other bits come out. The number is
therefore part of what a run records, and is set again when it is resumed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from balanced_mixup.training.recipe import Execution

_VARIABLE = "OMP_NUM_THREADS"


def threads_of(recipe: Execution) -> int:
    """Return the number of threads of each process: as the recipe says, or as many as there are, shared by the processes."""
    if recipe.threads is not None:
        return recipe.threads
    processes = 1 if _VARIABLE in os.environ else recipe.devices
    return max(1, torch.get_num_threads() // processes)


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with so many threads while the block runs, in processes that it starts, too."""
    before, variable = torch.get_num_threads(), os.environ.get(_VARIABLE)
    torch.set_num_threads(threads)
    os.environ[_VARIABLE] = str(threads)  # Lightning sets a number of its own where it is not there
    try:
        yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop(_VARIABLE)
        if variable is not None:
            os.environ[_VARIABLE] = variable
