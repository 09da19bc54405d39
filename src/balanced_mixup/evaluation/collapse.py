"""Whether a model has collapsed: classes that it never predicts or never recognises, or no better than chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.calibration.priors import training_prior
from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.metrics import mcc
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores
from balanced_mixup.words import counted, display_name, listed

NAMED = 12  # classes that a sentence names

_BALANCE = "a method that gives rare classes more weight, such as balanced-mixup (bmixup list methods)"
_CHECK = "check the labels (bmixup check)"
_FEW_EPOCHS = 30  # the paper's


@dataclass(frozen=True)
class Training:
    """What the advice on a collapsed model depends on: how it was trained, as far as it is known.

    Args:
        method: Name of its method.
        epochs: Their number.
        pretrained: It started from pretrained weights.
        imbalanced: Some class is rare (see `rare_classes`).
        reweights: The method gives rare classes more weight than their share.
    """

    method: str = ""
    epochs: int | None = None
    pretrained: bool = False
    imbalanced: bool = True
    reweights: bool = False

    @classmethod
    def of(cls, run: Run) -> "Training":
        """Return how a run was trained; nothing is known where its files are damaged."""
        try:
            recipe, images = run.recipe, run.counts("train")
            natural, taught = images / max(images.sum(), 1), training_prior(recipe, images)
        except BalancedMixupError:
            return cls()
        rare = rare_classes(images)
        more = bool(taught[rare].sum() > 1.01 * natural[rare].sum())
        return cls(recipe.method.name, recipe.epochs, recipe.weights != "none", bool(rare), more)

    def balancing(self) -> list[str]:
        """Return what would give rare classes more weight; none where no class is rare."""
        if not self.imbalanced:
            return []
        if not self.reweights:
            return [_BALANCE]
        if self.method == "balanced-mixup":
            return ["a larger --alpha, which gives rare classes more weight"]
        return [f"another method than {self.method} (bmixup list methods)"]

    def longer(self) -> list[str]:
        """Return how to learn for longer, and from a better start."""
        remedies = [] if self.pretrained else ["pretrained weights"]
        if self.epochs is None or self.epochs < _FEW_EPOCHS:
            remedies.insert(0, "more epochs" if self.epochs is None else f"more epochs than {self.epochs}")
        return remedies


@dataclass(frozen=True)
class Collapse:
    """What is wrong with the predictions of a model; false where nothing is.

    Args:
        only: The one class that it predicts, although the images are of several; None if it predicts more.
        never: Classes that it never predicts, with the number of their images; none where it predicts one class only.
        missed: Classes that it predicts, but for none of their images, with the number of these.
        chance: A sentence where it is no better than chance, else "".
    """

    only: str | None = None
    never: Mapping[str, int] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)
    chance: str = ""

    def __bool__(self) -> bool:
        """Return whether there is anything to say."""
        return self.failed or bool(self.never or self.missed)

    @property
    def failed(self) -> bool:
        """Whether the model as a whole is of no use: it predicts one class only, or is no better than chance."""
        return self.only is not None or bool(self.chance)

    def sentences(self, training: Training = Training()) -> list[str]:
        """Return a sentence for each finding, with what to try that the training has not."""
        balancing, longer, found = training.balancing(), training.longer(), []
        if self.only is not None:
            text = f"The model predicts one class only: {display_name(self.only)}."
            found.append(_with_advice(text, [*balancing, *longer, "a lower learning rate"]))
        if self.chance:
            found.append(_with_advice(self.chance, [*longer, "another learning rate"]))
        classes = (("Never predicted", self.never), ("Predicted, but never correctly", self.missed))
        if unfound := " ".join(f"{text}: {_named(those)}." for text, those in classes if those):
            found.append(_with_advice(unfound, [*balancing, *longer, "more such images"]))
        return found


def warnings(scores: Scores, run: Run | None) -> list[str]:
    """Return a sentence for each sign of a collapse, with advice for the run that made the predictions, if one did.

    Of another program only the images of each class are known, and those of its training are taken to be in proportion.
    """
    if not (found := collapse(scores)):
        return []
    images = [row.support for row in scores.per_class.values()]
    return found.sentences(Training(imbalanced=bool(rare_classes(images))) if run is None else Training.of(run))


def _with_advice(finding: str, remedies: Sequence[str]) -> str:
    """Return a finding and what to try: "... Try this, that or something else, and check the labels."."""
    choice = " or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))
    return f"{finding} Try {choice}, and {_CHECK}."


def _named(classes: Mapping[str, int]) -> str:
    return listed([f"{display_name(name)} (0 of {counted(images, 'image')})" for name, images in classes.items()], NAMED)


def collapse(scores: Scores) -> Collapse:
    """Return what the scores of a set of images say about the collapse of the model.

    A class that none of the images has says nothing. No better than chance: the interval of MCC, which is 0 for predictions
    that do not depend on the label, includes 0.
    """
    of_class = scores.per_class
    present = [name for name, row in of_class.items() if row.support]
    predicted = [name for name, row in of_class.items() if not math.isnan(row.precision.value)]
    if len(predicted) == 1 and set(present) - set(predicted):
        return Collapse(only=predicted[0])
    unfound = {name: of_class[name].support for name in present if of_class[name].recall.value == 0}
    return Collapse(
        never={name: images for name, images in unfound.items() if name not in predicted},
        missed={name: images for name, images in unfound.items() if name in predicted},
        chance=_chance(scores) if len(present) > 1 else "",
    )


def _chance(scores: Scores) -> str:
    """Return a sentence where MCC does not exclude 0."""
    score = scores.metrics.get(mcc.name)
    if score is None or not (score.value <= 0 or score.low <= 0):
        return ""
    if math.isnan(score.low) or score.value <= 0:
        return f"No better than chance: MCC is {score.value:.3f}, and that of chance is 0."
    interval = f"{score.low:.2f} to {score.high:.2f}"
    images = counted(scores.n, "image")
    return f"Not shown to be better than chance: the 95% interval of MCC on {images}, {interval}, includes 0, that of chance."
