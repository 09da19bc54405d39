"""Statistics: intervals of scores, and tests of their differences."""

from typing import TYPE_CHECKING

from balanced_mixup.lazy import lazy_exports

if TYPE_CHECKING:
    from balanced_mixup.statistics.interval import Interval as Interval
    from balanced_mixup.statistics.scoring import score_intervals as score_intervals

__getattr__, __all__ = lazy_exports(__name__, {"interval": ["Interval"], "scoring": ["score_intervals"]})
