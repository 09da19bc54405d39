"""Square-root sampling: half-way between instance and class sampling."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class SqrtSampling(Method):
    """Classes by the square root of their size (q = 1/2)."""

    title: ClassVar[str] = "Sqrt-sampling"
    name: Literal["sqrt"] = "sqrt"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of cross-entropy on square-root sampling."""
        return (Stage(data.class_branch(0.5)),)
