"""Predictive values at another prevalence than that of the scored images, by Bayes' theorem.

    >>> ppv, npv = predictive_values(Interval(0.9, 0.8, 0.95), Interval(0.9, 0.85, 0.93), 0.01)
    >>> round(ppv.value, 3), round(ppv.low, 3), round(ppv.high, 3)
    (0.083, 0.051, 0.121)

Sensitivity and specificity of a class against the rest carry over to another prevalence as far as the images of the class, and
the mixture of the others, are alike.
"""

import math

from balanced_mixup.statistics.interval import Interval


def predictive_values(sensitivity: Interval, specificity: Interval, prevalence: float | Interval) -> tuple[Interval, Interval]:
    """Return the positive and the negative predictive value, NaN where undefined.

    Both rise with sensitivity and specificity, which are measured on different images: an interval goes from the value at both
    lower ends to that at both upper ends, which is wider than needed, never narrower.

    Args:
        sensitivity, specificity: Proportions with their intervals.
        prevalence: Share of the class, 0 to 1; with the interval of an estimate its ends are those of the predictive values,
            too: the positive one rises with it, the negative one falls.
    """
    share = prevalence if isinstance(prevalence, Interval) else Interval(prevalence)
    if math.isnan(share.low):
        share = Interval(share.value, share.value, share.value)
    warning = sensitivity.warning or specificity.warning
    positive = (
        _share(of * found, (1 - of) * (1 - cleared))
        for found, cleared, of in zip(_ends(sensitivity), _ends(specificity), _ends(share), strict=True)
    )
    negative = (
        _share((1 - of) * cleared, of * (1 - found))
        for found, cleared, of in zip(_ends(sensitivity), _ends(specificity), (share.value, share.high, share.low), strict=True)
    )
    return _interval(*positive).warned(warning), _interval(*negative).warned(warning)


def _interval(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high)


def _ends(score: Interval) -> tuple[float, float, float]:
    return score.value, score.low, score.high


def _share(true: float, false: float) -> float:
    """Return the share of the true ones, of true and false."""
    return true / (true + false) if true + false > 0 else math.nan
