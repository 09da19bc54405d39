"""All cards by name. Those of MedMNIST are made when they are asked for: their package takes seconds to import."""

from collections.abc import Iterator, Mapping

from balanced_mixup.datasets import medmnist
from balanced_mixup.datasets.card import Card
from balanced_mixup.datasets.endoscopy import HYPERKVASIR, KVASIR_CAPSULE
from balanced_mixup.datasets.retina import APTOS2019, EYEPACS, MESSIDOR2
from balanced_mixup.datasets.skin import HAM10000
from balanced_mixup.errors import UsageError, nearest

_STATIC = {card.name: card for card in (EYEPACS, MESSIDOR2, APTOS2019, HYPERKVASIR, KVASIR_CAPSULE, HAM10000)}


class _Cards(Mapping[str, Card]):
    def __getitem__(self, name: str) -> Card:
        return medmnist.card(name) if name in medmnist.SETS else _STATIC[name]

    def __iter__(self) -> Iterator[str]:
        yield from _STATIC
        yield from medmnist.SETS

    def __len__(self) -> int:
        return len(_STATIC) + len(medmnist.SETS)

    def __contains__(self, name: object) -> bool:
        return name in _STATIC or name in medmnist.SETS  # without making the card


CARDS: Mapping[str, Card] = _Cards()
TASKS = {name: card.task for name, card in _STATIC.items()} | medmnist.SETS


def get_card(name: str) -> Card:
    """Return the card of a data set.

    Raises:
        UsageError: There is none of that name, or it cannot be used here.
        RunError: It needs a package that is not installed.
    """
    if name in medmnist.REFUSED:
        raise UsageError(f"Expected a data set with one label an image, but got {name!r}: {medmnist.REFUSED[name]}.")
    if name not in CARDS:
        raise UsageError(f"Expected a data set, one of {', '.join(CARDS)}; but got {name!r}.{nearest(name, CARDS)}")
    return CARDS[name]
