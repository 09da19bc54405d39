"""Settings files: a strict subset of YAML."""

from pathlib import Path
from typing import Any

import yaml

from balanced_mixup.errors import UsageError, human_bytes, shown

_MOST_BYTES = 10 * 2**20
_MOST_VALUES = 100_000  # of a file, each alias counted as what it stands for
_MOST_DIGITS = 100


class _SettingsLoader(yaml.SafeLoader):
    """Reads strings (including dates), numbers, lists and mappings, without recursion or repeated keys.

    Aliases are allowed, but not in a number that would fill the memory ("billion laughs").
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception:  # a tag that does not fit its value, such as `!!bool x`, raises whatever the conversion does
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"{shown(node.value)} cannot be read as {tag}; write a text in quotes, without a tag"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def get_single_node(self) -> yaml.Node | None:
        """Return the document, after a count of its values."""
        node = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values in a node; `known` are those of nodes counted before, 0 for those around this one."""
    if (count := known.get(id(node))) == 0:
        raise yaml.constructor.ConstructorError(None, None, "the value contains itself", node.start_mark)
    if count is None:
        known[id(node)] = 0
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        count = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_count(part, known) for part in parts))
        if count > _MOST_VALUES:
            problem = f"it holds more than {_MOST_VALUES:,} values, its aliases written out"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        known[id(node)] = count
    return count


def _mapping(loader: _SettingsLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[object, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in lines:
                problem = f"the key {shown(key.value)} is repeated, after line {lines[key.value]}; remove one of the two"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


def _list(loader: _SettingsLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _number(loader: _SettingsLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > _MOST_DIGITS:
        problem = f"a number of {len(node.value):,} digits; write a text in quotes"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return int(loader.construct_yaml_int(node))


def _text(loader: _SettingsLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _refuse(loader: _SettingsLoader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(None, None, f"the YAML tag {node.tag!r} is not supported", node.start_mark)


_SettingsLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_SettingsLoader.add_constructor("tag:yaml.org,2002:seq", _list)
_SettingsLoader.add_constructor("tag:yaml.org,2002:int", _number)
_SettingsLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)
for _kind in ("binary", "set", "omap", "pairs"):
    _SettingsLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refuse)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file.

    Raises:
        UsageError: The file cannot be read, is too large, has a key twice, or is not a mapping from names to settings.
    """
    try:
        with path.open("rb") as file:  # can be a pipe
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Expected `{path}` to be a readable YAML file, but: {error}.") from None
    if len(content) > _MOST_BYTES:
        raise UsageError(f"Expected `{path}` to be a YAML file of at most {human_bytes(_MOST_BYTES)}, but it is larger.")
    try:
        settings = yaml.load(text, _SettingsLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"Expected `{path}` to be YAML, but: {error}") from None
    except (ValueError, OverflowError):  # of an escape such as "\\UFFFFFFFF"
        raise UsageError(f"Expected `{path}` to be YAML, but a text in it has an escape that is no character.") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"Expected `{path}` to hold settings as `key: value`, but got a {type(settings).__name__}.")
    for key in settings:
        if not isinstance(key, str):
            raise UsageError(
                f"Expected the names of settings in `{path}` to be texts, but got {shown(key)}, which YAML reads as a "
                f"{type(key).__name__}. Write it in quotes."
            )
    return settings
