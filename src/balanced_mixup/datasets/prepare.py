"""From the raw files of a published data set to a folder of images and labels that can be trained on."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from balanced_mixup.data.images import FileImages
from balanced_mixup.data.manifest import Images
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import npz
from balanced_mixup.datasets import medmnist
from balanced_mixup.datasets.card import Card
from balanced_mixup.datasets.cards import get_card
from balanced_mixup.datasets.matching import match
from balanced_mixup.datasets.pictures import FORMATS, Look, Made, make_all
from balanced_mixup.datasets.prepared_folder import PROBLEMS, Folder
from balanced_mixup.datasets.raw import scan
from balanced_mixup.datasets.raw_labels import Finding, Labels, Row, read_labels
from balanced_mixup.errors import DataError, Problem, RunError, UsageError, nearest
from balanced_mixup.progress import progress_bar

_FETCH = "Fetch the images again: no archive was unpacked whole, or the disk is damaged."


@dataclass(frozen=True)
class Outcome:
    """A prepared data set.

    Args:
        card: What it is.
        folder: Where it is.
        labelled: Images of each part and class in the label files.
        prepared: Images of each part and class in the folder.
        made: Images that were made just now; the others were there.
        findings: Everything that is not as published.
        skipped: Number of files in raw folders that are none of this data set's.
    """

    card: Card
    folder: Folder
    labelled: Mapping[str, Counter[str]]
    prepared: Mapping[str, Counter[str]]
    made: int
    findings: tuple[Finding, ...]
    skipped: Mapping[str, int]

    @property
    def kinds(self) -> Counter[str]:
        """How many findings there are of each kind."""
        return Counter(finding.kind for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the single findings, which `problems.csv` has, as plain numbers and strings, for JSON."""
        return {
            "name": self.card.name,
            "out": str(self.folder.path),
            "size": self.folder.look.size,
            "images": {part: self.prepared[part].total() for part in self.prepared},
            "published": self.card.published,
            "made_now": self.made,
            "classes": {
                name: {
                    part: {"labelled": self.labelled[part][name], "prepared": self.prepared[part][name]}
                    for part in self.labelled
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
) -> Outcome:
    """Prepare a published data set; images that are there already are not made again.

    Args:
        name: Of the data set, a key of `CARDS`.
        root: Folder with its raw files as they were published (MedMNIST: the npz or its folder; None: download it).
        out: Folder for the result: new, empty, or begun before with the same settings.
        size: Side of the images in pixels; the card's own if None.
        image_format: "jpg" or "png"; the card's own if None.
        jobs: Processes; one a core if None.

    Raises:
        UsageError: The name, a setting or a folder is wrong.
        DataError: There are no label files or no images.
        RunError: The disk is full, or a package or a download failed.
    """
    card = get_card(name)
    look = Look(card.default_size if size is None else size, image_format or card.default_format, card.fundus)
    _check(card, look, jobs)
    folder = Folder(out, name, look)
    folder.check()
    source = _npz_source(card, root, look.size) if card.sizes else _raw_source(card, root, folder)
    if not source.names:
        raise _no_images(card, root, len(source.labels.rows))
    rows = {name: source.labels.rows[name] for name in source.names}
    findings = [*source.labels.findings, *source.findings]
    with folder.opened():
        made = _make(folder, source, jobs)
        for name, one in zip(source.names, made, strict=True):
            if not one.there:
                findings.append(Finding("unreadable image", rows.pop(name).image, one.fault))
            elif one.fault:
                findings.append(Finding("no retina disc", rows[name].image, one.fault))
        if not rows:
            unreadable = [finding for finding in findings if finding.kind == "unreadable image"]
            raise DataError([Problem(finding.kind, finding.message, _FETCH) for finding in unreadable])
        prepared = _count(rows)
        folder.write(rows, findings, _about(card, look, prepared))
    new = sum(one.new for one in made)
    return Outcome(card, folder, source.labels.counts, prepared, new, tuple(findings), source.skipped)


class _Source(NamedTuple):
    """What there is to prepare: the labels, the keys of the N images that are there, these images, and what is wrong."""

    labels: Labels
    names: list[str]
    images: Images
    findings: list[Finding]
    skipped: Mapping[str, int]


def _raw_source(card: Card, root: Path | None, folder: Folder) -> _Source:
    """Look at the raw folder of a data set of image files."""
    if root is None or not root.is_dir():
        got = "none" if root is None else f"{str(root)!r}, which {'is a file' if root.exists() else 'does not exist'}"
        raise UsageError(
            f"Expected --root, the folder with {card.title} as it was published, but got {got}. Get it from {card.url} and "
            f"unpack it there: {card.layout}."
        )
    raw = scan(root, card)
    labels = read_labels(card, raw)

    def prepared(name: str) -> bool:
        return (folder.path / folder.image(name)).exists()

    paths, findings = match(card, labels, raw, prepared)
    names = [name for name in labels.rows if name in paths or prepared(name)]
    images = FileImages(root, [labels.rows[name].image for name in names], [str(paths.get(name, "")) for name in names])
    return _Source(labels, names, images, findings, raw.skipped)


def _npz_source(card: Card, root: Path | None, size: int) -> _Source:
    """Look at an npz of MedMNIST; its images are named train_00000, ..."""
    path = medmnist.npz_of(card, root, size)
    manifest = npz.load(DataSettings(data=str(path), classes=tuple(card.classes)))
    height, width = manifest.images.read(0).shape[:2]
    if (height, width) != (size, size):
        message = f"{path}: expected images of {size} x {size} pixels, got {width} x {height}"
        raise DataError([Problem("wrong size", message, "Name the npz of this size with --root, or its size with --size.")])
    if manifest.problems:
        raise DataError(manifest.problems)
    split = [] if manifest.split is None else manifest.split.tolist()
    labels = Labels()
    for name, label, part in zip(manifest.images.names, manifest.labels.tolist(), split, strict=True):
        labels.rows[name] = Row(name, manifest.classes[label], part, "", {}, path.name)
    labels.counts = _count(labels.rows)
    labels.findings = [
        Finding("label count", "", f"{part}: expected {published} images, got {labels.counts[part].total()}")
        for part, published in card.published.items()
        if labels.counts[part].total() != published
    ]
    return _Source(labels, list(labels.rows), manifest.images, [], {})


def _check(card: Card, look: Look, jobs: int | None) -> None:
    if card.sizes and look.size not in card.sizes:
        raise UsageError(
            f"Expected --size to be one of {', '.join(map(str, card.sizes))} for {card.name}, but got {look.size}."
        )
    if not 8 <= look.size <= 4096:
        raise UsageError(f"Expected --size to be from 8 to 4096 pixels, but got {look.size}.")
    if look.format not in FORMATS:
        hint = nearest(look.format, FORMATS)
        raise UsageError(f"Expected --format to be {' or '.join(FORMATS)}, but got {look.format!r}.{hint}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"Expected --jobs to be at least 1, but got {jobs}.")


def _no_images(card: Card, root: Path | None, labelled: int) -> DataError:
    message = f"{root}: expected images of {card.title}, got none of the {labelled} that its label files name"
    remedy = f"Unpack the archives first. Get them from {card.url}; expected: {card.layout}."
    return DataError([Problem("no images", message, remedy)])


def _make(folder: Folder, source: _Source, jobs: int | None) -> list[Made]:
    targets = [folder.path / folder.image(name) for name in source.names]
    try:
        with progress_bar("Preparing images", len(targets)) as advance:
            return make_all(source.images, targets, folder.look, jobs, advance)
    except RunError as error:
        raise RunError(
            f"{error} Make room if the disk is full, and give the same command again: what is there is not made again."
        ) from error


def _count(rows: Mapping[str, Row]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows.values():
        counts[row.part][row.label] += 1
    return counts


def _about(card: Card, look: Look, prepared: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """Return what `dataset.yaml` says."""
    return {
        "name": card.name,
        "title": card.title,
        "task": card.task,
        "classes": list(card.classes),
        "class_titles": dict(card.classes),
        "ordinal": card.ordinal,
        "size": look.size,
        "crop": "disc of the retina" if look.fundus else "none",
        "counts": {part: {name: counts[name] for name in card.classes} for part, counts in prepared.items()},
        "published": card.published,
        "groups": card.groups,
        "licence": card.licence,
        "url": card.url,
        "citation": card.citation,
        "made_by": f"balanced-mixup {version('balanced-mixup')}",
    }
