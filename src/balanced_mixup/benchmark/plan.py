"""A plan: data sets x methods x backbones x folds x seeds, as a YAML file says it.

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
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from balanced_mixup.benchmark.protocols import Scheme
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.methods import METHODS, get_method
from balanced_mixup.metrics import METRICS
from balanced_mixup.training.recipe import Execution, Recipe, explain, load_yaml, make_recipe


class BenchmarkData(DataSettings):
    """A data set of a plan: what `bmixup train` takes, and how it is divided."""

    scheme: Scheme = Field("auto", description="`given`: its own test part; `folds`: cross-validation; `auto`: given if any.")
    fold_column: str | None = Field(None, description="Column of the table with the published fold of each image.")
    images_at_most: int | None = Field(
        None, ge=1, description="Take about so many images, stratified by class, groups whole; all if not given."
    )
    external: dict[str, DataSettings] = Field(
        default_factory=dict, description="Other data, by name, that every run is scored on without training."
    )


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str | int | Mapping) else value


RESERVED = {"backbone", "seed", *DataSettings.model_fields}  # what has a place of its own in a plan
FOR_ALL = RESERVED | {"val_fraction", "test_fraction"}  # what cannot differ between methods that share their folds


def slug(text: str) -> str:
    """Return a name that every file system takes."""
    return re.sub(r"[^\w.=+-]+", "_", text)


def _as_mapping(value: object) -> object:
    return {"data": value} if isinstance(value, str) else value


class Plan(BaseModel):
    """What is compared, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: dict[str, Annotated[BenchmarkData, BeforeValidator(_as_mapping)]] = Field(description="Data sets by name.")
    methods: Annotated[list[str | dict[str, Any]], BeforeValidator(_one_or_many)] = Field(
        description="Names of methods, or mappings of `method` and settings; a list stands for each of its members."
    )
    backbones: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        default_factory=lambda: [str(Recipe.model_fields["backbone"].default)], description="Architectures of timm."
    )
    protocol: Literal["honest", "paper"] = Field("honest", description="How to divide and score (`bmixup list protocols`).")
    folds: int = Field(5, ge=2, description="Folds of the cross-validation.")
    repeats: int = Field(1, ge=1, description="Repeats of the cross-validation, each with other folds.")
    seeds: Annotated[list[int], BeforeValidator(_one_or_many)] = Field([0], description="Trainings of each kind.")
    fold_seed: int = Field(0, ge=0, description="Decides the folds.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings of all runs, as for `bmixup train`.")
    baseline: str = Field("instance", description="The method that the others are compared with, by its label.")
    metrics: list[str] = Field(
        default_factory=list, description="Scores in the tables; the paper's for ordinal and other classes if not given."
    )


class Cell(BaseModel):
    """One column of a method: its label and what it sets."""

    model_config = ConfigDict(frozen=True)

    label: str
    settings: dict[str, Any]


def load_plan(path: Path) -> Plan:
    """Return the plan in a YAML file; paths of data in it start from the file's folder.

    Raises:
        UsageError: The file cannot be read, or the plan is wrong; says all that is.
    """
    content = load_yaml(path)
    data = content.get("data")
    if isinstance(data, dict):
        content["data"] = {str(name): _located(entry, path.parent) for name, entry in data.items()}
    return make_plan(content)


def _located(entry: Any, folder: Path) -> Any:
    """Return the settings of a data set with paths from the plan's folder, where there is such a file."""
    entry = _as_mapping(entry)
    if not isinstance(entry, dict):
        return entry
    entry = dict(entry)
    for name in ("data", "images"):
        if isinstance(entry.get(name), str) and (folder / entry[name]).exists():
            entry[name] = str((folder / entry[name]).resolve())
    if isinstance(entry.get("external"), dict):
        entry["external"] = {name: _located(other, folder) for name, other in entry["external"].items()}
    return entry


