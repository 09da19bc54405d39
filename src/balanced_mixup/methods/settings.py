"""Settings that several methods have."""

from typing import Annotated, Literal

from pydantic import Field

Alpha = Annotated[
    float,
    Field(
        gt=0,
        le=100,
        description="Mixing weights come from Beta(alpha, 1) in balanced-mixup, where their mean is alpha / (1 + alpha), and "
        "from Beta(alpha, alpha) in the others; where boxes are pasted they are their areas.",
    ),
]
WeightPer = Annotated[
    Literal["batch", "sample"], Field(description="One mixing weight (or box) for each batch (as in the paper) or each sample.")
]
