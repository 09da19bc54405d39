"""A method is data: sampling x mixing x loss, by name. The names are the rows of the paper's tables.

A new method is one more entry of `METHODS`; training, the command line, the tests and the documentation take it from here.
Its parts are looked up when a training starts, so that listing the methods does not have to wait for torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from balanced_mixup.errors import UsageError, nearest

if TYPE_CHECKING:
    from balanced_mixup.losses import Loss
    from balanced_mixup.mixing import Mixing, WeightPer
    from balanced_mixup.sampling import Branch, Labels


@dataclass(frozen=True)
class Method:
    """One way to train: where images come from, how they are mixed, and the loss.

    Args:
        name: As on the command line.
        title: As in tables; the paper's own where it has the method.
        summary: One line for `bmixup list`.
        sampling: Key of `sampling.SAMPLINGS`, for the (first) branch.
        mixing: Key of `mixing.MIXINGS`.
        loss: Key of `losses.LOSSES`.
        options: Recipe settings that change this method.
    """

    name: str
    title: str
    summary: str
    sampling: str = "instance"
    mixing: str = "none"
    loss: str = "cross-entropy"
    options: tuple[str, ...] = ()

    def make_branch(self, labels: Labels, epochs: int, seed: int) -> Branch:
        """Return the (first) branch over training labels (N,)."""
        from balanced_mixup.sampling import SAMPLINGS

        return SAMPLINGS[self.sampling](labels, epochs, seed)

    def make_mixing(self, alpha: float, weight_per: WeightPer) -> Mixing:
        """Return how samples are paired and weighted."""
        from balanced_mixup.mixing import MIXINGS

        return MIXINGS[self.mixing](alpha, weight_per)

    def make_loss(self, counts: Labels, focal_gamma: float, cb_beta: float) -> Loss:
        """Return the loss, given the training samples of each class (K,)."""
        from balanced_mixup.losses import LOSSES

        return LOSSES[self.loss](counts, focal_gamma, cb_beta)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("class", "Class-sampling", "each class equally often (q = 0): oversampling", sampling="class"),
        Method("instance", "Instance-sampling", "each image once an epoch (q = 1): plain training"),
        Method("sqrt", "Sqrt-sampling", "classes by the square root of their size (q = 1/2)", sampling="sqrt"),
        Method("focal", "Focal Loss", "focal loss on plain sampling", loss="focal", options=("focal_gamma",)),
        Method(
            "cb-loss",
            "CB Loss",
            "cross-entropy weighted by effective number",
            loss="class-balanced",
            options=("cb_beta",),
        ),
        Method("mixup", "MixUp", "MixUp of a batch with itself (Eq. 1)", mixing="mixup", options=("alpha", "weight_per")),
        Method(
            "balanced-mixup",
            "Bal-Mxp",
            "plain sampling mixed with class sampling (Eq. 3)",
            mixing="balanced-mixup",
            options=("alpha", "weight_per"),
        ),
        Method(
            "progressive",
            "Progressive",
            "from plain to class sampling over the epochs (Kang et al., ICLR 2020)",
            sampling="progressive",
        ),
    )
}


def get_method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        UsageError: There is none; names the nearest.
    """
    if name not in METHODS:
        raise UsageError(f"Expected `method` to be one of {', '.join(METHODS)}, but got {name!r}.{nearest(name, METHODS)}")
    return METHODS[name]
