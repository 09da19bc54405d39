"""MixUp (Eq. 1) and Balanced-MixUp (Eq. 3), on whatever device the tensors are.

Balanced-MixUp mixes an image of the instance branch (a shuffle of the data) with one of the class branch (each class equally
often): x = (1 - w) x_I + w x_C, targets alike, with w ~ Beta(alpha, 1).

Notable decisions
- w is the weight of the CLASS-BALANCED image. The paper's Eq. 3 writes lambda ~ Beta(alpha, 1) in front of the instance
  image, but its prose (instance images get more weight; larger alpha gives rare classes more) and its code have it this way
  round. The mean of w is alpha / (1 + alpha): 0.09, 0.17, 0.23 for alpha = 0.1, 0.2, 0.3.
- One w for the whole batch is the paper's protocol ("batch"); one for each image ("sample") is as easy and steadier.
- A weight under 1/510, half a grey level of an 8-bit image, cannot change that image: it counts as 0 and the partner is
  never read (54 % of the draws at alpha = 0.1, 29 % at 0.2).
- After mixing there are only soft targets (B, K), whose rows sum to 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from balanced_mixup.errors import UsageError
from balanced_mixup.randomness import generator
from balanced_mixup.sampling import Branch, Labels, class_branch, instance_branch

NEGLIGIBLE = 1 / 510
WeightPer = Literal["batch", "sample"]


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Return int64 labels (B,) as float32 targets (B, K)."""
    return torch.nn.functional.one_hot(labels, num_classes).float()


