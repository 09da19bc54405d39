"""Whether a model has collapsed: classes that it never predicts or never recognises, or no better than chance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from balanced_mixup.metrics import mcc
from balanced_mixup.runs.scores import Scores
from balanced_mixup.words import counted, display_name, listed

NAMED = 12  # classes that a sentence names

_BALANCE = "a method that gives rare classes more weight, such as balanced-mixup (bmixup list methods)"
_CHECK = "check the labels (bmixup check)"


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

    def sentences(self) -> list[str]:
        """Return a sentence for each finding, with what to try."""
        found = []
        if self.only is not None:
            found.append(
                f"The model predicts one class only: {display_name(self.only)}. Try {_BALANCE}, more epochs or a lower "
                f"learning rate, and {_CHECK}."
            )
        if self.chance:
            found.append(f"{self.chance} Try more epochs, another learning rate or pretrained weights, and {_CHECK}.")
        classes = (("Never predicted", self.never), ("Predicted, but never correctly", self.missed))
        if unfound := " ".join(f"{text}: {_named(those)}." for text, those in classes if those):
            found.append(f"{unfound} Try {_BALANCE}, more epochs, or more such images, and {_CHECK}.")
        return found


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
        return f"No better than chance: MCC is {score.value:.2f}, and that of chance is 0."
    interval = f"{score.low:.2f} to {score.high:.2f}"
    images = counted(scores.n, "image")
    return f"Not shown to be better than chance: the 95% interval of MCC on {images}, {interval}, includes 0, that of chance."
