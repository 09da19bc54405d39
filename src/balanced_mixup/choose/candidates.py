"""Which methods can be chosen, how they are screened, and which of several equally good ones is the simplest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.choose.record import method_of
from balanced_mixup.errors import UsageError
from balanced_mixup.methods import METHODS, TrainSet, make_method
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import check_classes, segments_of

PLAIN = "instance"
_NO_CANDIDATES = ("combined",)  # a way to name a combination, by itself plain training


def candidates(methods: Sequence[str], *, ordinal: bool) -> list[str]:
    """Return the methods to choose from: those named, or all that fit the classes; plain training is always one.

    Raises:
        UsageError: There is no such method, or it does not fit the classes.
    """
    for name in methods:
        check_classes(make_method(name, {}), ordinal=ordinal)
    every = (name for name in METHODS if name not in _NO_CANDIDATES and (ordinal or not make_method(name, {}).head().ordinal))
    return list(dict.fromkeys([PLAIN, *(methods or every)]))


def not_screened(
    methods: Iterable[str], settings: Mapping[str, Any], labels: npt.NDArray[np.int64], classes: int
) -> dict[str, str]:
    """Return the methods that cannot train the head alone on frozen features, each with the reason.

    Args:
        methods: Their names.
        settings: Of all trainings.
        labels: int64 (N,), of images that are trained on.
        classes: K.
    """
    found = {}
    for name in methods:
        recipe = make_recipe(settings, {"method": name})
        try:
            segments_of(recipe.method, TrainSet(labels, classes, recipe.epochs, recipe.seed), head_only=True)
        except UsageError as error:
            found[name] = str(error)
    return found


def starts_from_plain(method: str) -> bool:
    """Return whether a method continues from a plain training, which is then trained once for all of them."""
    base = make_method(method, {}).base()
    return base is not None and base == make_method(PLAIN, {})


def simplest(labels: Sequence[str]) -> str:
    """Return the simplest of some candidates.

    Plain training is simpler than the same corrected to another class prior, that than any other method of one stage, and these
    than methods that start from another one's training; else the order is that of `bmixup list methods`.
    """
    order = list(METHODS)

    def complexity(label: str) -> tuple[bool, bool, bool, int]:
        method = method_of(label)
        return method != PLAIN, make_method(method, {}).base() is not None, label != method, order.index(method)

    return min(labels, key=complexity)
