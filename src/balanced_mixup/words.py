"""Numbers and lists in sentences and cells: "1 image", "2 classes", "a, b and 3 more", "0.043"."""

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


def p_value(p: float) -> str:
    """Return a p-value with the digits that matter: "<0.001", "0.004", "0.043", "0.31"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def percentage(chance: float) -> str:
    """Return a probability in per cent, "<1" and ">99" where it would round to 0 and 100."""
    shown = f"{100 * chance:.0f}"
    return {"0": "<1", "100": ">99"}.get(shown, shown)
