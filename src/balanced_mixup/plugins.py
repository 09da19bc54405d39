"""Methods, metrics, data sources and backbones of other distributions, found by their entry points.

A distribution names them in its pyproject.toml; `examples/plugin` adds one of each:

    [project.entry-points."balanced_mixup.methods"]
    my-method = "my_package.my_method:MyMethod"
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeVar

from balanced_mixup.errors import UsageError

log = logging.getLogger("balanced_mixup")

Kind = Literal["methods", "metrics", "sources", "backbones"]
T = TypeVar("T")


def load_plugins(
    kind: Kind, expected: type[T], taken: Collection[str], name_of: Callable[[T], object] | None = None
) -> tuple[dict[str, T], dict[str, str]]:
    """Load the objects of the entry-point group `balanced_mixup.<kind>`.

    An unusable one is skipped with a warning that names its distribution.

    Args:
        kind: The kind of objects.
        expected: Class of the objects.
        taken: Names that are in use already.
        name_of: Returns the name of an object, which must be that of its entry point; None if it has none.

    Returns:
        The objects by name, and the faults of the unusable ones by name.
    """
    found: dict[str, T] = {}
    faults: dict[str, str] = {}
    for entry in entry_points(group=f"balanced_mixup.{kind}"):
        loaded, fault = _load(entry, expected)
        if loaded is not None and name_of is not None and name_of(loaded) != entry.name:
            fault = f"expected {entry.value} to have the name of its entry point, but got {name_of(loaded)!r}"
        elif entry.name in {*taken, *found}:
            fault = "this name is in use already"
        if loaded is not None and not fault:
            found[entry.name] = loaded
            continue
        distribution = entry.dist.name if entry.dist else "an unknown distribution"
        faults[entry.name] = f"The plugin {entry.name!r} of {distribution} (balanced_mixup.{kind}) cannot be used: {fault}."
        log.warning("%s", faults[entry.name])
    return found, faults


def _load(entry: EntryPoint, expected: type[T]) -> tuple[T | None, str]:
    """Return the object, or None and its fault."""
    try:
        loaded = entry.load()
    except Exception as error:  # whatever foreign code raises when it is imported
        return None, f"{entry.value} cannot be loaded ({error!r})"
    if not isinstance(loaded, expected):
        return None, f"expected {entry.value} to be a {expected.__name__}, but got {loaded!r}"
    return loaded, ""


class Registry(Mapping[str, T]):
    """Objects by name: those of this package, then those of other distributions, imported on first access."""

    def __init__(self, kind: Kind, expected: type[T], name_of: Callable[[T], str]) -> None:
        """Args: kind, expected: As for `load_plugins`. name_of: Returns the name of an object."""
        self._kind: Kind = kind
        self._expected, self._name_of = expected, name_of
        self._objects: dict[str, T] = {}
        self._complete = False

    def add(self, item: T) -> None:
        """Register an object. UsageError where another one has its name."""
        name = self._name_of(item)
        if (other := self._objects.setdefault(name, item)) is not item:
            raise UsageError(f"Expected {self._kind} with unique names, but {name!r} is taken by {other!r}.")

    def _all(self) -> Mapping[str, T]:
        if not self._complete:
            self._complete = True
            taken = tuple(self._objects)  # a plugin that registers itself on import does not conflict with itself
            self._objects |= load_plugins(self._kind, self._expected, taken, self._name_of)[0]
        return self._objects

    def __getitem__(self, name: str) -> T:
        """Return the object of that name."""
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._all())

    def __len__(self) -> int:
        """Number of objects."""
        return len(self._all())
