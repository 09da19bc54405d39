"""The processes of a training: the rank of this one, and the worker processes that it launches.

torchrun and SLURM start all processes. Otherwise the first process on a machine starts the others with its own command,
and Lightning finds them as it finds those of any launcher. Notable decisions:

- Lightning is imported as late as possible: it reads the launcher's variables on import, and fails on bad ones.
- Lightning's own launcher kills the first process when another one fails, and its message and exit status are lost.
- Workers are in a session of their own: Ctrl-C reaches only the first process, which ends them.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.training.recipe import Execution
from balanced_mixup.workers import end_with

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

GRACE_SECONDS = 10.0  # within which the failure of one process ends the others
_VARIABLES = ("WORLD_SIZE", "RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
_FIRST = "BMIXUP_FIRST_PROCESS"  # in the environment of a worker: the id of the process that launched it


class LostProcessError(RunError):
    """Another process of the training ended."""


def check_variables() -> None:
    """Raise UsageError where an environment variable of a launcher is not a number."""
    for variable in _VARIABLES:
        _number(variable, 0)


def process_rank(recipe: Execution) -> int:
    """Return the rank of this process, from 0, as set by its launcher.

    Raises:
        UsageError: The launcher started another number of processes than the recipe has.
    """
    expected, srun = recipe.processes, _started_by_srun()
    started = _number("SLURM_STEP_NUM_TASKS" if srun else "WORLD_SIZE", expected)
    if started != expected:
        raise UsageError(
            f"Expected {expected} process(es) (`devices` {recipe.devices} x `num_nodes` {recipe.num_nodes}), but "
            f"{'srun' if srun else 'the launcher'} started {started}. Set `--devices` and `--num-nodes` accordingly."
        )
    if srun:
        _check_srun(recipe)
        return _number("SLURM_PROCID", 0)
    if expected == 1:
        return 0
    return _number("RANK", _number("NODE_RANK", 0) * recipe.devices + _number("LOCAL_RANK", 0))


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable)
    if value is None:
        return default
    if not value.isdecimal():
        raise UsageError(
            f"Expected the environment variable {variable} to be a number, as the launcher of the processes sets it, but got "
            f"{value!r}. Unset it to train without a launcher."
        )
    return int(value)


def _started_by_srun() -> bool:
    """Return whether this is one of several tasks; a batch script or an interactive shell has no step, or one of one task."""
    return not {"RANK", "WORLD_SIZE"} & os.environ.keys() and _number("SLURM_STEP_NUM_TASKS", 1) > 1


def _check_srun(recipe: Execution) -> None:
    """Raise UsageError where Lightning would not see the tasks as the processes of the recipe."""
    tasks = _number("SLURM_NTASKS_PER_NODE", 0)
    nodes = _number("SLURM_NNODES", recipe.num_nodes)
    if (tasks, nodes) != (recipe.devices, recipe.num_nodes):
        raise UsageError(
            f"Expected srun with `--nodes={recipe.num_nodes} --ntasks-per-node={recipe.devices}`, to match `num_nodes` and "
            f"`devices`, but got SLURM_NNODES={nodes} and SLURM_NTASKS_PER_NODE={tasks or 'not set'}."
        )


def cluster_environment() -> "ClusterEnvironment":
    """Return Lightning's description of how the processes were started."""
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if _started_by_srun():
        # With requeueing, Lightning would write a checkpoint of its own, and later runs would resume from it.
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


@contextmanager
def launch_workers(recipe: Execution) -> Iterator[None]:
    """Start the other processes of this machine, unless a launcher has, and kill them when the block fails.

    When one of them fails, which prints its own error, this process exits with the same status: by the LostProcessError of the
    block or, where the block hangs waiting for it, at once.
    """
    if recipe.devices == 1 or cluster_environment().creates_processes_externally:
        yield
        return
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "LOCAL_RANK": "0"}
    added = {name: value for name, value in places.items() if name not in os.environ}
    os.environ.update(added)
    processes = [_start(number) for number in range(1, recipe.devices)]
    finished = threading.Event()
    failures: queue.SimpleQueue[int] = queue.SimpleQueue()

    def watch(process: subprocess.Popen[bytes]) -> None:
        if status := process.wait():
            failures.put(status)
            if not finished.wait(GRACE_SECONDS):
                os._exit(max(1, status))  # the main thread waits for it in code that cannot be interrupted

    for process in processes:
        threading.Thread(target=watch, args=(process,), daemon=True).start()
    try:
        yield
    except BaseException as error:
        if isinstance(error, LostProcessError):
            with suppress(queue.Empty):
                error.exit_status = max(1, failures.get(timeout=GRACE_SECONDS))
        for process in processes:
            process.kill()
        raise
    finally:
        finished.set()
        for name in added:
            os.environ.pop(name, None)


def _start(number: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LOCAL_RANK": str(number), _FIRST: str(os.getpid())}
    return subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env=environment, start_new_session=True)


def exit_with_parent() -> None:
    """If this process is a worker, exit when the first process has ended."""
    if (first := os.environ.get(_FIRST)) is not None:
        end_with(int(first))
