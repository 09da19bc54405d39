"""A plan, read from YAML: data sets x methods x backbones x folds x seeds.

data:
  ham: {data: ham10000/labels.csv, label_column: dx, group_column: lesion_id}
methods:
  - instance
  - {method: balanced-mixup, alpha: [0.1, 0.2, 0.3]}
backbones: [tf_efficientnet_lite0]
folds: 5
settings: {size: 64, epochs: 6}
"""

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from balanced_mixup.benchmark.protocols import Scheme
from balanced_mixup.benchmark.variants import RESERVED, Variant, method_variants, variant_settings
from balanced_mixup.data.frames import is_frame
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError, nearest, shown
from balanced_mixup.methods import methods_with
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.identity import identity
from balanced_mixup.training.recipe import Recipe, current_settings, explain, load_yaml, make_recipe
from balanced_mixup.words import listed

NamedPrior = Literal["uniform", "train", "none"]
BenchmarkPrior = NamedPrior | dict[str, float]


class BenchmarkData(DataSettings):
    """A data set of a plan: what `bmixup train` takes, and how it is divided."""

    scheme: Scheme = Field("auto", description="`given`: its own test split; `folds`: cross-validation; `auto`: given if any.")
    fold_column: str | None = Field(None, description="Column of the table with the published fold of each image.")
    images_at_most: int | None = Field(
        None,
        ge=1,
        description="Approximate number of images to sample, stratified by class, groups kept whole; all if not given.",
    )
    prior: BenchmarkPrior = Field(
        "uniform",
        description="Class prior of the place of use: predictions of plain and mixed training corrected to it are rows of "
        "their own. `uniform`, `train`, the share of each class by its name, or `none` for no such rows.",
    )
    external: dict[str, DataSettings] = Field(
        default_factory=dict, description="Other data, by name, that every run is scored on without training."
    )


MARGIN = 1.0  # in percentage points
_LONGEST = 200  # bytes of a file name, which may have 255; a run's also has its identity and suffixes


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str | int | Mapping) else value


def _as_mapping(value: object) -> object:
    if not isinstance(value, str | Mapping | BaseModel):
        raise ValueError(f"Expected each of `data` to be a path or a mapping of settings, but got {shown(value)}.")
    return {"data": value} if isinstance(value, str) else value


def _as_method(value: object) -> object:
    if not isinstance(value, str | Mapping):
        example = "{method: mixup, alpha: 0.2}"
        raise ValueError(f"Expected each of `methods` to be a name or a mapping such as {example}, but got {value!r}.")
    return _with_text_keys(value)


def _with_text_keys(value: object) -> object:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


_Value = TypeVar("_Value")
OneOrMany = Annotated[list[_Value], BeforeValidator(_one_or_many)]

# Settings that are paths, and the test whether there is such a file.
_PATHS = {
    "data": Path.exists,
    "val_data": Path.exists,
    "test_data": Path.exists,
    "images": Path.is_dir,
    "split_file": Path.is_file,
    "weights": Path.is_file,
}


def slug(text: str) -> str:
    """Return a name that is valid on every file system."""
    return re.sub(r"[^\w.=+-]+", "_", text)


class Plan(BaseModel):
    """What is compared, on which data, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: dict[str, Annotated[BenchmarkData, BeforeValidator(_as_mapping)]] = Field(description="Data sets by name.")
    methods: OneOrMany[Annotated[str | dict[str, Any], BeforeValidator(_as_method)]] = Field(
        description="Names of methods, or mappings of `method` and settings; a list of values is expanded."
    )
    backbones: OneOrMany[str] = Field(
        default_factory=lambda: [str(Recipe.model_fields["backbone"].default)], description="Architectures of timm."
    )
    protocol: Literal["honest", "paper"] = Field("honest", description="How to split and score (`bmixup list protocols`).")
    folds: int = Field(5, ge=2, description="Folds of the cross-validation.")
    repeats: int = Field(1, ge=1, description="Repeats of the cross-validation, each with other folds.")
    seeds: OneOrMany[Annotated[int, Field(ge=0)]] = Field([0], description="Seeds; one training for each.")
    fold_seed: int = Field(0, ge=0, description="Seed of the folds.")
    settings: Annotated[dict[str, Any], BeforeValidator(_with_text_keys)] = Field(
        default_factory=dict, description="Settings of all runs, as for `bmixup train`."
    )
    baseline: str = Field("instance", description="The method that the others are compared with, by its label.")
    margin: float = Field(
        MARGIN, gt=0, le=100, description="Methods whose scores differ by at most this many percentage points are equivalent."
    )
    metrics: OneOrMany[str] = Field(
        default_factory=list, description="Scores in the tables; the paper's for ordinal and other classes if not given."
    )


def load_plan(path: Path) -> Plan:
    """Return the plan in a YAML file; paths in it start from the file's folder, where there is such a file.

    Raises:
        UsageError: The file cannot be read, or the plan is invalid; the message lists all problems.
    """
    content = load_yaml(path)
    data, methods = content.get("data"), _one_or_many(content.get("methods"))
    if isinstance(data, dict):
        content["data"] = {str(name): _located_data(entry, path.parent) for name, entry in data.items()}
    if isinstance(methods, list):
        content["methods"] = [_located(entry, path.parent) for entry in methods]
    content["settings"] = _located(content.get("settings", {}), path.parent)
    return make_plan(content)


def _located_data(entry: Any, folder: Path) -> Any:
    """Return the settings of a data set, with its external data, located."""
    entry = _located({"data": entry} if isinstance(entry, str) else entry, folder)
    if isinstance(entry, dict) and isinstance(entry.get("external"), dict):
        entry["external"] = {str(name): _located_data(other, folder) for name, other in entry["external"].items()}
    return entry


def _located(settings: Any, folder: Path) -> Any:
    """Return a copy of settings with the paths that exist in the plan's folder made absolute."""
    if not isinstance(settings, dict):
        return settings

    def locate(value: Any, is_there: Callable[[Path], bool]) -> Any:
        if isinstance(value, list):
            return [locate(each, is_there) for each in value]
        return str((folder / value).resolve()) if isinstance(value, str) and is_there(folder / value) else value

    return {name: locate(value, _PATHS[name]) if name in _PATHS else value for name, value in settings.items()}


