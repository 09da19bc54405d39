"""Executes the runs of a benchmark in parallel, each in its own process.

A run that fails does not affect the others: the reason is written next to its folder. Each run is locked while it is trained,
so that several machines with a shared folder can work on one benchmark, and a restarted one does not train a run twice.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil
import torch

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.estimate import estimate_seconds
from balanced_mixup.benchmark.job import Job
from balanced_mixup.benchmark.plan import Plan, load_plan, make_plan
from balanced_mixup.benchmark.runs import expand
from balanced_mixup.benchmark.variants import recipe_settings
from balanced_mixup.data.settings import SPLIT_VERSION
from balanced_mixup.errors import RunError, UsageError, human_time
from balanced_mixup.files import write_text
from balanced_mixup.progress import progress_bar
from balanced_mixup.training.backbones import create
from balanced_mixup.training.recipe import Recipe, make_recipe
from balanced_mixup.words import counted

log = logging.getLogger("balanced_mixup")

_RUN_BYTES = 2 * 2**30  # enough for the process of a run with a small backbone
_RETRY_SECONDS = 5.0  # for runs that another benchmark is training


@dataclass(frozen=True)
class BenchmarkOutcome:
    """The outcome of a benchmark: the number of planned and of finished runs, and the failed ones, each with its reason."""

    planned: int
    finished: int
    failed: Sequence[tuple[PlannedRun, str]]

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"BenchmarkOutcome({self.finished} of {self.planned} runs finished, {len(self.failed)} failed)"


def benchmark(
    plan: Plan | Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    jobs: int | None = None,
    dry_run: bool = False,
    keep_weights: bool | None = None,
    **placement: Any,
) -> BenchmarkOutcome:
    """Compare methods on the same folds: execute the unfinished runs of a plan. This is `bmixup benchmark`.

        plan = {"data": {"skin": {"data": "labels.csv", "label_column": "dx"}}, "methods": ["instance", "class"], "folds": 5}
        balanced_mixup.benchmark(plan, "runs/plan", jobs=2)
        balanced_mixup.table("runs/plan")

    A script that calls this needs `if __name__ == "__main__":`, as all code does that spawns processes.

    Args:
        plan: A YAML file, its content, or a `Plan`.
        out: Folder of the benchmark; `runs/NAME` for a file NAME.yaml if not given.
        jobs: Number of parallel runs; as many as cores, memory or GPUs allow if not given.
        dry_run: Scan the data and the finished runs, and write nothing.
        keep_weights: Keep the weights of finished runs; as for `run_benchmark`.
        placement: Where the runs compute (`Placement`), such as `accelerator="cpu"`.

    Raises:
        UsageError, DataError, RunError: As for `run_benchmark`.
    """
    if out is None and not isinstance(plan, Path | str):
        raise UsageError("Expected `out`, the folder of the benchmark, with a plan that is not a file.")
    if not isinstance(plan, Plan):
        plan, out = (make_plan(plan), out) if isinstance(plan, Mapping) else (load_plan(Path(plan)), out or _folder_of(plan))
    return run_benchmark(plan, Path(str(out)), placement, jobs, dry_run=dry_run, keep_weights=keep_weights)


def _folder_of(plan: Path | str) -> Path:
    return Path("runs") / Path(plan).stem


def run_benchmark(
    plan: Plan,
    out: Path,
    placement: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    *,
    dry_run: bool = False,
    keep_weights: bool | None = None,
    deadline: float = math.inf,
) -> BenchmarkOutcome:
    """Execute the unfinished runs of a plan, after an estimate of the time that this takes.

    A script that calls this needs `if __name__ == "__main__":`, as all code does that spawns processes.

    Args:
        plan: What to compare.
        out: Folder of the benchmark, a new one or one to resume.
        placement: Fields of `Placement` for every run that differ from their defaults. Each run computes with its `threads`, 1
            if not given, whatever `jobs` is, as results depend on them in the last bits; the folder keeps the number.
        jobs: Number of parallel runs, with several GPUs one on each; as many as cores, memory or GPUs allow if not given.
        dry_run: Scan the data and the finished runs, and write nothing.
        keep_weights: Keep the weights of finished runs, otherwise delete them as soon as no other run starts from them. If not
            given as before in this folder; in a new one they are deleted.
        deadline: When, by `time.monotonic`, no further run is started.

    Raises:
        UsageError: The plan cannot be made with these data, `jobs` is below 1, a run is to have several devices, or runs whose
            weights were deleted are to be scored on other external data.
        DataError: Something is wrong with the data.
        RunError: The weights of a backbone are not available.
    """
    folder, placement = BenchmarkFolder(out), dict(placement or {})
    if jobs is not None and jobs < 1:
        raise UsageError(f"Expected `jobs` to be at least 1, but got {jobs}.")
    plan = _with_split_version(plan, folder)
    settings = make_recipe(recipe_settings(plan.settings), placement)
    if settings.processes > 1:
        raise UsageError("Expected one device for each run of a benchmark; `--jobs` makes several runs at a time.")
    threads = _threads(folder, settings.threads)
    start = time.monotonic()
    expansion = expand(plan, out, placement)
    reading = time.monotonic() - start
    runs = expansion.runs
    finished: list[PlannedRun] = []
    pending: list[PlannedRun] = []
    for run in runs:
        (finished if folder.is_finished(run) else pending).append(run)
    _check_weights(folder, pending)
    keep = folder.keeps_weights if keep_weights is None else keep_weights
    jobs = max(1, min(jobs or _most_jobs(settings, threads), len(pending)))
    if pending:
        seconds = reading + estimate_seconds(folder, finished, pending, placement, jobs, threads)
        what = f"{counted(len(runs), 'run')}, {len(pending)} of them unfinished"
        log.info("%s: about %s in all, from the start of the program to the report.", what, human_time(seconds))
    if dry_run:
        return BenchmarkOutcome(len(runs), len(finished), ())
    recipes = [make_recipe(run.settings) for run in pending]
    for backbone, size, weights in sorted({(recipe.backbone, recipe.size, recipe.weights) for recipe in recipes}):
        create(backbone, 2, size, weights, 0)  # download once and fail early, not in every run
    expansion.write(plan, out, keep_weights=keep, threads=threads)
    if not keep:
        folder.discard_weights(finished, runs)
    failed = _run_all(folder, runs, pending, placement, jobs, threads, deadline, keep_weights=keep)
    return BenchmarkOutcome(len(runs), sum(folder.is_finished(run) for run in runs), failed)


def _with_split_version(plan: Plan, folder: BenchmarkFolder) -> Plan:
    """Return the plan with the version of its splits: if it does not say, that of the folder, so that its folds stay."""
    if "split_version" in plan.settings:
        return plan
    runs = folder.read().runs if folder.index.is_file() else ()
    version = runs[0].settings.get("split_version", 1) if runs else SPLIT_VERSION
    return plan.model_copy(update={"settings": {**plan.settings, "split_version": version}})


def _threads(folder: BenchmarkFolder, wanted: int | None) -> int:
    """Return the number of CPU threads of each run: that of the folder, if it has one.

    Raises:
        UsageError: Another one is wanted.
    """
    kept = folder.read().threads if folder.index.is_file() else None
    if kept is not None and wanted not in (None, kept):
        raise UsageError(
            f"Expected `threads` to be {kept}, with which the runs of the benchmark in {str(folder.path)!r} compute, but got "
            f"{wanted}. Omit `--threads`, or choose another `--out`."
        )
    return kept or wanted or 1


def _most_jobs(recipe: Recipe, threads: int) -> int:
    """Return how many runs this machine can make at a time."""
    if recipe.accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.cuda.device_count()
    memory = psutil.virtual_memory().available
    return max(1, min(torch.get_num_threads() // threads, memory // _RUN_BYTES))


def _check_weights(folder: BenchmarkFolder, pending: Sequence[PlannedRun]) -> None:
    """Raise UsageError where runs are to be scored on external data, but are trained and have no weights any more."""
    lacking = [run for run in pending if folder.run(run).metrics.is_file() and not folder.run(run).weights.is_file()]
    if lacking:
        external = {name for run in lacking for name in run.external if not folder.external(run, name).is_file()}
        raise UsageError(
            f"{counted(len(lacking), 'trained run')} cannot be scored on the external data {', '.join(sorted(external))}: "
            f"their weights were not kept (the first is {str(folder.run(lacking[0]).path)!r}). Delete the folders of these "
            "runs to train them again, or use another `--out`; with `--keep-weights` a benchmark keeps weights."
        )


def _run_all(
    folder: BenchmarkFolder,
    planned: Sequence[PlannedRun],
    runs: Sequence[PlannedRun],
    placement: Mapping[str, Any],
    jobs: int,
    threads: int,
    deadline: float,
    *,
    keep_weights: bool,
) -> list[tuple[PlannedRun, str]]:
    """Execute `runs`, some of the `planned` ones, `jobs` in parallel; returns those that failed with their reasons."""
    (folder.path / "runs").mkdir(exist_ok=True)
    pending = deque(runs)
    locked: deque[tuple[float, PlannedRun]] = deque()  # by another benchmark, each with the time of the next attempt
    active: dict[int, Job] = {}
    failed: list[tuple[PlannedRun, str]] = []
    try:
        with _progress(len(runs)) as log_end:

            def end(run: PlannedRun, reason: str) -> None:
                """Record the end of a run; it is finished where `reason` is empty."""
                _write_reason(folder.failure(run), reason)
                if reason:
                    failed.append((run, reason))
                elif not keep_weights:
                    sharing = (other for other in planned if run.base in (other.identity, other.base) and run.base is not None)
                    folder.discard_weights([run, *sharing], planned)
                log_end(run, reason)

            while active or ((pending or locked) and time.monotonic() < deadline):
                if locked and locked[0][0] <= time.monotonic():
                    pending.append(locked.popleft()[1])
                for slot in sorted(set(range(jobs)) - set(active)) if time.monotonic() < deadline else ():
                    others = [job.run for job in active.values()]
                    chosen = _next(pending, [*others, *(run for _, run in locked)], lambda run: folder.base_of(run, planned))
                    if chosen is not None:
                        run, base = chosen
                        pending.remove(run)
                        try:
                            active[slot] = Job.start(folder, run, placement, slot, threads, base)
                        except RunError as error:
                            end(run, str(error))
                if active:
                    wait([job.process.sentinel for job in active.values()], timeout=1)
                else:
                    time.sleep(0.1)
                for slot, job in list(active.items()):
                    if not job.is_over:
                        continue
                    del active[slot]
                    if job.was_busy:
                        locked.append((time.monotonic() + _RETRY_SECONDS, job.run))
                    else:
                        end(job.run, "" if folder.is_finished(job.run) else job.reason())
    finally:
        for job in active.values():
            job.process.kill()  # a run can be killed at any moment
    return failed


def _next(
    pending: Collection[PlannedRun], active: Sequence[PlannedRun], base_of: Callable[[PlannedRun], Path | None]
) -> tuple[PlannedRun, Path | None] | None:
    """Return the run to start next, and a run that has trained its base; a run whose base is still being trained waits."""
    scheduled = {run.identity for run in (*pending, *active)} | {run.base for run in active}
    for run in pending:
        if run.base is None or (base := base_of(run)) is not None or run.base not in scheduled:
            return run, None if run.base is None else base
    return None


@contextmanager
def _progress(count: int) -> Iterator[Callable[[PlannedRun, str], None]]:
    """Yield a function that logs the end of a run, with the reason where it failed, and the remaining time."""
    done, start = 0, time.monotonic()
    with progress_bar("Runs", count) as advance:

        def log_end(run: PlannedRun, reason: str) -> None:
            nonlocal done
            done += 1
            advance(1)
            if reason:
                log.warning("%d/%d  %s FAILED: %s", done, count, run.title, reason.splitlines()[-1])
            else:
                left = (time.monotonic() - start) / done * (count - done)
                log.info("%d/%d  %s  (%s remaining)", done, count, run.title, human_time(left))

        yield log_end


def _write_reason(path: Path, reason: str) -> None:
    """Write why a run failed, or remove the reason of an earlier attempt."""
    try:
        if reason:
            write_text(path, f"{reason}\n")
        else:
            path.unlink(missing_ok=True)
    except (OSError, RunError) as error:
        log.warning("The reason of a failure could not be written: %s", error)
