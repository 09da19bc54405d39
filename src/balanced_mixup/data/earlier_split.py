"""The split of version 1, for runs and benchmarks that were started with it: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (ECML PKDD 2011), with groups as the samples and
the classes inside a group as its labels: from the rarest class on, each group that contains the class goes to the split that
still needs most images of it. It takes no account of the other classes of a group, nor of its size.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.stratification import Keys
from balanced_mixup.randomness import generator


def earlier_split(
    labels: npt.NDArray[np.int64], groups: Keys | None, fractions: Mapping[str, float], seed: int
) -> npt.NDArray[np.str_]:
    """Return the split of each image, str (N,); arguments as of `make_split`."""
    members = _members(np.arange(len(labels)) if groups is None else groups)
    contents = [Counter(labels[rows].tolist()) for rows in members]
    order = generator(seed, "split").permutation(len(members)).tolist()
    groups_of = defaultdict(list)
    for group in order:
        for label in contents[group]:
            groups_of[label].append(group)
    rarest_first = sorted(groups_of, key=lambda label: (len(groups_of[label]), label))
    # How many images, by class and in total, every split still needs; negative if it has too many.
    counts = Counter(labels.tolist())
    needs = {split: {label: share * n for label, n in counts.items()} for split, share in fractions.items()}
    totals = {split: share * len(labels) for split, share in fractions.items()}
    split_of: dict[int, str] = {}

    def place(group: int, split: str) -> None:
        split_of[group] = split
        for label, n in contents[group].items():
            needs[split][label] -= n
            totals[split] -= n

    if "train" in fractions:
        for label in rarest_first:
            if all(group not in split_of for group in groups_of[label]):
                place(groups_of[label][0], "train")
    for label in rarest_first:
        for group in groups_of[label]:
            if group not in split_of:
                # Among equals the split that needs most images in total, then the first.
                place(group, max(totals, key=lambda split: (round(needs[split][label], 6), round(totals[split], 6))))
    split = np.empty(len(labels), dtype=f"<U{max(map(len, fractions))}")
    for group, name in split_of.items():
        split[members[group]] = name
    return split


def _members(keys: Keys) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each group."""
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.split(np.argsort(group, kind="stable"), np.cumsum(counts)[:-1])
