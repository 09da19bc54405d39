"""The interface of a method: an object with its own settings that defines the training, stage by stage.

    @register
    class Focal(Method):
        \"\"\"Focal loss on plain sampling.\"\"\"

        name: Literal["focal"] = "focal"
        gamma: float = Field(2.0, ge=0, description="Focusing parameter.")

        def stages(self, data: TrainSet) -> tuple[Stage, ...]:
            return (Stage(data.instance_branch(), loss=losses.Focal(self.gamma)),)

A method is a single file: its flags, YAML keys and Python keywords are its fields, and training, the command line, benchmarks,
calibration, reports and the contract tests take it from the registry. Other distributions add methods by an entry point of the
group `balanced_mixup.methods`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from balanced_mixup.errors import UsageError, nearest, shown
from balanced_mixup.methods.deferral import Deferral, check_deferral
from balanced_mixup.plugins import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from balanced_mixup.heads import Head
    from balanced_mixup.losses import Loss
    from balanced_mixup.mixing import Mix
    from balanced_mixup.sampling import Branch, Probabilities

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "cyclic", "plateau", "constant"]


@dataclass(frozen=True)
class TrainSet:
    """The training images as a method sees them when it defines its stages.

    Args:
        labels: int64 (N,), the class of each.
        num_classes: K.
        epochs: Number of epochs that the recipe asks for.
        seed: Seed of all draws of the branches.
    """

    labels: npt.NDArray[np.int64]
    num_classes: int
    epochs: int
    seed: int

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Training images of each class, int64 (K,)."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def instance_branch(self) -> Branch:
        """Return the branch that draws each image once per epoch."""
        from balanced_mixup.sampling import instance_branch

        return instance_branch(self.labels, seed=self.seed)

    def class_branch(self, q: float = 0.0) -> Branch:
        """Return the branch that draws classes with probability n^q (Eq. 2): each class equally often for q = 0."""
        from balanced_mixup.sampling import class_branch

        return class_branch(self.labels, q, seed=self.seed)

    def progressive_branch(self) -> Branch:
        """Return the branch that goes from instance to class sampling over the epochs."""
        from balanced_mixup.sampling import progressive_branch

        return progressive_branch(self.labels, self.epochs, seed=self.seed)


class OptimizerSettings(BaseModel):
    """Settings of the recipe that a stage overrides; None stands for the recipe's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: Optimizer | None = None
    learning_rate: float | None = Field(None, gt=0)
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float | None = Field(None, ge=0)
    schedule: Schedule | None = None
    warmup: float | None = Field(None, ge=0, lt=1)


def _no_mix() -> Mix:
    from balanced_mixup.mixing import NoMix

    return NoMix()


def _cross_entropy() -> Loss:
    from balanced_mixup.losses import CrossEntropy

    return CrossEntropy()


@dataclass(frozen=True)
class Stage:
    """A stage of a training, with one sampler, mix and loss.

    A stage continues with the optimiser and schedule of the previous one, unless it trains other parameters, reinitialises the
    head, or has its own optimiser settings: then it begins with the best weights so far and a new schedule.

    Args:
        branch: Where samples come from.
        partners: Where a mix's partners come from, if it needs a second branch.
        mix: How samples are mixed; `NoMix` if not given.
        loss: `CrossEntropy` if not given.
        share: Fraction of the recipe's epochs, above 0.
        epochs: Number of epochs, in place of `share`.
        trains: "all" parameters, or, on precomputed features, the "head" alone, or one factor for each class of it ("scales").
        new_head: The head is reinitialised.
        max_norm: Longest weights of a class in the head; longer ones are shortened to it after each step.
        renews_statistics: Before features are computed, the running statistics of batch normalisation are estimated anew on an
            epoch of samples of this stage, without mixing.
        optimizer: Settings that differ from the recipe's.
        name: In the history; "train" if there is one stage.
    """

    branch: Branch
    partners: Branch | None = None
    mix: Mix = field(default_factory=_no_mix)
    loss: Loss = field(default_factory=_cross_entropy)
    share: float = 1.0
    epochs: int | None = None
    trains: Literal["all", "head", "scales"] = "all"
    new_head: bool = False
    max_norm: float | None = None
    renews_statistics: bool = False
    optimizer: OptimizerSettings | None = None
    name: str = "train"

    def __post_init__(self) -> None:
        """Check that the arguments are consistent."""
        if self.mix.needs_partners != (self.partners is not None):
            needs = "needs" if self.mix.needs_partners else "takes no"
            raise UsageError(f"{type(self.mix).__name__} {needs} `partners`, the branch that partners are drawn from.")
        if self.trains != "all" and not self.mix.mixes_features:
            raise UsageError(f"{type(self.mix).__name__} mixes images, not features: it cannot train the head alone.")
        if not self.share > 0 or (self.epochs is not None and self.epochs < 1):
            raise UsageError(f"Expected a stage of at least one epoch, but got share {self.share} and epochs {self.epochs}.")

    @property
    def continues(self) -> bool:
        """Whether it continues with the optimiser and schedule of the previous stage, if that trains the same parameters."""
        return not self.new_head and self.optimizer is None

    def class_prior(self, counts: npt.NDArray[np.int64], epochs: range) -> npt.NDArray[np.float64]:
        """Return the class prior that this stage induces: what its loss teaches by targets of these mean class proportions.

        Args:
            counts: (K,), training images of each class.
            epochs: The epochs of the stage.

        Returns:
            float64 (K,), sums to 1; 0 for a class without images.
        """
        return self.loss.taught_prior(self.target_proportions(counts, epochs))

    def target_proportions(self, counts: npt.NDArray[np.int64], epochs: range) -> npt.NDArray[np.float64]:
        """Return the expected proportion of each class in the targets, float64 (K,), sums to 1; arguments as for `class_prior`.

        With the probabilities s of the branch, c of the partners' branch, and the mean weight E[w] of partners it is
        (1 - E[w]) s + E[w] c. Mixing within the batch does not change s, unless its weights depend on the classes.
        """
        own = self._mean_probabilities(self.branch, counts, epochs)
        partners = None if self.partners is None else self._mean_probabilities(self.partners, counts, epochs)
        return self.mix.target_proportions(own, partners)

    @staticmethod
    def _mean_probabilities(branch: Branch, counts: npt.NDArray[np.int64], epochs: range) -> npt.NDArray[np.float64]:
        mean: npt.NDArray[np.float64] = np.mean([branch.class_probabilities(counts, epoch) for epoch in epochs], axis=0)
        return mean


