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
Beta = Annotated[float, Field(ge=0, lt=1, description="0 weights all classes equally; towards 1 by inverse frequency.")]
HeadEpochs = Annotated[int, Field(ge=1, description="Epochs of the stage that trains the head alone.")]
Margin = Annotated[float, Field(ge=0, description="Margin of the rarest class, as a cosine.")]
SmoothHead = Annotated[float, Field(ge=0, le=1, description="Share of a label spread over all classes, most frequent class.")]
SmoothTail = Annotated[float, Field(ge=0, le=1, description="Share of a label spread over all classes, rarest class.")]
Tau = Annotated[float, Field(ge=0, description="Factor of the logarithm of class frequency; 0 is none, 1 makes classes equal.")]
WeightPer = Annotated[
    Literal["batch", "sample"], Field(description="One mixing weight (or box) for each batch (as in the paper) or each sample.")
]
