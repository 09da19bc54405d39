"""The runs of a plan: scans the data sets, makes the folds, and names a folder for each run by its content."""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.corrected_rows import check_prior
from balanced_mixup.benchmark.external import scan_external
from balanced_mixup.benchmark.plan import BenchmarkData, Plan, slug
from balanced_mixup.benchmark.protocols import PROTOCOLS, Fold, divide
from balanced_mixup.benchmark.variants import method_variants, recipe_settings, variant_settings
from balanced_mixup.data.folds import UNUSED, sample, write_split
from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.data.preparation import Cache, Prepared, prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import kind_of, load
from balanced_mixup.data.sources.csv import image_root
from balanced_mixup.data.sources.image_paths import image_names
from balanced_mixup.data.sources.prepared import LABELS
from balanced_mixup.data.sources.text_table import read_table
from balanced_mixup.data.splits import merge_groups
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.files import write_atomically
from balanced_mixup.randomness import key_of
from balanced_mixup.runs.environment import fingerprint
from balanced_mixup.runs.identity import base_identity, identity
from balanced_mixup.training.recipe import Recipe, make_recipe
from balanced_mixup.training.segments import check_classes

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class FoldFile:
    """A division of a data set, to be written as a table that the runs read.

    Args:
        path: Named by its content, so that another plan in the folder cannot change what a run reads.
        names: Of all images of the data.
        split: (N,), the split of each, or "unused".
    """

    path: Path
    names: Sequence[str]
    split: npt.NDArray[np.str_]


@dataclass(frozen=True)
class Expansion:
    """An expanded plan: its runs, in the order of training, and the divisions that they read."""

    runs: Sequence[PlannedRun]
    folds: Sequence[FoldFile]

    def write(self, plan: Plan, out: Path, *, keep_weights: bool = False, threads: int | None = None) -> None:
        """Write the folds and the index of a benchmark to its folder, with what `BenchmarkFolder.write` keeps there."""
        for fold in self.folds:
            fold.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(fold.path, partial(write_split, names=fold.names, split=fold.split))
        BenchmarkFolder(out).write(plan, self.runs, keep_weights=keep_weights, threads=threads)


def expand(plan: Plan, out: Path, placement: Mapping[str, Any]) -> Expansion:
    """Expand a plan into its runs; writes nothing.

    Every data set is scanned, each image once; `placement` holds fields of `Placement`.

    Raises:
        UsageError: The plan cannot be made with these data.
        DataError: Something is wrong with the data.
    """
    runs: list[PlannedRun] = []
    folders = BenchmarkFolder(out).older_runs()
    files: list[FoldFile] = []
    for name, entry in plan.data.items():
        log.info("Scanning the data %s.", name)
        data = _data_settings(entry, keeps_groups=PROTOCOLS[plan.protocol].keeps_groups)
        data.setdefault("near_copies", BenchmarkFolder(out).finds_near_copies)
        recipe = make_recipe(recipe_settings(plan.settings), placement, data)
        manifest = load(recipe)
        for variant in method_variants(plan.methods):
            check_classes(make_recipe(variant_settings(plan.settings, variant)).method, ordinal=manifest.ordinal)
        check_prior(name, entry.prior, manifest.classes)
        prepared = _prepared(manifest, entry.images_at_most, recipe, plan.fold_seed)
        folds = _folds(name, entry, plan, prepared, recipe)
        external = sum(scan_external(name, entry.external, prepared, folds, recipe).values())
        if recipe.split_file is not None:  # images that it leaves out belong to the data, too
            manifest = load(recipe.model_copy(update={"split_file": None}))
        names = manifest.images.names
        for fold in folds:
            data_fingerprint = fingerprint(prepared.manifest.with_split(fold.split), prepared.digests)
            path = out.resolve() / "folds" / slug(name) / f"{fold.name}-{data_fingerprint[:8]}.csv"
            split_of = dict(zip(prepared.manifest.images.names, fold.split.tolist(), strict=True))
            files.append(FoldFile(path, names, np.array([split_of.get(image, UNUSED) for image in names])))
            images = {split: int((fold.split == split).sum()) for split in SPLITS}
            if external:
                images["external"] = external
            division = {**data, "split_file": str(path), "split_version": recipe.split_version}
            runs += _runs_of(name, entry, plan, fold, division, data_fingerprint, images, folders)
    # All methods on one fold before the next fold: an interrupted benchmark is comparable, too.
    order = list(plan.data)
    runs.sort(key=lambda run: (order.index(run.data), run.seed, run.fold))
    return Expansion(runs, files)


