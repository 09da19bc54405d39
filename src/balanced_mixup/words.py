"""Numbers and lists in sentences: "1 image", "2 classes", "a, b and 3 more"."""

from collections.abc import Sequence


def display_name(name: str) -> str:
    """Return the name of a class for use in a sentence: a number becomes "class 4"."""
    return f"class {name}" if name.replace(".", "").isdigit() else name


def counted(number: int, noun: str) -> str:
    """Return "1 image", "2,000 images", "2 classes"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def listed(parts: Sequence[str], most: int | None = None) -> str:
    """Return "a", "a and b", "a, b and c"; of more than `most` parts the first ones, "a, b and 7 more"."""
    if most is not None and len(parts) > most:
        parts = [*parts[:most], f"{len(parts) - most:,} more"]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