def mix(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Return (1 - w) first + w second.

    Args:
        first: (B, ...), images or targets.
        second: The same shape.
        weight: (B,), the weight of `second`; exactly 0 gives `first` bit for bit, 1 gives `second`.

    Raises:
        UsageError: `first` holds integers, such as 8-bit pixels, which a weight between 0 and 1 would leave as they are.
    """
    if not first.is_floating_point():
        raise UsageError(
            f"Expected floating-point tensors to mix, but got {first.dtype}. Convert images with `images.float()`."
        )
    return torch.lerp(first, second, weight.to(first.dtype).reshape(-1, *[1] * (first.ndim - 1)))


def mix_partners(images: Tensor, targets: Tensor, partner: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return images and targets, each mixed with its partner's.

    Args:
        images: (M, ...), M >= B; the first B are mixed, the others are only partners.
        targets: (M, K).
        partner: int64 (B,), positions among the M.
        weight: (B,), the weight of the partner.
    """
    b = len(weight)
    return mix(images[:b], images[partner], weight), mix(targets[:b], targets[partner], weight)


class Pairing(NamedTuple):
    """How the B samples of a step are mixed.

    partner: int64 (B,), position of each sample's partner among 2B candidates: 0..B-1 are the batch itself, B..2B-1 the draws
    of the class branch. A sample that is not mixed is its own partner.
    weight: float32 (B,), the weight of the partner, 0 where it would be under 1/510.
    """

    partner: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mixing(ABC):
    """How the samples of a step are paired and weighted; the arithmetic is `mix` for all of them."""

    @property
    def uses_class_branch(self) -> bool:
        """Whether partners come from the class branch."""
        return False

    @abstractmethod
    def pair(self, batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw partners and weights for a step of `batch_size` samples."""


@dataclass(frozen=True)
class NoMixing(Mixing):
    """Each image by itself."""

    def pair(self, batch_size: int, rng: np.random.Generator) -> Pairing:
        """Return the batch as its own partner, with weight 0."""
        return Pairing(np.arange(batch_size), np.zeros(batch_size, np.float32))


@dataclass(frozen=True)
class MixUp(Mixing):
    """MixUp of a batch with itself in another order (Eq. 1; Zhang et al., ICLR 2018), w ~ Beta(alpha, alpha).

    Args:
        alpha: Above 0; small values keep images close to one of the two.
        weight_per: One weight for the "batch", or one for each "sample".
    """

    alpha: float = 0.2
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        _check(self.alpha, self.weight_per)

    def pair(self, batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw a permutation of the batch and the weights."""
        draws = rng.beta(self.alpha, self.alpha, _draws(self.weight_per, batch_size))
        return _without_negligible(rng.permutation(batch_size), draws, batch_size)


@dataclass(frozen=True)
class BalancedMixUp(Mixing):
    """Balanced-MixUp: the instance branch mixed with the class branch (Eq. 3), w ~ Beta(alpha, 1).

    Args:
        alpha: Above 0; the mean weight of the class-balanced image is alpha / (1 + alpha).
        weight_per: One weight for the "batch" (the paper), or one for each "sample".
    """

    alpha: float = 0.2
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        _check(self.alpha, self.weight_per)

    @property
    def uses_class_branch(self) -> bool:
        """Partners come from the class branch."""
        return True

    def pair(self, batch_size: int, rng: np.random.Generator) -> Pairing:
        """Pair each sample with the class branch's draw at its position."""
        # The distribution function of Beta(alpha, 1) is w^alpha, so a draw is U^(1/alpha).
        draws = rng.random(_draws(self.weight_per, batch_size)) ** (1 / self.alpha)
        return _without_negligible(batch_size + np.arange(batch_size), draws, batch_size)


def mixup(
    images: Tensor, targets: Tensor, rng: np.random.Generator, *, alpha: float = 0.2, weight_per: WeightPer = "batch"
) -> tuple[Tensor, Tensor]:
    """Return a batch mixed with itself in another order (Eq. 1), on the device that it is on.

        images, targets = mixup(images, one_hot(labels, num_classes), generator(seed, "mixup", epoch, step))

    Args:
        images: (B, ...).
        targets: (B, K).
        rng: See `randomness.generator`.
        alpha, weight_per: As for `MixUp`.
    """
    partner, weight = MixUp(alpha, weight_per).pair(len(images), rng)
    device = images.device
    return mix_partners(images, targets, torch.from_numpy(partner).to(device), torch.from_numpy(weight).to(device))


def _check(alpha: float, weight_per: str) -> None:
    if not (np.isfinite(alpha) and alpha > 0):
        raise UsageError(f"Expected `alpha` to be a number above 0, but got {alpha}.")
    if weight_per not in ("batch", "sample"):
        raise UsageError(f"Expected `weight_per` to be 'batch' or 'sample', but got {weight_per!r}.")


def _draws(weight_per: WeightPer, batch_size: int) -> int:
    return 1 if weight_per == "batch" else batch_size


def _without_negligible(partner: npt.NDArray[np.int64], draws: npt.NDArray[np.float64], batch_size: int) -> Pairing:
    weight = np.broadcast_to(np.where(draws < NEGLIGIBLE, 0.0, draws), batch_size).astype(np.float32)
    return Pairing(np.where(weight > 0, partner, np.arange(batch_size)), weight)


MIXINGS: Mapping[str, Callable[[float, WeightPer], Mixing]] = {
    "none": lambda alpha, weight_per: NoMixing(),
    "mixup": MixUp,
    "balanced-mixup": BalancedMixUp,
}


class PairedBatch(NamedTuple):
    """A step of Balanced-MixUp, not yet mixed, so that it can be moved to a device and augmented first.

    images, partner_images: (B, ...). labels, partner_labels: int64 (B,). weight: float32 (B,), the partners' weight.
    """

    images: Tensor
    labels: Tensor
    partner_images: Tensor
    partner_labels: Tensor
    weight: Tensor

    def to(self, device: torch.device | str) -> "PairedBatch":
        """Return the batch on `device`."""
        return PairedBatch(*(tensor.to(device) for tensor in self))

    def mixed(self, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return mixed images (B, ...) and soft targets float32 (B, K) by Eq. 3."""
        targets = one_hot(self.labels, num_classes)
        partner_targets = one_hot(self.partner_labels, num_classes)
        return mix(self.images, self.partner_images, self.weight), mix(targets, partner_targets, self.weight)


class _Pairs(Dataset[tuple[Any, ...]]):
    """(row, partner row, weight) -> the two samples; a partner that does not count is not read."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: tuple[int, int, float]) -> tuple[Any, ...]:
        row, partner, weight = index
        image, label = self.dataset[row]
        partner_image, partner_label = self.dataset[partner] if weight > 0 else (image, label)
        return image, int(label), partner_image, int(partner_label), np.float32(weight)


class _PairSampler:
    """A batch sampler over both branches, cut for ranks: (row, partner row, weight) for each sample of a step."""

    def __init__(
        self,
        branches: tuple[Branch, Branch],
        mixing: BalancedMixUp,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.instance, self.balanced = branches
        self.mixing, self.batch_size, self.seed = mixing, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        # The last, incomplete batch is left out (another shuffle comes next epoch), unless it is the only one.
        return max(1, self.instance.n // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[tuple[int, int, float]]]:
        whole = min(self.batch_size * self.world_size, self.instance.n)
        for step in range(len(self)):
            positions = np.arange(step * whole, (step + 1) * whole)
            _, weight = self.mixing.pair(whole, generator(self.seed, "mixing", self.epoch, step))
            rows = self.instance.rows(self.epoch, positions), self.balanced.rows(self.epoch, positions)
            own = slice(self.rank, None, self.world_size)
            yield list(zip(rows[0][own].tolist(), rows[1][own].tolist(), weight[own].tolist(), strict=True))


class BalancedMixUpLoader:
    """Balanced-MixUp over any map-style dataset: iterate to get `PairedBatch`es.

    The two branches are drawn and read by this one loader, so a batch cannot be mixed with itself by mistake, and a partner
    whose weight is negligible is not read. The batches are a function of (seed, epoch); the number of workers changes nothing.
    Each epoch sees each image of the instance branch once, less a last incomplete batch.

        loader = BalancedMixUpLoader(dataset, labels, batch_size=32, alpha=0.2, num_workers=4)
        for epoch in range(epochs):
            for batch in loader.set_epoch(epoch):
                images, targets = batch.to(device).mixed(num_classes)
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        labels: Labels,
        *,
        batch_size: int = 8,
        alpha: float = 0.2,
        weight_per: WeightPer = "batch",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        **loader: Any,
    ) -> None:
        """Pair the branches of `dataset`.

        Args:
            dataset: Map-style; `dataset[i]` is (image, class number).
            labels: (N,), the class of each sample, so that no image has to be read to know it.
            batch_size: Samples a step on this rank.
            alpha: Parameter of Beta(alpha, 1), above 0.
            weight_per: One weight a "batch" or a "sample".
            seed: With the epoch it decides every draw.
            rank: This process, from 0.
            world_size: Number of processes; together they see the batches that one would see.
            loader: Further arguments of torch's `DataLoader`, such as `num_workers` and `pin_memory`.
        """
        samples = len(dataset)  # type: ignore[arg-type]  # torch's Dataset does not declare the length of map-style ones
        if len(labels) != samples:
            raise UsageError(f"Expected one label a sample, but got {len(labels)} labels for {samples} samples.")
        if batch_size < 1 or not 0 <= rank < world_size:
            raise UsageError(f"Expected `batch_size` >= 1 and `rank` in 0..{world_size - 1}, but got {batch_size} and {rank}.")
        branches = instance_branch(labels, seed=seed), class_branch(labels, 0.0, seed=seed)
        if samples < world_size:
            raise UsageError(f"Expected at least one sample for each of {world_size} processes, but got {samples} samples.")
        # Under this name Lightning finds it and tells it the epoch.
        self.sampler = _PairSampler(branches, BalancedMixUp(alpha, weight_per), batch_size, seed, rank, world_size)
        self._loader: DataLoader[Any] = DataLoader(_Pairs(dataset), batch_sampler=self.sampler, **loader)

    def set_epoch(self, epoch: int) -> Self:
        """Choose the epoch of the next iteration and return the loader."""
        self.sampler.set_epoch(epoch)
        return self

    def __len__(self) -> int:
        """Number of steps an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[PairedBatch]:
        """Yield the steps of the current epoch."""
        return (PairedBatch(*batch) for batch in self._loader)
