"""Data sources: how the value of `--data` becomes a manifest.

A `Source` has a name, the values of `--data` that select it, and a loader, which is imported when it is used. Those of this
package are listed here; other distributions register theirs under the entry-point group `balanced_mixup.sources`:

    [project.entry-points."balanced_mixup.sources"]
    my-archive = "my_package.archive:SOURCE"

where `SOURCE = Source("my-archive", "NAME:STUDY of our image archive", "my_package.archive:load", takes_argument=True)`. A
source without `suffixes` and `marker` is selected by name, here `--data my-archive:STUDY`; the loader reads `settings.data`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from balanced_mixup.data.sources.text_table import SUFFIXES as TABLES
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.plugins import load_plugins

if TYPE_CHECKING:
    from balanced_mixup.data.manifest import Manifest
    from balanced_mixup.data.settings import DataSettings

POSSIBLE_GROUPS, POSSIBLE_GRADES = "possible groups", "possible grades"
_TABLES = ", ".join(TABLES)
SUGGESTIONS = (POSSIBLE_GROUPS, POSSIBLE_GRADES)  # kinds of warnings: what the data look like, and nobody has decided
PREPARED = "prepare.yaml"  # in every folder that `bmixup prepare` works or has worked in


@dataclass(frozen=True)
class Source:
    """A kind of data. Without `suffixes` and `marker` it is selected by its name.

    Args:
        name: Name in messages and, where it is selected by name, in `--data`.
        summary: One line for `bmixup list sources`.
        load: Function from the settings to the manifest, or its "module:function". It raises UsageError for settings that it
            does not support, DataError if the source cannot be read; problems of single rows go into the manifest.
        suffixes: Suffixes of its files, in lower case.
        marker: Name of a file in its folders; "" for folders without the marker of another source.
        takes_argument: `--data NAME:ARGUMENT` is accepted too, and `settings.data` has all of it.
        has_columns: It supports `images`, `group_column` and `split_column`.
    """

    name: str
    summary: str
    load: "Callable[[DataSettings], Manifest] | str"
    suffixes: tuple[str, ...] = ()
    marker: str | None = None
    takes_argument: bool = False
    has_columns: bool = False

    def named_by(self, data: str) -> bool:
        """Return whether `data` selects this source by its name."""
        if self.suffixes or self.marker is not None:
            return False
        return data == self.name or (self.takes_argument and data.startswith(f"{self.name}:"))


_BUILT_IN = (
    Source(
        "csv",
        "LABELS.csv, .tsv (also .gz), .xlsx or .parquet: one row per image, with columns for the image, its class and, if any, "
        "group and split",
        "balanced_mixup.data.sources.csv:load",
        suffixes=TABLES,
        has_columns=True,
    ),
    Source(
        "folder",
        "DIR/<class>/..., or DIR/train/<class>/..., DIR/val/<class>/... where the split is given",
        "balanced_mixup.data.sources.class_folders:load",
        marker="",
    ),
    Source(
        "npz",
        "FILE.npz in the format of MedMNIST: train_images, train_labels, val_images, ...",
        "balanced_mixup.data.sources.npz:load",
        suffixes=(".npz",),
    ),
    Source(
        "prepared",
        "DIR made by `bmixup prepare` from a published data set, with its classes, groups and split",
        "balanced_mixup.data.sources.prepared:load",
        marker=PREPARED,
    ),
    Source(
        "synthetic-fundus",
        "built in: procedural fundus photographs, grades 0-4 with the class frequencies of EyePACS, two eyes a patient",
        "balanced_mixup.datasets.synthetic:load",
    ),
)


def sources() -> Mapping[str, Source]:
    """Return all sources by name, those of other distributions included; an unusable plugin causes a warning."""
    return _sources()[0]


@cache
def _sources() -> tuple[dict[str, Source], dict[str, str]]:
    built_in = {source.name: source for source in _BUILT_IN}
    plugins, faults = load_plugins("sources", Source, built_in, lambda source: source.name)
    return built_in | plugins, faults


def load(settings: "DataSettings") -> "Manifest":
    """Return the data set that `settings` describe, before any image is opened.

    Raises:
        UsageError: There is no such source, or it does not support one of the settings.
        DataError: The source itself cannot be read. Problems of single rows are in the manifest instead.
    """
    from balanced_mixup.data.sources.grades import suggest_order
    from balanced_mixup.data.sources.group_hints import suggest_stems
    from balanced_mixup.data.sources.groups import with_groups_of_names, with_joined_spellings

    if settings.group_pattern is not None and settings.group_column is not None:
        raise UsageError("Expected one of --group-column and --group-pattern, but got both.")
    manifest = _load(settings)
    if settings.val_data is not None or settings.test_data is not None:
        from balanced_mixup.data.sources.given_splits import with_given_splits

        manifest = with_given_splits(manifest, settings, _load)
    if settings.group_pattern is not None:
        manifest = with_groups_of_names(manifest, settings.group_pattern)
    manifest = replace(manifest, groups=None) if settings.ignore_groups else with_joined_spellings(manifest)
    kind = kind_of(settings.data)
    files = kind in ("csv", "folder")
    if files and manifest.groups is None:
        manifest = suggest_stems(manifest, settings)
    if not manifest.ordinal and "ordinal" not in settings.model_fields_set and kind != "prepared":
        column = settings.label_column if kind == "csv" and not settings.label_columns else None
        manifest = replace(manifest, problems=(*manifest.problems, *suggest_order(manifest, column, files)))
    if settings.split_file is not None:
        from balanced_mixup.data.folds import with_split_file

        manifest = with_split_file(manifest, settings.split_file)
    return manifest


def _load(settings: "DataSettings") -> "Manifest":
    """Return the data of `settings.data` alone."""
    source = sources()[kind_of(settings.data)]
    if not source.has_columns:
        _refuse_columns(settings, source)
    try:
        loader = resolve_name(source.load) if isinstance(source.load, str) else source.load
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"The loader {source.load!r} of the source {source.name!r} cannot be imported: {error!r}.") from error
    from balanced_mixup.data.decoding import Decoding

    manifest: Manifest = loader(settings)
    decoding = Decoding(settings.max_megapixels, settings.bit_depth)
    return replace(manifest, images=manifest.images.decoded_by(decoding))


def is_named(data: str) -> bool:
    """Return whether `data` is the name of a source, not a path."""
    return any(source.named_by(data) for source in sources().values())


def kind_of(data: str) -> str:
    """Return the name of the source that `--data` selects. UsageError if there is none, or if the path does not exist."""
    if not data:
        raise UsageError(f"Expected `--data`: {_expected()}, but got none.")
    path = Path(data)
    for source in sources().values():
        if source.named_by(data) or (path.name.lower().endswith(source.suffixes) and path.is_file()):
            return source.name
    if path.is_dir():
        kinds = sorted((source for source in sources().values() if source.marker is not None), key=lambda kind: not kind.marker)
        return next(kind.name for kind in kinds if not kind.marker or (path / kind.marker).is_file())
    if fault := _sources()[1].get(data.partition(":")[0]):
        raise UsageError(fault)
    published = resolve_name("balanced_mixup.datasets.cards:TASKS")
    if data in published and not path.exists():
        raise UsageError(
            f"Expected the data to be {_expected()}, but {data!r} is the name of a published data set. Download it (see "
            f"`bmixup list sources {data}`), run `bmixup prepare {data} --root RAW --out DIR`, and use `--data DIR`."
        )
    raise UsageError(
        f"Expected the data to be {_expected()}, but {data!r} {'is none of these' if path.exists() else 'does not exist'}."
        f"{nearest(data, (*_names(), *published))}"
    )


def _names() -> list[str]:
    return [source.name for source in sources().values() if source.named_by(source.name)]


def _expected() -> str:
    files = [suffix for source in sources().values() for suffix in source.suffixes if source not in _BUILT_IN]
    more = f" a file {' or '.join(files)}," if files else ""
    return f"a table ({_TABLES}), a folder of class folders, a MedMNIST-format .npz,{more} or a source ({', '.join(_names())})"


def _refuse_columns(settings: "DataSettings", source: Source) -> None:
    """Refuse settings of a table for other sources: a group or split column that is silently ignored would be a leak."""
    for name in ("images", "group_column", "split_column", "label_columns"):
        if getattr(settings, name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"Expected {flag} only with a table ({_TABLES}), but {settings.data!r} is a source of the kind {source.name}. "
                f"Omit {flag}, or describe the images by a table."
            )