def _data_settings(entry: BenchmarkData, *, keeps_groups: bool) -> dict[str, Any]:
    data = entry.model_dump(mode="json", exclude_unset=True, include=set(DataSettings.model_fields))
    return data if keeps_groups else {**data, "ignore_groups": True}


def _prepared(manifest: Manifest, at_most: int | None, recipe: Recipe, seed: int) -> Prepared:
    """Return the images of a data set, about `at_most` of them."""
    prepared = prepare(
        manifest,
        recipe.size,
        cache=Cache(recipe.cache, recipe.cache_dir),
        exclude_bad=recipe.exclude_bad,
        near_copies=recipe.near_copies,
    )
    if at_most is None:
        return prepared
    manifest = prepared.manifest
    groups = merge_groups(len(manifest), manifest.groups, prepared.copies.together)
    return prepared.subset(sample(manifest.labels, groups, at_most, key_of(seed, "sample"), recipe.split_version))


def _folds(name: str, entry: BenchmarkData, plan: Plan, prepared: Prepared, recipe: Recipe) -> list[Fold]:
    return divide(
        name,
        prepared,
        PROTOCOLS[plan.protocol],
        scheme=entry.scheme,
        folds=plan.folds,
        repeats=plan.repeats,
        val_fraction=recipe.val_fraction,
        seed=plan.fold_seed,
        split_version=recipe.split_version,
        published_folds=_published_folds(name, entry, prepared),
    )


def _runs_of(
    name: str,
    entry: BenchmarkData,
    plan: Plan,
    fold: Fold,
    data: Mapping[str, Any],
    data_fingerprint: str,
    images: Mapping[str, int],
    older: Mapping[str, str],
) -> Iterator[PlannedRun]:
    """Yield the runs on one fold of a data set, whose settings are `data`."""
    external = {other: settings.model_dump(mode="json", exclude_unset=True) for other, settings in entry.external.items()}
    for seed, backbone, variant in itertools.product(plan.seeds, plan.backbones, method_variants(plan.methods)):
        settings = {**variant_settings(plan.settings, variant), **data, "backbone": backbone, "seed": seed}
        recipe = make_recipe(settings)
        own = identity(recipe, data_fingerprint)
        where = slug("-".join((name, variant.label, backbone, fold.name, f"s{seed}", own)))
        yield PlannedRun(
            data=name,
            method=variant.label,
            backbone=backbone,
            fold=fold.name,
            seed=seed,
            scored=fold.scored,
            test_share=fold.test_share,
            images=images,
            folder=older.get(own, f"runs/{where}"),
            data_fingerprint=data_fingerprint,
            identity=own,
            base=base_identity(recipe, data_fingerprint),
            settings=settings,
            external=external,
            prior=entry.prior,
        )


def _published_folds(name: str, entry: BenchmarkData, prepared: Prepared) -> npt.NDArray[np.int64] | None:
    """Return the fold of each image, int64 (N,), numbered from 0 in the order of their names."""
    if entry.fold_column is None:
        return None
    kind = kind_of(entry.data)
    if kind not in ("csv", "prepared"):
        raise UsageError(
            f"Expected `fold_column` only with a table or a prepared folder, but the data {name!r} are of the kind {kind}."
        )
    table = read_table(Path(entry.data) / LABELS if kind == "prepared" else Path(entry.data))
    image_column = "image" if kind == "prepared" else entry.image_column
    for column in (image_column, entry.fold_column):
        if column not in table.header:
            raise UsageError(
                f"Expected the data {name!r} to have the column {column!r}, but their columns are {', '.join(table.header)}."
                f"{nearest(column, table.header)}"
            )
    names = table.column(image_column) if kind == "prepared" else image_names(table.column(image_column), image_root(entry))
    fold_of = dict(zip(names, table.column(entry.fold_column), strict=True))
    cells = [fold_of.get(image, "") for image in prepared.manifest.images.names]
    empty = [image for image, cell in zip(prepared.manifest.images.names, cells, strict=True) if not cell]
    if empty:
        raise UsageError(f"Expected a fold for every image of {name!r}, but {len(empty)} have none, such as {empty[0]!r}.")
    return np.unique(cells, return_inverse=True)[1].astype(np.int64)
