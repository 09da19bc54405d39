"""Settings files: a strict subset of YAML."""

from pathlib import Path
from typing import Any

import yaml

from balanced_mixup.errors import UsageError


class _SettingsLoader(yaml.SafeLoader):
    """Reads strings (including dates), numbers, lists and mappings, without recursion or repeated keys."""


def _mapping(loader: _SettingsLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[object, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in lines:
                problem = f"the key {key.value!r} is repeated, after line {lines[key.value]}; remove one of the two"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


def _list(loader: _SettingsLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _text(loader: _SettingsLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _refuse(loader: _SettingsLoader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(None, None, f"the YAML tag {node.tag!r} is not supported", node.start_mark)


_SettingsLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_SettingsLoader.add_constructor("tag:yaml.org,2002:seq", _list)
_SettingsLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)
for _kind in ("binary", "set", "omap", "pairs"):
    _SettingsLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refuse)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file.

    Raises:
        UsageError: The file cannot be read, has a key twice, or is not a mapping of settings.
    """
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _SettingsLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Expected `{path}` to be a readable YAML file, but: {error}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected `{path}` to be YAML, but: {error}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"Expected `{path}` to hold settings as `key: value`, but got a {type(settings).__name__}.")
    return {str(key): value for key, value in settings.items()}
