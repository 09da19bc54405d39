"""Preparing a published data set: from its raw files to a folder of images and labels for training."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from balanced_mixup.data.images import FileImages
from balanced_mixup.data.manifest import Images
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import npz
from balanced_mixup.data.sources.prepared import PROBLEMS
from balanced_mixup.datasets import medmnist
from balanced_mixup.datasets.card import Card
from balanced_mixup.datasets.cards import get_card
from balanced_mixup.datasets.pictures import FORMATS, ImageFormat, PreparedImage, write_images
from balanced_mixup.datasets.prepared_folder import PreparedFolder
from balanced_mixup.datasets.raw import Discrepancy, LabelledImage, match, scan
from balanced_mixup.datasets.raw_labels import RawLabels, count, read_labels
from balanced_mixup.errors import DataError, Problem, RunError, UsageError, nearest
from balanced_mixup.progress import progress_bar


@dataclass(frozen=True)
class PreparedDataset:
    """The result of preparing a data set."""

    card: Card
    folder: PreparedFolder
    labelled: Mapping[str, Counter[str]]  # images of each split and class in the label files
    prepared: Mapping[str, Counter[str]]  # images of each split and class in the folder
    new: int  # images that were written just now
    discrepancies: tuple[Discrepancy, ...]  # everything that is not as published
    skipped: Mapping[str, int]  # files in each raw folder that does not belong to this data set

    @property
    def kinds(self) -> Counter[str]:
        """Number of discrepancies of each kind."""
        return Counter(wrong.kind for wrong in self.discrepancies)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the single discrepancies, which are in `problems.csv`, as plain numbers and strings, for JSON."""
        return {
            "name": self.card.name,
            "out": str(self.folder.path),
            "size": self.folder.format.size,
            "images": {split: counts.total() for split, counts in self.prepared.items()},
            "published": self.card.published,
            "made_now": self.new,
            "classes": {
                name: {
                    split: {"labelled": counts[name], "prepared": self.prepared[split][name]}
                    for split, counts in self.labelled.items()
                }
                for name in self.card.classes
            },
            "problems": dict(self.kinds),
            "problems_file": str(self.folder.path / PROBLEMS),
            "skipped": dict(self.skipped),
        }


def prepare_dataset(
    name: str,
    root: Path | None,
    out: Path,
    *,
    size: int | None = None,
    image_format: str | None = None,
    jobs: int | None = None,
) -> PreparedDataset:
    """Prepare a published data set; images that exist already are kept.

    Args:
        name: Of the data set, a key of `TASKS`.
        root: Folder with its raw files as published (MedMNIST: the npz or its folder; None: download it).
        out: Folder for the result: new, empty, or started before with the same settings.
        size: Side of the images in pixels; the card's default if None.
        image_format: "jpg" or "png"; the card's default if None.
        jobs: Processes; one a core if None.

    Raises:
        UsageError: The name, a setting or a folder is wrong.
        DataError: There are no label files or no images.
        RunError: The disk is full, or a package or a download failed.
    """
    card = get_card(name)
    form = ImageFormat(card.default_size if size is None else size, image_format or card.default_format, card.fundus)
    _check(card, form, jobs)
    folder = PreparedFolder(out, name, form)
    folder.check()
    raw = _read_npz(card, root, form.size) if card.sizes else _read_folder(card, root, folder)
    if not raw.names:
        message = f"{root}: expected images of {card.title}, got none of the {len(raw.labels.rows)} in its label files"
        remedy = f"Unpack the archives first. Get them from {card.url}; expected: {card.layout}."
        raise DataError([Problem("no images", message, remedy)])
    rows = {name: raw.labels.rows[name] for name in raw.names}
    wrong = [*raw.labels.discrepancies, *raw.discrepancies]
    with folder.opened():
        written = _write(folder, raw, jobs)
        for name, image in zip(raw.names, written, strict=True):
            if not image.exists:
                wrong.append(Discrepancy("unreadable image", rows.pop(name).image, image.remark))
            elif image.remark:
                wrong.append(Discrepancy("no retina disc", rows[name].image, image.remark))
        if not rows:
            remedy = "Download the images again: no archive was unpacked completely, or the disk is damaged."
            raise DataError([Problem(w.kind, w.message, remedy) for w in wrong if w.kind == "unreadable image"])
        prepared = count(rows.values())
        folder.write(rows, wrong, _about(card, form, prepared))
    new = sum(image.new for image in written)
    return PreparedDataset(card, folder, raw.labels.counts, prepared, new, tuple(wrong), raw.skipped)


