"""What the columns of a table of predictions are; flags of `bmixup evaluate`, and keywords of `balanced_mixup.evaluate`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from balanced_mixup.errors import UsageError
from balanced_mixup.training.recipe import explain

Scale = Literal["probabilities", "logits", "independent"]


class TableFormat(BaseModel):
    """How predictions of another program are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name_column: str | None = Field(
        None, description="Column with the name of the image; that of the labels, or `image`, if not given."
    )
    prefix: str | None = Field(
        None,
        description="What stands before the class in the names of the columns with its scores, such as `prob_`; `p_`, as "
        "`bmixup predict` writes it, or nothing, if not given.",
    )
    prediction_column: str | None = Field(
        None,
        description="Column with the predicted class, for predictions without scores; `prediction` if not given.",
    )
    fold_column: str | None = Field(
        None, description="Column with the fold of a benchmark, such as r0f3 (or 3, of a single repeat); `fold` if not given."
    )
    scores: Scale = Field(
        "probabilities",
        description="What the scores of the classes are: probabilities (their sum is 1), logits (a softmax makes them "
        "probabilities), or independent, each class against the rest, such as sigmoid outputs (divided by their sum).",
    )


def make_format(columns: Mapping[str, Any]) -> TableFormat:
    """Return the format with these fields. UsageError for unknown ones and wrong values, all in one message."""
    try:
        return TableFormat.model_validate(dict(columns))
    except ValidationError as error:
        raise UsageError(explain(error)) from None
