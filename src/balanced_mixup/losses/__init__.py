"""Losses, one small file each; all take soft targets (B, K), so that each can be combined with every mix."""

from typing import TYPE_CHECKING

from balanced_mixup.lazy import lazy_exports

if TYPE_CHECKING:
    from balanced_mixup.losses.balanced_bce import BalancedBce as BalancedBce
    from balanced_mixup.losses.base import Loss as Loss
    from balanced_mixup.losses.class_balanced import ClassBalanced as ClassBalanced
    from balanced_mixup.losses.class_balanced import effective_number_weights as effective_number_weights
    from balanced_mixup.losses.class_weights import frequency_weights as frequency_weights
    from balanced_mixup.losses.coral import Coral as Coral
    from balanced_mixup.losses.corn import Corn as Corn
    from balanced_mixup.losses.cross_entropy import CrossEntropy as CrossEntropy
    from balanced_mixup.losses.focal import Focal as Focal
    from balanced_mixup.losses.gcl import GaussianClouded as GaussianClouded
    from balanced_mixup.losses.label_aware_smoothing import LabelAwareSmoothing as LabelAwareSmoothing
    from balanced_mixup.losses.ldam import Ldam as Ldam
    from balanced_mixup.losses.logit_adjusted import LogitAdjusted as LogitAdjusted
    from balanced_mixup.losses.seesaw import Seesaw as Seesaw
    from balanced_mixup.losses.vs import VectorScaling as VectorScaling

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "balanced_bce": ("BalancedBce",),
        "base": ("Loss",),
        "class_balanced": ("ClassBalanced", "effective_number_weights"),
        "class_weights": ("frequency_weights",),
        "coral": ("Coral",),
        "corn": ("Corn",),
        "cross_entropy": ("CrossEntropy",),
        "focal": ("Focal",),
        "gcl": ("GaussianClouded",),
        "label_aware_smoothing": ("LabelAwareSmoothing",),
        "ldam": ("Ldam",),
        "logit_adjusted": ("LogitAdjusted",),
        "seesaw": ("Seesaw",),
        "vs": ("VectorScaling",),
    },
)
