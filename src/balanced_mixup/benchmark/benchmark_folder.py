"""The folder of a benchmark: its runs, and the path of each file."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from balanced_mixup.benchmark.plan import Plan, plan_yaml, slug
from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_text
from balanced_mixup.runs.formats import BENCHMARK_FILE, read_file, write_file
from balanced_mixup.runs.run_folder import RunFolder

_HEADER = "# Written by `bmixup benchmark`, and written again by the next one in this folder.\n"  # unlike a user's own


def short_hash(content: object) -> str:
    """Return eight hexadecimal digits that identify a content by its `repr`."""
    return hashlib.blake2b(repr(content).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True)
class PlannedRun:
    """One training of a benchmark.

    Args:
        data, method, backbone, fold, seed: Its place in the plan; `method` is the label.
        scored: The split that is scored.
        test_share: Scored over training images, or None where the test split is given (see `Fold`).
        images: Number of images of each split, and of "external" data, if any.
        folder: Of the run, from the benchmark's folder.
        data_mark: Fingerprint of the data and their division.
        settings: Of the training, as for `train`.
        external: Settings of other data to score, by name.
    """

    data: str
    method: str
    backbone: str
    fold: str
    seed: int
    scored: str
    test_share: float | None
    images: Mapping[str, int]
    folder: str
    data_mark: str
    settings: Mapping[str, Any]
    external: Mapping[str, Mapping[str, Any]]

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.data} · {self.method} · {self.backbone} · {self.fold} · seed {self.seed}"


@dataclass(frozen=True)
class Index:
    """The runs of a benchmark, and the settings of its plan for tables and protocol; `benchmark.json`."""

    runs: Sequence[PlannedRun]
    baseline: str
    metrics: Sequence[str]
    protocol: str


@dataclass(frozen=True)
class BenchmarkFolder:
    """Paths of a benchmark.

    plan.yaml: the plan; left alone where it is the user's own. benchmark.json: its runs. folds/: a table of image and split for
    each division. runs/: a folder for each run, beside it NAME.failed.txt with the reason where it failed.
    """

    path: Path

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.path / "plan.yaml"

    @property
    def index(self) -> Path:
        """The runs."""
        return self.path / "benchmark.json"

    def run(self, planned: PlannedRun) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / planned.folder)

    def failure(self, planned: PlannedRun) -> Path:
        """Return the file with the reason why a run failed; not there if it did not."""
        return self._beside(planned, ".failed.txt")

    def lock(self, planned: PlannedRun) -> Path:
        """Return the lock that the process that trains a run holds."""
        return self._beside(planned, ".lock")

    def _beside(self, planned: PlannedRun, suffix: str) -> Path:
        folder = self.path / planned.folder
        return folder.with_name(folder.name + suffix)

    def is_finished(self, planned: PlannedRun) -> bool:
        """Return whether a run has all its scores."""
        run = self.run(planned)
        return run.metrics.is_file() and all(self.external(planned, name).is_file() for name in planned.external)

    def external(self, planned: PlannedRun, name: str) -> Path:
        """Return the scores of a run on other data."""
        mark = short_hash(sorted(planned.external[name].items()))
        return self.run(planned).path / "evaluations" / f"{slug(name)}-{mark}" / "metrics.json"

    def write(self, plan: Plan, runs: Sequence[PlannedRun]) -> None:
        """Write the plan and the runs."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.plan.exists() or self.plan.read_text(encoding="utf-8", errors="replace").startswith(_HEADER):
            write_text(self.plan, _HEADER + plan_yaml(plan))
        index = asdict(Index(runs, plan.baseline, plan.metrics, plan.protocol))
        write_file(self.index, {"version": version("balanced-mixup"), **index}, BENCHMARK_FILE)

    def read(self) -> Index:
        """Return the runs and settings of the benchmark.

        Raises:
            UsageError: It is no folder of a benchmark.
        """
        if not self.index.is_file():
            raise UsageError(f"Expected {str(self.path)!r} to be the folder of a benchmark, but it has no {self.index.name}.")
        content = read_file(self.index, BENCHMARK_FILE)
        try:
            settings = {name: content[name] for name in ("baseline", "metrics", "protocol")}
            return Index([PlannedRun(**run) for run in content["runs"]], **settings)
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"Expected {str(self.path)!r} to be the folder of a benchmark, but its {self.index.name}: {error}."
            ) from None
