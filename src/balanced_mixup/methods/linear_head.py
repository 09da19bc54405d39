"""What methods that finish a model do with its linear head: weights (K, F) and a bias (K,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balanced_mixup.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from balanced_mixup.methods.base import Features


def weights_of(head: nn.Module) -> Tensor:
    """Return the weights (K, F) of a linear layer or a 1 x 1 convolution, a view of them."""
    weight: Tensor = head.weight  # type: ignore[assignment]  # a module's attributes are of any type
    return weight.flatten(1)


def set_weights(head: nn.Module, weights: Tensor, bias: Tensor | None = None) -> None:
    """Set the weights (K, F) and the bias (K,), 0 if not given. UsageError where there is a bias for a head without one."""
    weights_of(head).copy_(weights)
    own: Tensor | None = getattr(head, "bias", None)
    if own is not None:
        own.copy_(weights.new_zeros(len(weights)) if bias is None else bias)
    elif bias is not None:
        raise UsageError(f"The head of this backbone ({type(head).__name__}) has no bias, which the method has to change.")


def counts_of(train: Features, num_classes: int) -> Tensor:
    """Return the training images of each class, int64 (K,)."""
    return train.labels.bincount(minlength=num_classes)


def uniform_over(prior: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return equal shares of the classes that have one, float64 (K,)."""
    present = prior > 0
    shares: npt.NDArray[np.float64] = present / present.sum()
    return shares
