"""Fonts for letters that the font of the figures lacks, such as Chinese and Japanese ones: those of the system."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import font_manager, get_data_path
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

OWN = "DejaVu Sans"  # comes with matplotlib: the same everywhere
_OWN_FILE = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def use_system_fonts(figure: Figure) -> None:
    """Let the texts of a figure that have letters of other scripts use the system's fonts for them."""
    for text in figure.findobj(Text):
        if families := _fonts(_foreign(text.get_text()))[0]:
            text.set_fontfamily([OWN, *families])


def missing_letters(text: str) -> str:
    """Return the letters of a text for which no font is installed, each once."""
    return "".join(sorted(_fonts(_foreign(text))[1]))


def written(figure: Figure) -> str:
    """Return all text of a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text))


def _foreign(text: str) -> frozenset[str]:
    """Return the letters that the figures' own font lacks. (Symbols are left out: fonts with emojis cannot be drawn anyway.)"""
    known = _letters_of(_OWN_FILE)
    return frozenset(c for c in set(text) if not c.isascii() and ord(c) not in known and unicodedata.category(c)[0] == "L")


@cache
def _fonts(letters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of system fonts that together have the letters, made known to matplotlib, and the letters left over."""
    families, left = [], letters
    for path in _system_fonts() if letters else ():
        if not left:
            break
        if found := {letter for letter in left if ord(letter) in _letters_of(path)}:
            font_manager.fontManager.addfont(path)
            families.append(FT2Font(path).family_name)
            left -= found
    return tuple(families), left


def _system_fonts() -> Iterable[Path]:
    """Return the system's font files, regular weights first. (Matplotlib's own list does not notice new ones.)"""
    paths = (path for path in map(Path, font_manager.findSystemFonts()) if "lastresort" not in path.stem.lower())  # boxes alone
    return sorted(paths, key=lambda path: ("regular" not in path.stem.lower(), path.name))


@cache
def _letters_of(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a format that FreeType does not read, or a damaged file
        return frozenset()