def make_plan(content: Mapping[str, Any]) -> Plan:
    """Return the plan with these keys.

    Raises:
        UsageError: The plan is invalid; the message lists all problems.
    """
    unknown = [name for name in content if name not in Plan.model_fields]
    if unknown:
        lines = (f"Unknown key `{name}` in the plan.{nearest(name, Plan.model_fields)}" for name in unknown)
        raise UsageError("\n".join(lines))
    if frames := list(_frames(content.get("data"))):
        raise UsageError(
            f"Expected the path of a table or folder as data {' and '.join(map(repr, frames))} of the plan, but got a data "
            "frame: runs read their data in processes of their own, and when the benchmark is resumed. Write it to a file and "
            'name that: `frame.to_csv("labels.csv", index=False)`.'
        )
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain(error)) from None
    problems = list(_problems(plan))
    if problems:
        raise UsageError("\n".join(problems))
    return plan


def _frames(data: object) -> Iterator[str]:
    """Yield the names of data, at any depth, that are given as data frames."""
    for name, entry in data.items() if isinstance(data, Mapping) else ():
        if is_frame(entry) or (isinstance(entry, Mapping) and any(map(is_frame, entry.values()))):
            yield str(name)
        elif isinstance(entry, Mapping):
            yield from _frames(entry.get("external"))


def _problems(plan: Plan) -> Iterator[str]:
    for axis in ("data", "methods", "backbones", "seeds"):
        values = getattr(plan, axis)
        if not values:
            yield f"Expected `{axis}` of the plan to name at least one, but it is empty."
        for value, count in Counter(map(repr, values)).items():
            if count > 1:
                yield f"`{axis}` of the plan names {value:.200} {count} times: the runs would be the same."
    for name, entry in plan.data.items():
        if entry.fold_column is not None and entry.scheme == "given":
            yield f"Expected `fold_column` or `scheme: given` in the data {name!r}, but got both."
    yield from _problems_of_names(plan)
    for name in plan.metrics:
        if name not in METRICS:
            yield f"Expected `metrics` of the plan to be among {', '.join(METRICS)}, but got {name!r}.{nearest(name, METRICS)}"
    for name in sorted(({"method"} | RESERVED) & set(plan.settings)):
        yield f"Expected `settings` of the plan without `{name}`, which is a key of the plan itself."
    try:
        variants = method_variants(plan.methods)
        for variant in variants:
            make_recipe(variant_settings(plan.settings, variant))
    except UsageError as error:
        yield str(error)
        return
    of_methods = [key for key in current_settings(plan.settings) if key not in Recipe.model_fields and methods_with(key)]
    for key in of_methods:
        if not {str(variant.settings["method"]) for variant in variants} & set(methods_with(key)):
            owners = listed(methods_with(key))
            yield f"Expected `settings` without `{key}`, which is a setting of {owners}: no method of the plan has it."
    labels = [variant.label for variant in variants]
    longest = max(itertools.product(plan.data, labels, plan.backbones), key=lambda names: _length("-".join(names)), default=())
    if _length("-".join(longest)) > _LONGEST:
        yield (
            f"Expected names of data, method and backbone of at most {_LONGEST} bytes together, as they name a folder, "
            f"but got {' and '.join(map(repr, longest))}. A method can be given a short `label`."
        )
    if plan.baseline not in labels:
        known = ", ".join(labels)
        yield f"Expected `baseline` to be one of {known}, but got {plan.baseline!r}.{nearest(plan.baseline, labels)}"
    recipes: dict[str, str] = {}
    for variant in variants:
        same = recipes.setdefault(_training_identity(plan, variant), variant.label)
        if same != variant.label:
            yield f"The methods {same!r} and {variant.label!r} of the plan are the same training: leave one out."


def _problems_of_names(plan: Plan) -> Iterator[str]:
    for names in (list(plan.data), *(list(entry.external) for entry in plan.data.values())):
        first: dict[str, str] = {}
        for name in names:
            if not slug(name).strip("._") or not name.isprintable() or _length(name) > _LONGEST:
                yield f"Expected names of data that are valid folder names, in one line, not too long, but got {shown(name)}."
            elif (same := first.setdefault(slug(name).casefold(), name)) != name:
                yield f"Expected names of data that give different folder names, but got {same!r} and {name!r}."


def _length(name: str) -> int:
    return len(os.fsencode(slug(name)))


def _training_identity(plan: Plan, variant: Variant) -> str:
    """Return the identity of a variant's training, regardless of the data."""
    return identity(make_recipe(variant_settings(plan.settings, variant)), "")


def plan_yaml(plan: Plan) -> str:
    """Return a plan as YAML that `load_plan` reads back."""
    content = plan.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
