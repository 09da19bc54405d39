"""The runs of a plan: looks at the data sets, makes the folds, and names a folder for each run by its content."""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.benchmark.plan import BenchmarkData, Plan, method_cells, plan_yaml, slug
from balanced_mixup.benchmark.protocols import PROTOCOLS, divide
from balanced_mixup.data.folds import UNUSED, sample, write_split
from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.data.preparation import Cache, Prepared, prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.sources.table import read_table
from balanced_mixup.data.splits import unite
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.files import write_atomically, write_json, write_text
from balanced_mixup.randomness import key_of
from balanced_mixup.training.environment import fingerprint
from balanced_mixup.training.recipe import PLACES, Execution, make_recipe
from balanced_mixup.training.run_folder import RunFolder

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class PlannedRun:
    """One training of a benchmark.

    Args:
        data, method, backbone, fold, seed: Its place in the plan; `method` is the label.
        scored: The part that is scored.
        test_share: Scored over training images, or None where the test part is given (see `Fold`).
        images: Number of images of each part.
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

    plan.yaml: what was asked for. benchmark.json: the runs of it. folds/: a table of image and split for each division.
    runs/: a folder for each run, beside it NAME.failed.txt with the reason where it failed.
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
        mark = _hash(sorted(planned.external[name].items()))
        return self.run(planned).path / "evaluations" / f"{slug(name)}-{mark}" / "metrics.json"

    def read(self) -> "Index":
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


def expand(plan: Plan, out: Path, placement: Mapping[str, Any]) -> list[PlannedRun]:
    """Return the runs of a plan, in the order in which they are made; writes the folds and the index to `out`.

    Every data set is looked at first, each image once; `placement` holds fields of `Placement`.

    Raises:
        UsageError: The plan cannot be made with these data.
        DataError: Something is wrong with the data.
    """
    runs: list[PlannedRun] = []
    for name, entry in plan.data.items():
        log.info("Looking at the data %s.", name)
        runs += _runs_of(name, entry, plan, out, placement)
    # A fold of every method before the next fold: a benchmark that is stopped early can be compared all the same.
    order = list(plan.data)
    runs.sort(key=lambda run: (order.index(run.data), run.seed, run.fold))
    folder = BenchmarkFolder(out)
    write_text(folder.plan, plan_yaml(plan))
    write_json(folder.index, asdict(Index(runs, plan.baseline, plan.metrics, plan.protocol)))
    return runs


def _runs_of(name: str, entry: BenchmarkData, plan: Plan, out: Path, placement: Mapping[str, Any]) -> Iterator[PlannedRun]:
    protocol = PROTOCOLS[plan.protocol]
    data = entry.model_dump(mode="json", exclude_unset=True, include=set(DataSettings.model_fields))
    if not protocol.keeps_groups:
        data["ignore_groups"] = True
    external = {other: settings.model_dump(mode="json", exclude_unset=True) for other, settings in entry.external.items()}
    recipe = make_recipe({**plan.settings, **placement, **data})
    manifest = load(recipe)
    prepared = prepare(manifest, recipe.size, cache=Cache(recipe.cache, recipe.cache_dir), exclude_bad=recipe.exclude_bad)
    if entry.images_at_most is not None:
        prepared = _sampled(prepared, entry.images_at_most, plan.fold_seed)
    folds = divide(
        name,
        prepared,
        protocol,
        scheme=entry.scheme,
        folds=plan.folds,
        repeats=plan.repeats,
        val_fraction=recipe.val_fraction,
        seed=plan.fold_seed,
        published_folds=_published_folds(name, entry, prepared),
    )
    for fold in folds:
        data_mark = fingerprint(prepared.manifest.with_split(fold.split), prepared.digests)
        # Named by its content, so that another plan in this folder cannot change what a run reads.
        path = out / "folds" / slug(name) / f"{fold.name}-{data_mark[:8]}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = dict(zip(prepared.manifest.images.names, fold.split.tolist(), strict=True))
        split = np.array([part.get(image, UNUSED) for image in manifest.images.names])
        write_atomically(path, partial(write_split, names=manifest.images.names, split=split))
        for seed, backbone, cell in itertools.product(plan.seeds, plan.backbones, method_cells(plan)):
            own = {**data, "split_file": str(path.resolve()), "backbone": backbone, "seed": seed}
            settings = {**plan.settings, **own, **cell.settings}
            where = slug("-".join((name, cell.label, backbone, fold.name, f"s{seed}", _mark(settings, data_mark))))
            yield PlannedRun(
                data=name,
                method=cell.label,
                backbone=backbone,
                fold=fold.name,
                seed=seed,
                scored=fold.scored,
                test_share=fold.test_share,
                images={part: int((fold.split == part).sum()) for part in SPLITS},
                folder=f"runs/{where}",
                data_mark=data_mark,
                settings=settings,
                external=external,
            )


def _sampled(prepared: Prepared, count: int, seed: int) -> Prepared:
    """Return about `count` images of a data set."""
    manifest = prepared.manifest
    together = unite(len(manifest), manifest.groups, prepared.digests)
    rows = sample(manifest.labels, together, count, key_of(seed, "sample"))
    digests = tuple(prepared.digests[row] for row in rows)
    return Prepared(prepared.pixels.subset(rows), manifest.subset(rows), digests)


def _mark(settings: Mapping[str, Any], data_mark: str) -> str:
    """Return a hash of what a run's result depends on: all settings and the content of the data, but no place on a disk."""
    content = make_recipe(settings).model_dump(mode="json", exclude={*PLACES, *Execution.model_fields})
    return _hash((data_mark, sorted(content.items())))


def _hash(content: object) -> str:
    return hashlib.blake2b(repr(content).encode(), digest_size=4).hexdigest()


def _published_folds(name: str, entry: BenchmarkData, prepared: Prepared) -> npt.NDArray[np.int64] | None:
    """Return the fold of each image, int64 (N,), numbered from 0 in the order of their names."""
    if entry.fold_column is None:
        return None
    path = Path(entry.data)
    table = read_table(path / "labels.csv" if path.is_dir() else path)
    for column in (entry.image_column, entry.fold_column):
        if column not in table.header:
            raise UsageError(
                f"Expected the data {name!r} to have the column {column!r}, but their columns are {', '.join(table.header)}."
                f"{nearest(column, table.header)}"
            )
    fold_of = dict(zip(table.column(entry.image_column), table.column(entry.fold_column), strict=True))
    cells = [fold_of[image] for image in prepared.manifest.images.names]
    empty = [image for image, cell in zip(prepared.manifest.images.names, cells, strict=True) if not cell]
    if empty:
        raise UsageError(f"Expected a fold for every image of {name!r}, but {len(empty)} have none, such as {empty[0]!r}.")
    return np.unique(cells, return_inverse=True)[1].astype(np.int64)
