"""A step of Balanced-MixUp or CMO that is not mixed yet, in the form in which training loops leave it whole."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from balanced_mixup.mixing.base import mix, one_hot
from balanced_mixup.mixing.boxes import paste


class _Parts(NamedTuple):
    images: Tensor
    labels: Tensor
    partner_images: Tensor
    partner_labels: Tensor
    weight: Tensor


class PairedBatch(_Parts):
    """A step of Balanced-MixUp, not yet mixed, so that it can be moved to a device and augmented first.

    images, partner_images: (B, ...). labels, partner_labels: int64 (B,). weight: float32 (B,), the partners' weight, or (B, 4),
    the box of each partner's image where boxes are pasted (CMO).

    It is a tuple of these five, and of `extra` where the samples hold more than an image and a label.
    """

    __slots__ = ()

    def __new__(cls, *parts: Any) -> Self:
        """Take the parts one by one, or all in one iterable.

        Loops rebuild a batch to move it: torch, Lightning and Accelerate by type(batch)(*parts), Hugging Face's Trainer and
        fastai by type(batch)(parts).
        """
        return cls._make(parts[0] if len(parts) == 1 else parts)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]  # five parts or six
        return tuple.__new__(cls, iterable)

    def __repr__(self) -> str:
        """Return all parts by name."""
        parts = zip((*self._fields, "extra"), self, strict=False)  # five parts or six
        return f"{type(self).__name__}({', '.join(f'{name}={part!r}' for name, part in parts)})"

    @property
    def extra(self) -> Any:
        """What else the samples hold, collated: a list, or a dict by key; None without. Of `images`, not of their partners."""
        return self[5] if len(self) > 5 else None

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on `device`; tensors within `extra` too."""
        return type(self)(_moved(part, device) for part in self)

    def mixed(self, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return mixed images (B, ...) and soft targets float32 (B, K): by Eq. 3, or by the area of the pasted boxes."""
        targets = one_hot(self.labels, num_classes)
        partner_targets = one_hot(self.partner_labels, num_classes)
        if self.weight.ndim == 2:
            images, weight = paste(self.images, self.partner_images, self.weight)
        else:
            images, weight = mix(self.images, self.partner_images, self.weight), self.weight
        return images, mix(targets, partner_targets, weight)


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(each, device) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, device) for each in value]
    return value
