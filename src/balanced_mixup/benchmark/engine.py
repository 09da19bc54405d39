"""Makes the runs of a benchmark, several at a time, each in a process of its own.

Whatever happens to one run leaves the others alone: its reason is written beside its folder. A run is held by a lock, so that
several machines with a common folder can share a benchmark, and one that was killed and started again does not train what
still runs. The processes are forked from one that has imported everything and computed nothing, where the system can do that.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from balanced_mixup.benchmark.estimate import estimate_seconds
from balanced_mixup.benchmark.plan import Plan
from balanced_mixup.benchmark.runs import BenchmarkFolder, PlannedRun, expand
from balanced_mixup.errors import BalancedMixupError, RunError, UsageError, human_time
from balanced_mixup.evaluation.evaluate import evaluate
from balanced_mixup.evaluation.experiment import train
from balanced_mixup.files import read_json, write_text
from balanced_mixup.progress import progress_bar
from balanced_mixup.training.backbones import create
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.run_folder import RunFolder

log = logging.getLogger("balanced_mixup")

_BUSY, _FAILED = 3, 4  # exit statuses of a run's process
_LOOK_AGAIN_SECONDS = 5.0  # for runs that others hold


@dataclass(frozen=True)
class Outcome:
    """What came of a benchmark: how many runs it has and how many are finished, and those that failed, each with its reason."""

    planned: int
    finished: int
    failed: Sequence[tuple[PlannedRun, str]]


def run_benchmark(
    plan: Plan, out: Path, placement: Mapping[str, Any] | None = None, jobs: int = 1, *, dry_run: bool = False
) -> Outcome:
    """Make the runs of a plan that are not finished, and say before how long it will take.

    A script that calls this needs `if __name__ == "__main__":`, as everything does that starts processes.

    Args:
        plan: What to compare.
        out: Folder of the benchmark, a new one or that of an earlier try.
        placement: Fields of `Placement` for every run, if others than their defaults.
        jobs: Runs at a time; they share the cores, and several GPUs are dealt out.
        dry_run: Look at the data, make the folds, and train nothing.

    Raises:
        UsageError: The plan cannot be made with these data, `jobs` is below 1, or a run is to have several devices.
        DataError: Something is wrong with the data.
        RunError: The weights of a backbone cannot be had.
    """
    folder, placement = BenchmarkFolder(out), dict(placement or {})
    if jobs < 1:
        raise UsageError(f"Expected `jobs` to be at least 1, but got {jobs}.")
    if make_recipe(plan.settings, placement).processes > 1:
        raise UsageError("Expected one device for each run of a benchmark; `--jobs` makes several runs at a time.")
    runs = expand(plan, out, placement)
    finished: list[PlannedRun] = []
    pending: list[PlannedRun] = []
    for run in runs:
        (finished if folder.is_finished(run) else pending).append(run)
    if pending:
        seconds = estimate_seconds(folder, finished, pending, placement, jobs)
        log.info("%d runs, %d of them to be made: about %s.", len(runs), len(pending), human_time(seconds))
    if dry_run:
        return Outcome(len(runs), len(finished), ())
    recipes = [make_recipe(run.settings) for run in pending]
    for backbone, size, weights in sorted({(recipe.backbone, recipe.size, recipe.weights) for recipe in recipes}):
        create(backbone, 2, size, weights, 0)  # what cannot be had is found out once, and fetched once, not by every run
    failed = _make_all(folder, pending, placement, jobs)
    return Outcome(len(runs), sum(folder.is_finished(run) for run in runs), failed)


def _make_all(
    folder: BenchmarkFolder, runs: Sequence[PlannedRun], placement: Mapping[str, Any], jobs: int
) -> list[tuple[PlannedRun, str]]:
    """Make runs, and return those that failed with their reasons."""
    (folder.path / "runs").mkdir(exist_ok=True)
    pending = deque(runs)
    held: deque[tuple[float, PlannedRun]] = deque()  # by another benchmark, each with the time to look again
    failed: list[tuple[PlannedRun, str]] = []
    active: dict[int, tuple[BaseProcess, PlannedRun]] = {}
    count, done, start = len(pending), 0, time.monotonic()
    try:
        with progress_bar("Runs", count) as advance:
            while pending or held or active:
                if held and held[0][0] <= time.monotonic():
                    pending.append(held.popleft()[1])
                for slot in sorted(set(range(jobs)) - set(active)):
                    if pending:
                        run = pending.popleft()
                        active[slot] = _start(folder, run, placement, slot, jobs), run
                if active:
                    wait([process.sentinel for process, _ in active.values()], timeout=1)
                else:
                    time.sleep(0.1)
                for slot, (process, run) in list(active.items()):
                    if process.exitcode is None:
                        continue
                    del active[slot]
                    if process.exitcode == _BUSY:
                        held.append((time.monotonic() + _LOOK_AGAIN_SECONDS, run))
                        continue
                    done += 1
                    advance(1)
                    left = (time.monotonic() - start) / done * (count - done)
                    if folder.is_finished(run):
                        log.info("%d/%d  %s  (%s left)", done, count, run.title, human_time(left))
                    else:
                        failed.append((run, _reason(folder, run, process.exitcode)))
                        log.warning("%d/%d  %s FAILED: %s", done, count, run.title, failed[-1][1].splitlines()[-1])
    finally:
        for process, _ in active.values():
            process.kill()  # a run can be killed at any moment
    return failed


def _start(folder: BenchmarkFolder, run: PlannedRun, placement: Mapping[str, Any], slot: int, jobs: int) -> BaseProcess:
    forking = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forking else "spawn")
    if forking:
        context.set_forkserver_preload([__name__])
    process: BaseProcess = context.Process(target=_make, args=(folder, run, placement, slot, jobs))
    process.start()
    return process


def _make(folder: BenchmarkFolder, run: PlannedRun, placement: Mapping[str, Any], slot: int, jobs: int) -> None:
    """Make one run, in a process of its own; exits with `_BUSY`, `_FAILED` or 0."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted as well, and ends this process
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    _take_gpu(slot)
    log.handlers.clear()  # what is logged stands in the run's own log
    lock = FileLock(folder.lock(run))
    failure = folder.failure(run)
    try:
        lock.acquire(timeout=0)
        train(run.settings, placement, out=folder.run(run).path, resume=True)
        _check_data(folder.run(run), run)
        for name, settings in run.external.items():
            evaluate(folder.run(run).path, out=folder.external(run, name).parent, **settings)
        failure.unlink(missing_ok=True)
    except Timeout:
        sys.exit(_BUSY)
    except BalancedMixupError as error:
        write_text(failure, f"{error}\n")
        sys.exit(_FAILED)
    except Exception:
        write_text(failure, traceback.format_exc())
        sys.exit(_FAILED)


def _check_data(made: RunFolder, run: PlannedRun) -> None:
    """Raise RunError where a run was made with other data than planned, and do not let it count as finished."""
    if read_json(made.environment)["data_fingerprint"] != run.data_mark:
        made.metrics.unlink()
        raise RunError("The data changed after the benchmark was started. Start it again, with the data as they should be.")


def _take_gpu(slot: int) -> None:
    """Let this process see one GPU alone, where there are several; has to come before CUDA is first used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _reason(folder: BenchmarkFolder, run: PlannedRun, status: int) -> str:
    """Return why a run failed, and keep it where the run itself could not."""
    path = folder.failure(run)
    if status != _FAILED:
        signalled = f"by signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"with exit status {status}"
        remedy = " Perhaps the memory was too small: try fewer `--jobs`." if status == -signal.SIGKILL else ""
        write_text(path, f"The process ended {signalled}.{remedy}\n")
    return path.read_text(encoding="utf-8").strip()
