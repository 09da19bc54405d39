"""A method of two stages: plain training, then a new head on class sampling (in the manner of cRT, Kang et al., ICLR 2020)."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup.methods import Instance, Method, Stage, TrainSet


class Decoupled(Method):
    """Plain training, then a new head alone by class sampling (after Kang et al., ICLR 2020)."""

    title: ClassVar[str] = "Decoupled"
    name: Literal["decoupled"] = "decoupled"
    head_epochs: int = Field(10, ge=1, description="Epochs of the second stage, on features that are computed once.")

    def base(self) -> Method:
        """Return plain training: a benchmark trains it once for all methods that start from it."""
        return Instance()

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return the second stage."""
        return (Stage(data.class_branch(), epochs=self.head_epochs, trains="head", new_head=True, name="head"),)
