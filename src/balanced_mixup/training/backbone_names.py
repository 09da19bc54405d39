"""The names of backbones: those of other distributions, and timm's, which are read from its source.

Importing timm imports torch and torchvision, which takes seconds; a misspelt name is refused before that, and all are listed.
"""

import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from balanced_mixup.errors import UsageError, nearest, shown
from balanced_mixup.plugins import load_plugins

if TYPE_CHECKING:
    from torch import nn

_MODEL = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)", re.MULTILINE)
_RENAMED = re.compile(r"^register_model_deprecations\(\s*__name__,\s*\{(.*?)\}\s*\)", re.MULTILINE | re.DOTALL)
_OLD_NAME = re.compile(r"^\s*['\"](\w+)['\"]\s*:", re.MULTILINE)


@cache
def plugin_backbones() -> "dict[str, Callable[..., nn.Module]]":
    """Return the backbones of other distributions: by name, functions of `size` and `weights` that return a module."""
    return load_plugins("backbones", Callable, ())[0]  # type: ignore[arg-type]  # an abstract class is a class, too


def architectures() -> list[str]:
    """Return the names of timm's architectures, without weights tags, in its order (b8 before b16)."""
    found = _in_source()
    if found is None:
        import timm

        return list(timm.list_models())
    return sorted(found[0], key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def check_name(name: str, what: str = "`backbone`") -> None:
    """Raise UsageError where neither timm nor a plugin has a backbone `name` (timm's with or without a tag after a dot).

    Names that timm would look up elsewhere (`hf-hub:`, `local-dir:`, a path) are none. `what` it is in the message.
    """
    if name in (plugins := plugin_backbones()):
        return
    architecture, _, tag = name.partition(".")
    if not _is_architecture(architecture):
        known = [*architectures(), *plugins]
        raise UsageError(f"Expected {what} to be an architecture of timm, but got {shown(name)}.{nearest(name, known)}")
    if not tag:
        return
    import timm

    tags = [pretrained.partition(".")[2] for pretrained in timm.list_pretrained(f"{architecture}.*")]
    if tag not in tags:
        raise UsageError(
            f"Expected the weights tag of {architecture} to be one of {', '.join(tags) or 'none'}, but got {shown(tag)}."
            + nearest(tag, tags)
        )


def _is_architecture(name: str) -> bool:
    found = _in_source()
    if found is not None and "timm" not in sys.modules:
        return any(name in names for names in found)
    import timm  # it has models that a program has registered, too

    return bool(timm.is_model(name))


@cache
def _in_source() -> tuple[frozenset[str], frozenset[str]] | None:
    """Return timm's architectures, and its old names of some; None where its source is not written as expected."""
    spec = find_spec("timm")
    models, renamed = set[str](), set[str]()
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in sorted((Path(folder) / "models").rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            found, tables = _MODEL.findall(text), _RENAMED.findall(text)
            calls = len(re.findall(r"^register_model_deprecations\(", text, re.MULTILINE))
            if len(found) != len(re.findall(r"^@register_model\b", text, re.MULTILINE)) or len(tables) != calls:
                return None
            models.update(found)
            renamed.update(old for table in tables for old in _OLD_NAME.findall(table))
    return (frozenset(models), frozenset(renamed)) if models else None