@dataclass(frozen=True)
class Features:
    """Precomputed features of images.

    values: float32 (N, F). labels: int64 (N,).
    """

    values: Tensor
    labels: Tensor


class Method(BaseModel):
    """One way to train. A subclass has a `name`, its settings as fields, and `stages`.

    The first sentence of its docstring is the summary in `bmixup list methods`; it ends with the paper in parentheses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    defer: Deferral | None = Field(
        None,
        description="The last epochs teach all classes alike: `drw` by class weights in the loss, `drs` by class sampling.",
    )
    defer_from: float = Field(0.8, gt=0, lt=1, description="Share of the epochs after which `defer` begins.")
    title: ClassVar[str] = ""
    """Title in tables; the paper's where it has the method."""

    keeps: ClassVar[Literal["best", "last"]] = "best"
    """Which epoch of the last stage is kept: the one with the best validation score, or the last."""

    correctable: ClassVar[bool] = False
    """A benchmark shows its predictions corrected to the class prior of the place of use, too, as a row of their own."""

    @model_validator(mode="after")
    def _check_deferral(self) -> Self:
        if self.defer is not None:
            check_deferral(self, self.defer)
        return self

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return the stages in the order of training; at least one, unless there is a `base`."""
        return ()

    def base(self) -> Method | None:
        """Return the method whose finished training this one starts from, if any; its stages come first.

        Methods with the same base share its training in a benchmark.
        """
        return None

    def head(self) -> Head:
        """Return the head on top of the backbone's features."""
        from balanced_mixup.heads import Softmax

        return Softmax()

    def finish(self, head: nn.Module, train: Features, val: Features) -> None:
        """Change the head of the trained model without gradient steps (tau-normalisation, NCM); nothing by default."""

    def finished_prior(self, prior: Probabilities) -> Probabilities:
        """Return the class prior (K,) of the finished model, given that which its last stage teaches; 0 for absent classes."""
        return prior

    @property
    def finishes(self) -> bool:
        """Whether `finish` changes the trained model."""
        return type(self).finish is not Method.finish

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of its docstring, in one line."""
        return " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())

    def settings(self) -> dict[str, Any]:
        """Return its settings by name, without the method's own name."""
        return self.model_dump(mode="json", exclude={"name"})

    def settings_changed(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults."""
        return self.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)


MethodType = TypeVar("MethodType", bound=type[Method])


METHODS: Registry[type[Method]] = Registry("methods", type(Method), lambda method: str(method.model_fields["name"].default))


def register(method: MethodType) -> MethodType:
    """Register a method under its name. UsageError where another one has that name."""
    METHODS.add(method)
    return method


def get_method(name: str) -> type[Method]:
    """Return the method of that name.

    Raises:
        UsageError: There is none; names the nearest.
    """
    if name not in METHODS:
        raise UsageError(f"Expected `method` to be one of {', '.join(METHODS)}, but got {shown(name)}.{nearest(name, METHODS)}")
    return METHODS[name]


def methods_with(setting: str) -> tuple[str, ...]:
    """Return the names of the methods that have a setting."""
    return tuple(name for name, method in METHODS.items() if setting != "name" and setting in method.model_fields)


def make_method(name: str, settings: Mapping[str, Any]) -> Method:
    """Return the method of that name with these settings.

    Raises:
        UsageError: There is no such method.
        pydantic.ValidationError: A setting is unknown, or its value is not allowed.
    """
    return get_method(name)(**settings)
