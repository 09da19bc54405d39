"""The folder of a benchmark: its runs, and the path of each file."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from balanced_mixup.benchmark.plan import MARGIN, BenchmarkPrior, Plan, plan_yaml, slug
from balanced_mixup.errors import UsageError, shown
from balanced_mixup.files import read_json, write_text
from balanced_mixup.runs.formats import Content, Format, damaged, read_file, read_recipe, write_file
from balanced_mixup.runs.identity import identity
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import current_settings, make_recipe, only_of_method

_HEADER = "# Written by `bmixup benchmark`, and written again by the next one in this folder.\n"  # unlike a user's own


def short_hash(content: object) -> str:
    """Return eight hexadecimal digits that identify a content by its `repr`."""
    return hashlib.blake2b(repr(content).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True)
class PlannedRun:
    """One training of a benchmark.

    Args:
        data, method, backbone, fold, seed: Its position in the plan; `method` is the label.
        scored: The split that is scored.
        test_share: Scored over training images, or None where the test split is given (see `Fold`).
        images: Number of images in each split, and of "external" data, if any.
        folder: The run folder, relative to the benchmark's folder.
        data_fingerprint: Of the data and their division.
        identity, base: See `runs.identity`; `base` is None for a method that starts from no other's training.
        settings: Of the training, as for `train`.
        external: Settings of other data to score, by name.
        prior: Class prior of the place of use (see `corrected_rows`).
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
    data_fingerprint: str
    identity: str
    base: str | None
    settings: Mapping[str, Any]
    external: Mapping[str, Mapping[str, Any]]
    prior: BenchmarkPrior = "uniform"

    @property
    def title(self) -> str:
        """The run's name in messages."""
        return f"{self.data} · {self.method} · {self.backbone} · {self.fold} · seed {self.seed}"


def _with_identities(content: Content) -> Content:
    """Return an index of format 1 as format 2, which added the identity of runs."""
    return {**content, "older": {}, "runs": [_with_identity(run) for run in content["runs"]]}


