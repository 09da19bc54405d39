"""Class sampling: oversampling of rare classes."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class ClassSampling(Method):
    """Each class equally often (q = 0): oversampling."""

    title: ClassVar[str] = "Class-sampling"
    name: Literal["class"] = "class"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of cross-entropy on class sampling."""
        return (Stage(data.class_branch()),)
