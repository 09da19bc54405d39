"""Balanced-MixUp for custom training loops: one loader that draws, reads and pairs both branches."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing.balanced_mixup import BalancedMixUp
from balanced_mixup.mixing.base import WeightPer, mix, one_hot
from balanced_mixup.randomness import generator
from balanced_mixup.sampling import Branch, Labels, class_branch, instance_branch


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
    """(row, partner row, weight) -> the two samples; a partner of negligible weight is not read."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: tuple[int, int, float]) -> tuple[Any, ...]:
        row, partner, weight = index
        image, label = self.dataset[row]
        partner_image, partner_label = self.dataset[partner] if weight > 0 else (image, label)
        return image, int(label), partner_image, int(partner_label), np.float32(weight)


class _PairSampler:
    """A batch sampler over both branches, divided between ranks: (row, partner row, weight) for each sample of a step."""

    def __init__(
        self,
        labels: npt.NDArray[np.int64],
        branches: tuple[Branch, Branch],
        mixing: BalancedMixUp,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.labels = labels
        self.instance, self.balanced = branches
        self.mixing, self.batch_size, self.seed = mixing, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        # The last, incomplete batch is dropped (the next epoch is shuffled differently), unless it is the only one.
        return max(1, self.instance.n // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[tuple[int, int, float]]]:
        whole = min(self.batch_size * self.world_size, self.instance.n)
        for step in range(len(self)):
            positions = np.arange(step * whole, (step + 1) * whole)
            rows = self.instance.rows(self.epoch, positions), self.balanced.rows(self.epoch, positions)
            weight = self.mixing.pair(
                self.labels[np.concatenate(rows)], whole, generator(self.seed, "mixing", self.epoch, step)
            ).weight
            own = slice(self.rank, None, self.world_size)
            yield list(zip(rows[0][own].tolist(), rows[1][own].tolist(), weight[own].tolist(), strict=True))


class BalancedMixUpLoader:
    """Balanced-MixUp over any map-style dataset: iterate to get `PairedBatch`es.

    The two branches are drawn and read by this one loader, so a batch cannot be mixed with itself by mistake, and a partner
    whose weight is negligible is not read. The batches are a function of (seed, epoch); the number of workers has no effect.
    Each epoch has each image of the instance branch once, except for a last incomplete batch.

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
            labels: (N,), the class of each sample, so that they are known without reading images.
            batch_size: Samples per step on this rank.
            alpha: Parameter of Beta(alpha, 1), above 0.
            weight_per: One weight a "batch" or a "sample".
            seed: Determines every draw, together with the epoch.
            rank: This process, from 0.
            world_size: Number of processes; together they process the batches of a single process.
            loader: Further arguments of torch's `DataLoader`, such as `num_workers` and `pin_memory`.
        """
        samples = len(dataset)  # type: ignore[arg-type]  # torch's Dataset does not declare the length of map-style ones
        if len(labels) != samples:
            raise UsageError(f"Expected one label per sample, but got {len(labels)} labels for {samples} samples.")
        if batch_size < 1 or not 0 <= rank < world_size:
            raise UsageError(f"Expected `batch_size` >= 1 and `rank` in 0..{world_size - 1}, but got {batch_size} and {rank}.")
        branches = instance_branch(labels, seed=seed), class_branch(labels, 0.0, seed=seed)
        if samples < world_size:
            raise UsageError(f"Expected at least one sample for each of {world_size} processes, but got {samples} samples.")
        # Under this name Lightning finds it and sets its epoch.
        self.sampler = _PairSampler(
            np.asarray(labels, np.int64), branches, BalancedMixUp(alpha, weight_per), batch_size, seed, rank, world_size
        )
        self._loader: DataLoader[Any] = DataLoader(_Pairs(dataset), batch_sampler=self.sampler, **loader)

    def set_epoch(self, epoch: int) -> Self:
        """Set the epoch of the next iteration and return the loader."""
        self.sampler.set_epoch(epoch)
        return self

    def __len__(self) -> int:
        """Number of steps per epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[PairedBatch]:
        """Yield the steps of the current epoch."""
        return (PairedBatch(*batch) for batch in self._loader)