def _with_identity(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run of format 1, which also held settings of other methods."""
    settings = current_settings(run["settings"])
    settings = only_of_method(settings["method"], settings)
    others = {name: value for name, value in run.items() if name != "data_mark"}
    data = run["data_mark"]
    return {
        **others,
        "settings": settings,
        "data_fingerprint": data,
        "identity": identity(make_recipe(settings), data),
        "base": None,
    }


BENCHMARK_FILE = Format(2, {1: _with_identities})


@dataclass(frozen=True)
class Index:
    """The runs of a benchmark, and the settings of its plan for tables and protocol; `benchmark.json`.

    older: Folders of runs that an earlier version named differently, by identity. keep_weights: Whether the weights of finished
    runs are kept; earlier versions kept them. threads: CPU threads of each run, the same for any number of parallel ones; None
    where an earlier version has made it. margin: Of equivalent methods, in percentage points.
    """

    runs: Sequence[PlannedRun]
    baseline: str
    metrics: Sequence[str]
    protocol: str
    older: Mapping[str, str] = field(default_factory=dict)
    keep_weights: bool = True
    threads: int | None = None
    margin: float = MARGIN


@dataclass(frozen=True)
class BenchmarkFolder:
    """Paths of a benchmark.

    plan.yaml: the plan; a user's own file is not overwritten. benchmark.json: its runs. folds/: a table of image and split for
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
        """Return the file with the reason why a run failed; it exists only for failed runs."""
        folder = self.path / planned.folder
        return folder.with_name(f"{folder.name}.failed.txt")

    def is_finished(self, planned: PlannedRun) -> bool:
        """Return whether a run has all its scores."""
        run = self.run(planned)
        return run.metrics.is_file() and all(self.external(planned, name).is_file() for name in planned.external)

    def external(self, planned: PlannedRun, name: str) -> Path:
        """Return the scores of a run on other data."""
        digest = short_hash(sorted(planned.external[name].items()))
        return self.run(planned).path / "evaluations" / f"{slug(name)}-{digest}" / "metrics.json"

    @property
    def keeps_weights(self) -> bool:
        """Whether the weights of finished runs are kept: what was said last, False for a new benchmark."""
        return self.index.is_file() and bool(read_json(self.index).get("keep_weights", True))

    @property
    def finds_near_copies(self) -> bool:
        """Whether the folds of a new data set keep near copies together: not in a benchmark of a version that did not."""
        return not self.index.is_file() or any(run.settings.get("near_copies", False) for run in self.read().runs)

    def discard_weights(self, among: Iterable[PlannedRun], runs: Sequence[PlannedRun]) -> None:
        """Delete the weights of the finished runs `among` all `runs`, but for those from which an unfinished one can start."""
        needed = {run.base for run in runs if run.base is not None and not self.is_finished(run)}
        for run in among:
            if self.is_finished(run) and not needed & {run.identity, run.base}:
                files = self.run(run)
                for weights in (files.weights, files.end_of_base.weights):
                    weights.unlink(missing_ok=True)

    def write(self, plan: Plan, runs: Sequence[PlannedRun], *, keep_weights: bool = False, threads: int | None = None) -> None:
        """Write the plan, the runs, whether their weights are kept, and with how many threads each computes."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.plan.exists() or self.plan.read_text(encoding="utf-8", errors="replace").startswith(_HEADER):
            write_text(self.plan, _HEADER + plan_yaml(plan))
        settings = plan.baseline, plan.metrics, plan.protocol, self.older_runs(), keep_weights, threads, plan.margin
        write_file(self.index, {"version": version("balanced-mixup"), **asdict(Index(runs, *settings))}, BENCHMARK_FILE)

    def older_runs(self) -> dict[str, str]:
        """Return the folders, by identity, of runs that an earlier version made here under other names."""
        if not (self.path / "runs").is_dir():
            return {}
        if self.index.is_file() and read_json(self.index).get("format", 1) != 1:
            return dict(self.read().older)
        found = {}
        for folder in sorted((self.path / "runs").iterdir()):
            run = RunFolder(folder)
            with suppress(OSError, UsageError, KeyError):
                recipe = read_recipe(run.recipe)
                found[identity(recipe, read_json(run.environment)["data_fingerprint"])] = f"runs/{folder.name}"
        return found

    def base_of(self, planned: PlannedRun, runs: Sequence[PlannedRun]) -> Path | None:
        """Return the folder of a run in which the base of a planned run has been trained, if there is one."""
        for other in runs if planned.base is not None else ():
            run = self.run(other)
            done = run.weights if other.identity == planned.base else run.end_of_base.weights
            if planned.base in (other.identity, other.base) and other.folder != planned.folder and done.is_file():
                return run.path
        return None

    def read(self) -> Index:
        """Return the runs and settings of the benchmark.

        Raises:
            UsageError: It is no folder of a benchmark.
        """
        if not self.index.is_file():
            raise UsageError(f"Expected {str(self.path)!r} to be the folder of a benchmark, but it has no {self.index.name}.")
        content = read_file(self.index, BENCHMARK_FILE)
        try:
            settings: dict[str, Any] = {name: content[name] for name in ("baseline", "metrics", "protocol", "older")}
            settings |= {"keep_weights": self.keeps_weights, "threads": content.get("threads")}
            settings["margin"] = float(content.get("margin", MARGIN))
            index = Index([PlannedRun(**run) for run in content["runs"]], **settings)
            folders = [*(run.folder for run in index.runs), *index.older.values()]
            if strange := [folder for folder in folders if Path(folder).is_absolute() or ".." in Path(folder).parts]:
                raise ValueError(f"the folder {shown(strange[0])} is not inside of it")
            if index.threads is not None and not (isinstance(index.threads, int) and index.threads >= 1):
                raise ValueError(f"expected `threads` to be a number from 1, but got {shown(index.threads)}")
            if not index.margin > 0:
                raise ValueError(f"expected `margin` to be above 0, but got {shown(index.margin)}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(self.index, error) from None
        return index
