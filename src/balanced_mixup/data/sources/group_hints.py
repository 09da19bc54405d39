"""Suggestions of groups that nobody named: columns with repeated codes, and stems of image names (10_left, 10_right)."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import POSSIBLE_GROUPS
from balanced_mixup.data.sources.groups import group_sizes, groups_of_names
from balanced_mixup.data.sources.label_names import MISSING
from balanced_mixup.data.sources.text_table import TextTable
from balanced_mixup.errors import Problem

_REMEDY = (
    "Images of one group resemble each other: divided between training and test they make scores too good. If they are "
    "independent of each other, add --ignore-groups."
)
_GROUPS = re.compile(
    "animal|biopsy|case|donor|exam|examination|eye|family|id|individual|lesion|mouse|mrn|participant|patient|person|pid|sample|"
    "series|session|slide|smear|specimen|study|subject|video|visit"
)
_NO_GROUPS = re.compile(
    "age|area|camera|cent(er|re)|class|clinic|count|date|description|device|diameter|gender|grade|height|hospital|label|"
    "localization|location|scanner|score|sex|site|size|stage|time|type|weight|width|year"
)
_CODE = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])[\w.:/-]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")
_FILLED = 0.9  # of the cells of a column
_LARGEST = 50  # images a group, on average, of a column without a telling name
_STEMS = (r"([^/]+)_(left|right)", r"([^/]+)-(left|right)", r"([^/]+)[_-](L|R|OD|OS|l|r|od|os)\b")
_COUNTED = r"([^/]+)[_-][0-9]+"
_FOLDER = r"([^/]+)/[^/]+$"
_FOLDER_NAME = re.compile(f"({_GROUPS.pattern}|pat|sub|p|s)[_-]?[0-9]+", re.IGNORECASE)
_SCREENED = 500  # names, before a pattern is tried on all


def suggest_columns(manifest: Manifest, table: TextTable, settings: DataSettings) -> Manifest:
    """Return the manifest of a table with a warning for each other column that looks like groups, unless groups are settled."""
    if _settled(settings):
        return manifest
    used = {settings.image_column, settings.label_column, settings.split_column, *settings.label_columns}
    found = []
    for name, cells in zip(table.header, table.columns, strict=True):
        if name not in used and name not in table.unreadable and table.header.count(name) == 1:
            _, sizes, values = group_sizes(cells)
            filled = np.array([value.lower() not in MISSING for value in values])
            if sizes[filled].sum() >= _FILLED * len(cells) and _looks_like_groups(name, sizes[filled], values, manifest):
                found.append((int(filled.sum()), name))
    problems = [
        Problem(
            POSSIBLE_GROUPS,
            f"column {name!r} looks like groups: {count:,} different values for {len(table):,} images. To keep the images of "
            f"each together, add {shlex.join(('--group-column', name))}",
            _REMEDY,
            fatal=False,
        )
        for count, name in sorted(found)
    ]
    return replace(manifest, problems=(*manifest.problems, *problems))


def suggest_stems(manifest: Manifest, settings: DataSettings) -> Manifest:
    """Return a manifest with a warning if the names of its images contain groups, unless groups are settled or suggested."""
    if _settled(settings) or any(problem.kind == POSSIBLE_GROUPS for problem in manifest.problems):
        return manifest
    names = manifest.images.names
    screened = [names[row] for row in np.linspace(0, len(names) - 1, min(_SCREENED, len(names)), dtype=np.int64)]
    for pattern in (*_STEMS, _FOLDER, _COUNTED):
        if np.mean([bool(group) for group in groups_of_names(screened, pattern)]) < _FILLED:
            continue
        groups = groups_of_names(names, pattern)
        codes, sizes, values = group_sizes(groups)
        if _are_stems(pattern, codes, sizes, values, manifest):
            examples = " and ".join(repr(names[row]) for row in np.flatnonzero(codes == sizes.argmax())[:2])
            message = (
                f"the names of {len(names):,} images look like those of {len(sizes):,} groups, such as {examples}. "
                f'To keep the images of each together, add --group-pattern "{pattern}"'
            )
            return replace(manifest, problems=(*manifest.problems, Problem(POSSIBLE_GROUPS, message, _REMEDY, fatal=False)))
    return manifest


def _settled(settings: DataSettings) -> bool:
    """Return whether the settings say what the groups are, or that there are none."""
    return settings.group_column is not None or settings.group_pattern is not None or settings.ignore_groups


def _looks_like_groups(name: str, sizes: npt.NDArray[np.int64], values: Sequence[str], manifest: Manifest) -> bool:
    """Return whether the values of a column divide the images into small groups, by its name or by how they are written."""
    words = set(re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    words |= {word.removesuffix("id").removesuffix("s") for word in words}
    if any(map(_NO_GROUPS.fullmatch, words)) or len(sizes) <= len(manifest.classes) or sizes.max() < 2 or len(sizes) < 2:
        return False
    if any(map(_GROUPS.fullmatch, words)):
        return True
    codes = [bool(_CODE.fullmatch(value)) and not _DATE.fullmatch(value) for value in values[:_SCREENED]]
    many = len(sizes) >= max(10, 2 * len(manifest.classes)) and sizes.mean() <= _LARGEST
    return bool(np.mean(codes) >= _FILLED and many)


def _are_stems(
    pattern: str, codes: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], values: Sequence[str], manifest: Manifest
) -> bool:
    if sizes.max() < 2 or len(sizes) <= len(manifest.classes):
        return False
    if pattern in _STEMS:
        return int(sizes.max()) <= 20
    many = len(sizes) >= max(10, 2 * len(manifest.classes)) and sizes.mean() >= 1.5
    if pattern == _FOLDER:
        return bool(many and np.mean([bool(_FOLDER_NAME.fullmatch(value)) for value in values]) >= _FILLED)
    return bool(many)
