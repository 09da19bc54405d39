"""All cards by name. Those of MedMNIST are made on demand: their package takes seconds to import."""

from balanced_mixup.datasets import medmnist
from balanced_mixup.datasets.card import Card
from balanced_mixup.datasets.endoscopy import HYPERKVASIR, KVASIR_CAPSULE
from balanced_mixup.datasets.retina import APTOS2019, EYEPACS, MESSIDOR2
from balanced_mixup.datasets.skin import HAM10000
from balanced_mixup.errors import UsageError, nearest

_STATIC = {card.name: card for card in (EYEPACS, MESSIDOR2, APTOS2019, HYPERKVASIR, KVASIR_CAPSULE, HAM10000)}

TASKS = {name: card.task for name, card in _STATIC.items()} | medmnist.SETS  # of each published data set


def get_card(name: str) -> Card:
    """Return the card of a data set, a key of `TASKS`.

    Raises:
        UsageError: There is none of that name, or it cannot be used here.
        RunError: It needs a package that is not installed.
    """
    if name in medmnist.REFUSED:
        raise UsageError(f"Expected a data set with one label per image, but got {name!r}: {medmnist.REFUSED[name]}.")
    if name not in TASKS:
        raise UsageError(f"Expected a data set, one of {', '.join(TASKS)}; but got {name!r}.{nearest(name, TASKS)}")
    return medmnist.card(name) if name in medmnist.SETS else _STATIC[name]
