"""Linear probe."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class LinearProbe(Method):
    """Plain training of the head alone, on features of the pretrained backbone (Alain and Bengio, 2016)."""

    title: ClassVar[str] = "Linear probe"
    name: Literal["linear-probe"] = "linear-probe"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the head; `--train head` does the same for any method."""
        return (Stage(data.instance_branch(), trains="head"),)
