"""Progressively balanced sampling."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class Progressive(Method):
    """From plain to class sampling over the epochs (Kang et al., ICLR 2020)."""

    title: ClassVar[str] = "Progressive"
    name: Literal["progressive"] = "progressive"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of cross-entropy on progressively balanced sampling."""
        return (Stage(data.progressive_branch()),)
