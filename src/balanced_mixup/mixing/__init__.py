"""Mixing: MixUp (Eq. 1), Balanced-MixUp (Eq. 3) and others, one small file each, and the loader for custom training loops."""

from typing import TYPE_CHECKING

from balanced_mixup.lazy import lazy_exports

if TYPE_CHECKING:
    from balanced_mixup.mixing.balanced_mixup import BalancedMixUp as BalancedMixUp
    from balanced_mixup.mixing.base import NEGLIGIBLE as NEGLIGIBLE
    from balanced_mixup.mixing.base import Mix as Mix
    from balanced_mixup.mixing.base import NoMix as NoMix
    from balanced_mixup.mixing.base import Pairing as Pairing
    from balanced_mixup.mixing.base import WeightPer as WeightPer
    from balanced_mixup.mixing.base import Weights as Weights
    from balanced_mixup.mixing.base import mix as mix
    from balanced_mixup.mixing.base import one_hot as one_hot
    from balanced_mixup.mixing.bbn_mix import BbnMix as BbnMix
    from balanced_mixup.mixing.boxes import paste as paste
    from balanced_mixup.mixing.cmo import Cmo as Cmo
    from balanced_mixup.mixing.cutmix import CutMix as CutMix
    from balanced_mixup.mixing.loader import BalancedMixUpLoader as BalancedMixUpLoader
    from balanced_mixup.mixing.mixup_fn import BalancedMixUpFn as BalancedMixUpFn
    from balanced_mixup.mixing.paired_batch import PairedBatch as PairedBatch
    from balanced_mixup.mixing.plain_mixup import MixUp as MixUp
    from balanced_mixup.mixing.plain_mixup import mixup as mixup
    from balanced_mixup.mixing.remix import Remix as Remix
    from balanced_mixup.mixing.unimix import UniMix as UniMix

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "balanced_mixup": ("BalancedMixUp",),
        "base": ("NEGLIGIBLE", "Mix", "NoMix", "Pairing", "WeightPer", "Weights", "mix", "one_hot"),
        "bbn_mix": ("BbnMix",),
        "boxes": ("paste",),
        "cmo": ("Cmo",),
        "cutmix": ("CutMix",),
        "loader": ("BalancedMixUpLoader",),
        "mixup_fn": ("BalancedMixUpFn",),
        "paired_batch": ("PairedBatch",),
        "plain_mixup": ("MixUp", "mixup"),
        "remix": ("Remix",),
        "unimix": ("UniMix",),
    },
)
