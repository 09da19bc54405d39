"""Losses, one small file each; all take soft targets (B, K), so that each can be combined with every mix."""

from typing import TYPE_CHECKING

from balanced_mixup.lazy import lazy_exports

if TYPE_CHECKING:
    from balanced_mixup.losses.base import Loss as Loss
    from balanced_mixup.losses.class_balanced import ClassBalanced as ClassBalanced
    from balanced_mixup.losses.class_balanced import effective_number_weights as effective_number_weights
    from balanced_mixup.losses.cross_entropy import CrossEntropy as CrossEntropy
    from balanced_mixup.losses.focal import Focal as Focal
    from balanced_mixup.losses.logit_adjusted import LogitAdjusted as LogitAdjusted

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "base": ("Loss",),
        "class_balanced": ("ClassBalanced", "effective_number_weights"),
        "cross_entropy": ("CrossEntropy",),
        "focal": ("Focal",),
        "logit_adjusted": ("LogitAdjusted",),
    },
)
