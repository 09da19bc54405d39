"""Objects that other distributions register through entry points."""

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

T = TypeVar("T")


def load_plugins(group: str, kind: type[T], taken: Collection[str]) -> tuple[dict[str, T], dict[str, str]]:
    """Load the objects of an entry-point group; each has a `name`, which has to be that of its entry point.

    Args:
        group: Such as "balanced_mixup.sources".
        kind: Class of the objects.
        taken: Names that are in use already.

    Returns:
        The objects by name, and what is wrong with the entry points that are unusable, by name.
    """
    found: dict[str, T] = {}
    faults: dict[str, str] = {}
    for entry in entry_points(group=group):
        loaded = _load(entry, kind)
        if isinstance(loaded, kind) and entry.name in {*taken, *found}:
            loaded = "this name is in use already"
        if isinstance(loaded, kind):
            found[entry.name] = loaded
        else:
            distribution = entry.dist.name if entry.dist else "an unknown distribution"
            faults[entry.name] = f"The plugin {entry.name!r} of {distribution} ({group}) cannot be used: {loaded}."
    return found, faults


def _load(entry: EntryPoint, kind: type[T]) -> T | str:
    """Return the object, or what is wrong with it."""
    try:
        loaded = entry.load()
    except Exception as error:  # it runs foreign code
        return f"{entry.value} cannot be loaded ({error!r})"
    if not isinstance(loaded, kind):
        return f"expected {entry.value} to be a {kind.__name__}, but got {loaded!r}"
    if (name := getattr(loaded, "name", None)) != entry.name:
        return f"expected {entry.value} to have the name of its entry point, but got {name!r}"
    return loaded
