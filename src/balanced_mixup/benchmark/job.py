"""One run of a benchmark in a process of its own, which ends with the process that started it.

Where the system supports it, processes are forked from one that has imported everything and computed nothing.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from balanced_mixup.benchmark import job_server
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.errors import BalancedMixupError, RunError
from balanced_mixup.evaluation.evaluate import evaluate
from balanced_mixup.evaluation.experiment import train
from balanced_mixup.files import read_json
from balanced_mixup.runs.folder_lock import FolderInUseError, locked
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.workers import end_with

log = logging.getLogger("balanced_mixup")

_BUSY, _FAILED = 3, 4  # exit statuses of a run's process
# What a training imports when it begins to compute; a server that forks trainings imports it once.
COMPUTING = tuple(
    f"balanced_mixup.{name}" for name in ("data.preparation", "runs.classifier", "training.fit", "calibration.correction")
)
_FEWER = "It may have run out of memory: try fewer `--jobs`."


@dataclass(frozen=True)
class Job:
    """A run in its process, and the end of the pipe on which it reports why it failed."""

    run: PlannedRun
    process: BaseProcess
    failure: Connection

    @classmethod
    def start(
        cls,
        folder: BenchmarkFolder,
        run: PlannedRun,
        placement: Mapping[str, Any],
        slot: int,
        threads: int,
        base: Path | None = None,
    ) -> "Job":
        """Start a run.

        Args:
            folder: Of the benchmark.
            run: The run to start.
            placement: Fields of `Placement`.
            slot: Its index among the parallel runs, from 0.
            threads: With how many CPU threads it computes; one that is resumed keeps its own number.
            base: Folder of a run in which the base of its method has been trained.

        Raises:
            RunError: The process could not be started.
        """
        forking = "forkserver" in multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if forking else "spawn")
        if forking:
            context.set_forkserver_preload([job_server.__name__, __name__, *COMPUTING])
        failure, report_failure = context.Pipe(duplex=False)
        process: BaseProcess = context.Process(
            target=_run_job, args=(folder, run, placement, slot, threads, base, report_failure)
        )
        try:
            with job_server.started_from_here():
                process.start()
        except (EOFError, OSError) as error:  # the process that forks the others was killed, or there can be no more of them
            raise RunError(f"The process could not be started ({error!r}). {_FEWER}") from error
        finally:
            report_failure.close()
        return cls(run, process, failure)

    @property
    def is_over(self) -> bool:
        """The process has ended."""
        return self.process.exitcode is not None

    @property
    def was_busy(self) -> bool:
        """The process ended because another benchmark is training this run."""
        return self.process.exitcode == _BUSY

    def reason(self) -> str:
        """Return why the run failed."""
        with suppress(EOFError):
            if self.failure.poll():
                return str(self.failure.recv()).strip()
        status = self.process.exitcode or 0
        if status >= 0:
            return f"The process ended with exit status {status}."
        ended = f"The process ended by signal {-status} ({signal.Signals(-status).name})."
        return f"{ended} {_FEWER}" if status == -signal.SIGKILL else ended


def _run_job(
    folder: BenchmarkFolder,
    run: PlannedRun,
    placement: Mapping[str, Any],
    slot: int,
    threads: int,
    base: Path | None,
    report_failure: Connection,
) -> None:
    """Execute one run, in its own process; exits with `_BUSY`, `_FAILED` or 0."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    end_with(os.getppid())  # the server that forked this process; of that, too, none is left
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted as well, and ends this process
    torch.set_num_threads(threads)
    _take_gpu(slot)
    log.handlers.clear()  # the run has a log file of its own
    made = folder.run(run)
    try:
        with locked(made.path):
            train(run.settings, placement, out=made.path, resume=True, base=base)
            _check_data(made, run)
            for name, settings in run.external.items():
                # `scan_external` has looked for copies of training images.
                evaluate(made.path, out=folder.external(run, name).parent, **{**settings, "near_copies": False})
        return
    except FolderInUseError:
        sys.exit(_BUSY)
    except (BalancedMixupError, OSError) as error:
        report_failure.send(str(error) or repr(error))
    except Exception:
        report_failure.send(traceback.format_exc())
    sys.exit(_FAILED)


def _check_data(made: RunFolder, run: PlannedRun) -> None:
    """Raise RunError where a run was made with other data than planned, and do not let it count as finished."""
    if read_json(made.environment)["data_fingerprint"] != run.data_fingerprint:
        made.metrics.unlink()
        raise RunError("The data changed after the benchmark was started. Check them and run the benchmark again.")


def _take_gpu(slot: int) -> None:
    """Restrict this process to one of several GPUs; must be called before CUDA is first used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]


def _exit_with_parent() -> None:
    """End this process when the one that started it is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
