"""The flags of `bmixup train`: the fields of the recipe, and those of every method, grouped by method."""

from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from balanced_mixup.methods import METHODS, methods_with
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.words import listed

_MOST_OWNERS = 3  # that fit into the title of a group


def _flags() -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, field in Recipe.model_fields.items():
        fields[name] = (field.annotation, field)
    method = Field(Recipe().method.name, description=Recipe.model_fields["method"].description)
    fields["method"] = (str, method)
    for method_class in METHODS.values():
        for name, field in method_class.model_fields.items():
            if name != "name" and name not in fields:
                fields[name] = (_in_group(name, field), field)
    return create_model("Flags", __config__=ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False), **fields)


def _recipe_flags() -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in Recipe.model_fields.items() if name != "method"
    }
    return create_model("RecipeFlags", __config__=ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False), **fields)


def _in_group(name: str, field: FieldInfo) -> Any:
    owners = methods_with(name)
    help_text = field.description or ""
    if len(owners) == len(METHODS):
        title = "Settings of every method"
    elif len(owners) > _MOST_OWNERS:
        title, help_text = "Settings of several methods", f"{help_text} Of {listed(owners)}."
    else:
        title = f"Settings of the method{'s' if len(owners) > 1 else ''} {listed(owners)}"
    return Annotated[field.annotation, Parameter(group=Group(title, sort_key=1), help=help_text)]


Flags = _flags()
RecipeFlags = _recipe_flags()  # without the method and its settings
