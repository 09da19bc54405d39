"""The groups of images: one spelling of each, and groups that the names of the images contain."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.sources.distinct import distinct
from balanced_mixup.data.sources.label_names import canonical, told_apart
from balanced_mixup.errors import Problem, UsageError


def group_key(name: str) -> str:
    """Return what the spellings of a group have in common: "17", "17.0" and "017" are one group, and so are "p1" and "P1"."""
    return canonical(name).casefold()


def with_joined_spellings(manifest: Manifest) -> Manifest:
    """Return the data set with groups that differ only in spelling as one, and a warning for each of them.

    A group divided between the splits is worse than two groups taken for one, so case does not count. The joined group has the
    spelling that comes first; the others keep theirs.
    """
    if manifest.groups is None:
        return manifest
    codes, names = distinct(manifest.groups.tolist())
    joined, keys = distinct([group_key(name) for name in names])
    if len(keys) == len(names):
        return manifest
    spellings: list[list[str]] = [[] for _ in keys]
    for name, key in zip(names, joined.tolist(), strict=True):
        spellings[key].append(name)
    remedy = "Write each group in one way; if they are different groups, rename one of them."
    problems = [
        Problem("group written in several ways", f"{' and '.join(map(_visible, several))} are one group", remedy, fatal=False)
        for several in spellings
        if len(several) > 1
    ]
    groups = np.array([several[0] for several in spellings], np.str_)[joined][codes]
    return replace(manifest, groups=groups, problems=(*manifest.problems, *problems))


def _visible(name: str) -> str:
    return told_apart(name, canonical(name))


def with_groups_of_names(manifest: Manifest, pattern: str) -> Manifest:
    """Return the data set with groups from the names of its images.

    Args:
        manifest: Its own groups are replaced.
        pattern: Regular expression that is searched in each name; the group is its first parenthesis, or else all it matches.

    Raises:
        UsageError: The pattern is no regular expression.
    """
    groups = groups_of_names(manifest.images.names, pattern)
    unmatched = (row for row, group in enumerate(groups) if not group)
    problems = [
        Problem(
            "no group",
            f"{manifest.images.names[row]}: expected a name that --group-pattern {pattern!r} matches",
            "Correct the pattern; training with --exclude-bad leaves such images out.",
            (row,),
        )
        for row in unmatched
    ]
    return replace(manifest, groups=np.array(groups, np.str_), problems=(*manifest.problems, *problems))


def groups_of_names(names: Sequence[str], pattern: str) -> list[str]:
    """Return the group that `pattern` finds in each name, "" for none. UsageError if it is no regular expression."""
    try:
        search = re.compile(pattern).search
    except (re.error, RecursionError) as error:
        raise UsageError(f"Expected --group-pattern to be a regular expression, but {pattern!r} is none: {error}.") from None
    found = (search(name) for name in names)
    return ["" if match is None else (match[1] or "" if match.re.groups else match[0]) for match in found]


def group_sizes(groups: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[str]]:
    """Return the group of each row, int64 (N,), the size of each group, int64 (G,), and their names."""
    codes, names = distinct(groups)
    return codes, np.bincount(codes, minlength=len(names)), names
