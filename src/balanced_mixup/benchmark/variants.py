"""The methods of a plan: names, or mappings of settings whose lists are expanded."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.methods import get_method, methods_with
from balanced_mixup.training.recipe import Execution, Recipe, current_settings, known_settings
from balanced_mixup.words import listed

RESERVED = {"backbone", "seed", *DataSettings.model_fields}  # set elsewhere in a plan
_SHARED = RESERVED | {"val_fraction", "test_fraction", "split_version"}  # cannot differ between methods that share their folds


@dataclass(frozen=True)
class Variant:
    """One row of a comparison: a method with its settings.

    label: Its name in tables. settings: As for `train`, with "method" by its name.
    """

    label: str
    settings: Mapping[str, Any]


def method_variants(methods: Sequence[str | Mapping[str, Any]]) -> list[Variant]:
    """Return the methods of a plan, each list of values expanded, with labels such as "balanced-mixup alpha=0.1".

    Raises:
        UsageError: A method, setting or label is not allowed, or two have the same label.
    """
    variants = [variant for entry in methods for variant in _variants({"method": entry} if isinstance(entry, str) else entry)]
    for label, count in Counter(variant.label for variant in variants).items():
        if count > 1:
            raise UsageError(f"`methods` of the plan has {label!r} {count} times: the runs would be the same.")
    return variants


def _variants(entry: Mapping[str, Any]) -> list[Variant]:
    method = get_method(str(entry.get("method")))
    name = str(entry.get("method"))
    settings = current_settings({key: value for key, value in entry.items() if key not in ("method", "label")})
    for key, values in settings.items():
        if key in _SHARED:
            raise UsageError(f"Expected no `{key}` in the method {name}: it is the same for all methods of a plan.")
        if values == []:
            raise UsageError(f"Expected at least one value of `{key}` in the method {name}, but the list is empty.")
        if key not in method.model_fields and (owners := methods_with(key)):
            raise UsageError(f"`{key}` is a setting of {listed(owners)}, not of the method {name}.")
        if key not in known_settings() or key in Execution.model_fields:
            raise UsageError(f"Unknown setting `{key}` of the method {name}.{nearest(key, known_settings())}")
    label = _label(entry, name)
    axes = [[(key, value) for value in (values if isinstance(values, list) else [values])] for key, values in settings.items()]
    variants = []
    for chosen in itertools.product(*axes):
        shown = (pair for pair, axis in zip(chosen, axes, strict=True) if "label" not in entry or len(axis) > 1)
        full = " ".join([label, *(f"{key}={value}" for key, value in shown)])
        variants.append(Variant(full, {"method": name, **dict(chosen)}))
    return variants


def _label(entry: Mapping[str, Any], name: str) -> str:
    label = entry.get("label", name)
    if isinstance(label, bool) or not isinstance(label, str | int | float) or not str(label).isprintable() or label == "":
        raise UsageError(f"Expected `label` of the method {name} to be a single line of text, but got {label!r}.")
    return str(label)


def recipe_settings(shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that all methods share, without those of methods."""
    return {key: value for key, value in current_settings(shared).items() if key in Recipe.model_fields}


def variant_settings(shared: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """Return the settings of a variant over those that all methods share, as far as its method has them."""
    name = str(variant.settings["method"])
    own = get_method(name).model_fields
    general = {
        key: value
        for key, value in current_settings(shared).items()
        if key in Recipe.model_fields or key in own or not methods_with(key)
    }
    return {**general, **variant.settings}