class _Raw(NamedTuple):
    """The input of the preparation: the labels, the keys of the N existing images, these images, and discrepancies."""

    labels: RawLabels
    names: list[str]
    images: Images
    discrepancies: list[Discrepancy]
    skipped: Mapping[str, int]


def _read_folder(card: Card, root: Path | None, folder: PreparedFolder) -> _Raw:
    """Read the raw folder of a data set of image files."""
    if root is None or not root.is_dir():
        got = "none" if root is None else f"{str(root)!r}, which {'is a file' if root.exists() else 'does not exist'}"
        raise UsageError(
            f"Expected --root, the folder with {card.title} as published, but got {got}. Get it from {card.url} and "
            f"unpack it there: {card.layout}."
        )
    raw = scan(root, card)
    labels, prepared = read_labels(card, raw), folder.existing()
    paths, wrong = match(card, labels.rows, labels.known, raw, prepared)
    names = [name for name in labels.rows if name in paths or name in prepared]
    images = FileImages(root, [labels.rows[name].image for name in names], [str(paths.get(name, "")) for name in names])
    return _Raw(labels, names, images, wrong, raw.skipped)


def _read_npz(card: Card, root: Path | None, size: int) -> _Raw:
    """Read an npz of MedMNIST; its images are named train_00000, ..."""
    path = medmnist.npz_of(card, root, size)
    manifest = npz.load(DataSettings(data=str(path), classes=tuple(card.classes)))
    height, width = manifest.images.read(0).shape[:2]
    if (height, width) != (size, size):
        message = f"{path}: expected images of {size} x {size} pixels, got {width} x {height}"
        raise DataError([Problem("wrong size", message, "Name the npz of this size with --root, or its size with --size.")])
    if manifest.problems:
        raise DataError(manifest.problems)
    split = [] if manifest.split is None else manifest.split.tolist()
    rows = {
        name: LabelledImage(name, manifest.classes[label], in_split, "", {}, path.name)
        for name, label, in_split in zip(manifest.images.names, manifest.labels.tolist(), split, strict=True)
    }
    counts = count(rows.values())
    wrong = [
        Discrepancy("label count", "", f"{name}: expected {published} images, got {counts[name].total()}")
        for name, published in card.published.items()
        if counts[name].total() != published
    ]
    return _Raw(RawLabels(rows, set(rows), counts, wrong), list(rows), manifest.images, [], {})


def _check(card: Card, form: ImageFormat, jobs: int | None) -> None:
    if card.sizes and form.size not in card.sizes:
        sizes = ", ".join(map(str, card.sizes))
        raise UsageError(f"Expected --size to be one of {sizes} for {card.name}, but got {form.size}.")
    if not 8 <= form.size <= 4096:
        raise UsageError(f"Expected --size to be from 8 to 4096 pixels, but got {form.size}.")
    if form.format not in FORMATS:
        hint = nearest(form.format, FORMATS)
        raise UsageError(f"Expected --format to be {' or '.join(FORMATS)}, but got {form.format!r}.{hint}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"Expected --jobs to be at least 1, but got {jobs}.")


def _write(folder: PreparedFolder, raw: _Raw, jobs: int | None) -> list[PreparedImage]:
    targets = [folder.path / folder.image(name) for name in raw.names]
    try:
        with progress_bar("Preparing images", len(targets)) as advance:
            return write_images(raw.images, targets, folder.format, jobs, advance)
    except RunError as error:
        raise RunError(
            f"{error} Free some space if the disk is full, and run the same command again: existing images are kept."
        ) from error


def _about(card: Card, form: ImageFormat, prepared: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """Return the content of `dataset.yaml`."""
    return {
        "name": card.name,
        "title": card.title,
        "task": card.task,
        "classes": list(card.classes),
        "class_titles": dict(card.classes),
        "ordinal": card.ordinal,
        "size": form.size,
        "crop": "disc of the retina" if form.fundus else "none",
        "counts": {split: {name: counts[name] for name in card.classes} for split, counts in prepared.items()},
        "published": card.published,
        "groups": card.groups,
        "licence": card.licence,
        "url": card.url,
        "citation": card.citation,
        "made_by": f"balanced-mixup {version('balanced-mixup')}",
    }
