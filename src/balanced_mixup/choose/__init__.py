"""Which method for these data, within a budget of time: `balanced_mixup.choose(data=..., budget="20m")`.

All methods are screened on frozen features, the better half is trained in full by successive halving, and the winner is
compared with plain training on images that took no part in the choice. See `balanced_mixup.choose.engine.choose`.
"""

from balanced_mixup.callable_package import make_callable

make_callable(__name__, "balanced_mixup.choose.engine:choose")
