"""The folder of a benchmark: which runs it has, and what stands where."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from balanced_mixup.benchmark.plan import Plan, plan_yaml, slug
from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_json, write_text
from balanced_mixup.runs.run_folder import RunFolder

_HEADER = "# Written by `bmixup benchmark`, and written again by the next one in this folder.\n"  # tells it from somebody's own


def short_hash(content: object) -> str:
    """Return eight digits that tell contents apart by what their `repr` is."""
    return hashlib.blake2b(repr(content).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True)
class PlannedRun:
    """One training of a benchmark.

    Args:
        data, method, backbone, fold, seed: Its place in the plan; `method` is the label.
        scored: The part that is scored.
        test_share: Scored over training images, or None where the test part is given (see `Fold`).
        images: Number of images of each part, and of "external" data, if any.
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
        """What people call it."""
        return f"{self.data} · {self.method} · {self.backbone} · {self.fold} · seed {self.seed}"


@dataclass(frozen=True)
class Index:
    """What a benchmark is made of: its runs, and what its plan says of the tables and of the protocol."""

    runs: Sequence[PlannedRun]
    baseline: str
    metrics: Sequence[str]
    protocol: str


@dataclass(frozen=True)
class BenchmarkFolder:
    """Paths of a benchmark.

    plan.yaml: what was asked for; left alone where it is somebody's own. benchmark.json: the runs of it. folds/: a table of
    image and split for each division. runs/: a folder for each run, beside it NAME.failed.txt with the reason where it failed.
    """

    path: Path

    @property
    def plan(self) -> Path:
        """What was asked for."""
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
        """Return the lock that whoever trains a run holds."""
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
        """Write down what the benchmark is made of."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.plan.exists() or self.plan.read_text(encoding="utf-8", errors="replace").startswith(_HEADER):
            write_text(self.plan, _HEADER + plan_yaml(plan))
        write_json(self.index, asdict(Index(runs, plan.baseline, plan.metrics, plan.protocol)))

    def read(self) -> Index:
        """Return what the benchmark is made of.

        Raises:
            UsageError: It is no folder of a benchmark.
        """
        try:
            content = json.loads(self.index.read_text(encoding="utf-8"))
            return Index(**{**content, "runs": [PlannedRun(**run) for run in content["runs"]]})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"Expected {str(self.path)!r} to be the folder of a benchmark, but its {self.index.name}: {error}."
            ) from None
