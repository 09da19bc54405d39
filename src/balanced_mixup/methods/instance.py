"""Instance sampling: plain training."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class Instance(Method):
    """Each image once per epoch (q = 1): plain training."""

    title: ClassVar[str] = "Instance-sampling"
    correctable: ClassVar[bool] = True
    name: Literal["instance"] = "instance"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of cross-entropy on plain sampling."""
        return (Stage(data.instance_branch()),)