def make_plan(content: Mapping[str, Any]) -> Plan:
    """Return the plan with these keys.

    Raises:
        UsageError: Something is wrong with it; says all that is.
    """
    unknown = [name for name in content if name not in Plan.model_fields]
    if unknown:
        lines = (f"Unknown key `{name}` in the plan.{nearest(name, Plan.model_fields)}" for name in unknown)
        raise UsageError("\n".join(lines))
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain(error)) from None
    problems = list(_problems(plan))
    if problems:
        raise UsageError("\n".join(problems))
    return plan


def _problems(plan: Plan) -> Iterator[str]:
    for axis in ("data", "methods", "backbones", "seeds"):
        values = getattr(plan, axis)
        if not values:
            yield f"Expected `{axis}` of the plan to name at least one, but it is empty."
        for value, count in Counter(map(repr, values)).items():
            if count > 1:
                yield f"`{axis}` of the plan names {value} {count} times: the runs would be the same."
    for names in (list(plan.data), *(list(entry.external) for entry in plan.data.values())):
        first: dict[str, str] = {}
        for name in names:
            if (same := first.setdefault(slug(name).casefold(), name)) != name or not slug(name).strip("._"):
                yield f"Expected names of data of which folders can be made, each another, but got {same!r} and {name!r}."
    for name in plan.metrics:
        if name not in METRICS:
            yield f"Expected `metrics` of the plan to be among {', '.join(METRICS)}, but got {name!r}.{nearest(name, METRICS)}"
    for name in sorted(({"method"} | RESERVED) & set(plan.settings)):
        yield f"Expected `settings` of the plan without `{name}`, which has a place of its own in the plan."
    try:
        cells = method_cells(plan)
        for cell in cells:
            make_recipe({**plan.settings, **cell.settings})
    except UsageError as error:
        yield str(error)
        return
    labels = [cell.label for cell in cells]
    if plan.baseline not in labels:
        known = ", ".join(labels)
        yield f"Expected `baseline` to be one of {known}, but got {plan.baseline!r}.{nearest(plan.baseline, labels)}"
    recipes: dict[str, str] = {}
    for cell in cells:
        same = recipes.setdefault(_meaning(plan, cell), cell.label)
        if same != cell.label:
            yield f"The methods {same!r} and {cell.label!r} of the plan are the same training: leave one out."


def _meaning(plan: Plan, cell: Cell) -> str:
    """Return what decides a training, without the settings that its method does not use."""
    recipe = make_recipe({**plan.settings, **cell.settings})
    options = {option for method in METHODS.values() for option in method.options} - set(METHODS[recipe.method].options)
    return recipe.model_copy(update=dict.fromkeys(options)).to_yaml()


def method_cells(plan: Plan) -> list[Cell]:
    """Return the methods of a plan, each list of values multiplied out, with labels such as "balanced-mixup alpha=0.1".

    Raises:
        UsageError: A method or setting is unknown, or two have the same label.
    """
    cells = []
    for entry in plan.methods:
        entry = {"method": entry} if isinstance(entry, str) else dict(entry)
        given = entry.pop("label", None)
        name = get_method(str(entry.pop("method", None))).name
        for key, values in entry.items():
            if key in FOR_ALL:
                raise UsageError(f"Expected no `{key}` in the method {name}: it is the same for all methods of a plan.")
            if values == []:
                raise UsageError(f"Expected at least one value of `{key}` in the method {name}, but the list is empty.")
            if key not in Recipe.model_fields or key in Execution.model_fields:
                raise UsageError(f"Unknown setting `{key}` of the method {name}.{nearest(key, Recipe.model_fields)}")
        axes = [[(key, value) for value in (values if isinstance(values, list) else [values])] for key, values in entry.items()]
        for chosen in itertools.product(*axes):
            told = (pair for pair, axis in zip(chosen, axes, strict=True) if given is None or len(axis) > 1)
            label = " ".join([str(given or name), *(f"{key}={value}" for key, value in told)])
            cells.append(Cell(label=label, settings={"method": name, **dict(chosen)}))
    for label, count in Counter(cell.label for cell in cells).items():
        if count > 1:
            raise UsageError(f"`methods` of the plan has {label!r} {count} times: the runs would be the same.")
    return cells


def plan_yaml(plan: Plan) -> str:
    """Return a plan as YAML that `load_plan` reads back."""
    content = plan.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
