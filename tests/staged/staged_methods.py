"""Methods of several stages, for the tests: a distribution of its own, beside its `.dist-info`, as if it were installed."""

from typing import ClassVar, Literal

import torch
from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.heads import Cosine
from balanced_mixup.methods import Instance, Method, OptimizerSettings, Stage, register

_QUICK = OptimizerSettings(optimizer="sgd", learning_rate=0.1, momentum=0.9, schedule="constant")


@register
class Retrained(Method):
    """A new head on class sampling, behind the frozen features of plain training (Kang et al., ICLR 2020)."""

    title: ClassVar[str] = "Retrained"
    name: Literal["retrained-test"] = "retrained-test"
    head_epochs: int = Field(2, ge=1, description="Epochs of the head.")

    def base(self):
        return Instance()

    def stages(self, data):
        head = {"trains": "head", "new_head": True, "epochs": self.head_epochs, "optimizer": _QUICK, "name": "head"}
        return (Stage(data.class_branch(), **head),)


@register
class Deferred(Method):
    """Weights by effective number that come in late (Cao et al., NeurIPS 2019); the second stage goes on with the optimiser."""

    title: ClassVar[str] = "Deferred"
    name: Literal["deferred-test"] = "deferred-test"
    plain_share: float = Field(0.5, gt=0, lt=1, description="Share of the epochs before the weights come in.")

    def stages(self, data):
        return (
            Stage(data.instance_branch(), share=self.plain_share, name="plain"),
            Stage(data.instance_branch(), loss=losses.ClassBalanced(data.counts), share=1 - self.plain_share, name="weighted"),
        )


@register
class Normalised(Method):
    """The rows of the head of plain training to length 1 (Kang et al., ICLR 2020): no gradient steps of its own."""

    title: ClassVar[str] = "Normalised"
    name: Literal["normalised-test"] = "normalised-test"

    def base(self):
        return Instance()

    def finish(self, head, train, val):
        assert len(train.values) == len(train.labels) > len(val.values) == len(val.labels)
        head.weight.copy_(torch.nn.functional.normalize(head.weight.flatten(1), dim=1).reshape(head.weight.shape))


@register
class Chain(Method):
    """Everything once more behind a new cosine head (in 2020), after a base that has a base."""

    title: ClassVar[str] = "Chain"
    name: Literal["chain-test"] = "chain-test"
    keeps: ClassVar = "last"

    def base(self):
        return Retrained()

    def head(self):
        return Cosine(16.0)

    def stages(self, data):
        return (Stage(data.class_branch(0.5), new_head=True, epochs=2, optimizer=_QUICK, name="all"),)


@register
class Shifted(Method):
    """A head alone after a base that changes its model when it is trained (in 2020)."""

    title: ClassVar[str] = "Shifted"
    name: Literal["shifted-test"] = "shifted-test"

    def base(self):
        return Normalised()

    def stages(self, data):
        return (Stage(data.class_branch(), trains="head", epochs=1, name="head"),)
