"""Balanced-MixUp as the `mixup_fn` of a training loop that has its own loader, such as timm's `train.py`.

A function of the batch alone can only mix a batch with itself. This one draws the class-balanced partners on its own, from the
same dataset, by worker processes of its own.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing.balanced_mixup import BalancedMixUp
from balanced_mixup.mixing.base import WeightPer, mix, one_hot
from balanced_mixup.mixing.samples import KEYS, Keys, collated, parts_of
from balanced_mixup.randomness import generator
from balanced_mixup.ranks import Ranks
from balanced_mixup.sampling import ClassBranch, Labels, class_branch


class _Partners(Dataset[tuple[Any, int]]):
    """Row -> image and class number, of the same dataset."""

    def __init__(self, dataset: Dataset[Any], keys: Keys) -> None:
        self.dataset, self.keys = dataset, keys

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return parts_of(self.dataset[row], self.keys)[:2]


class _PartnerSampler:
    """The rows of the partners that count, for each step in which any does; the steps go on without an end."""

    def __init__(self, branch: ClassBranch, mixing: BalancedMixUp, batch_size: int, seed: int, ranks: Ranks) -> None:
        self.branch, self.mixing, self.batch_size, self.seed, self.ranks = branch, mixing, batch_size, seed, ranks

    def step(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return row and weight of the partner of each sample of this rank, (B,)."""
        rank, world_size = self.ranks.now(self.branch.n)
        whole = self.batch_size * world_size
        rows = self.branch.rows(0, np.arange(number * whole + rank, (number + 1) * whole, world_size))
        rng = generator(self.seed, "mixing", number)
        weight = self.mixing.pair(np.zeros(2 * whole, np.int64), whole, rng).weight
        return rows, weight[rank::world_size]

    def __iter__(self) -> Iterator[list[int]]:
        for number in itertools.count():
            rows, weight = self.step(number)
            if (weight > 0).any():
                yield rows[weight > 0].tolist()


class BalancedMixUpFn:
    """Mixes class-balanced images into the batches of a loop: (images, labels) -> (mixed images, soft targets) by Eq. 3.

    It takes the place of `timm.data.Mixup` where the loop's own loader goes through the images one by one:

        mixup_fn = BalancedMixUpFn(dataset, labels, num_classes=5, batch_size=32, alpha=0.2, num_workers=4)
        for images, labels in loader:
            images, targets = mixup_fn(images.to(device), labels.to(device))

    Partners of negligible weight are not read. In several processes, each draws its own part of one stream of partners, and
    all have the same weight where it is one a batch. Where the loop can take another loader, `BalancedMixUpLoader` is simpler
    and reproducible by epoch.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        labels: Labels,
        *,
        num_classes: int,
        batch_size: int,
        alpha: float = 0.2,
        weight_per: WeightPer = "batch",
        label_smoothing: float = 0.0,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        keys: Keys = KEYS,
        **loader: Any,
    ) -> None:
        """Prepare the draws; images are read from the first call on, so the dataset may get its transform later.

        Args:
            dataset: Map-style, that of the loop's loader, with its augmentation; `dataset[i]` as for `BalancedMixUpLoader`.
            labels: (N,), the class of each sample.
            num_classes: K.
            batch_size: The largest number of images in a call, on this rank.
            alpha: Parameter of Beta(alpha, 1), above 0.
            weight_per: One weight a "batch" or a "sample".
            label_smoothing: In 0..1; targets are (1 - s) t + s / K.
            seed: Determines the partners and weights of each call.
            rank, world_size: This process, from 0, and the number of processes; by torch.distributed if not given.
            keys: Names of the image and the label where samples are mappings.
            loader: Further arguments of torch's `DataLoader` for the partners, such as `num_workers`.
        """
        samples = len(dataset)  # type: ignore[arg-type]  # as in BalancedMixUpLoader
        if len(labels) != samples:
            raise UsageError(f"Expected one label per sample, but got {len(labels)} labels for {samples} samples.")
        branch = class_branch(labels, 0.0, seed=seed)
        if num_classes < len(branch.counts):
            raise UsageError(
                f"Expected `num_classes` to be at least {len(branch.counts)}, as in `labels`, but got {num_classes}."
            )
        if batch_size < 1 or not 0 <= label_smoothing < 1:
            raise UsageError(
                f"Expected `batch_size` >= 1 and `label_smoothing` in [0, 1), but got {batch_size} and {label_smoothing}."
            )
        self.num_classes, self.batch_size, self.label_smoothing = num_classes, batch_size, label_smoothing
        self.mixup_enabled = True
        """False leaves images as they are; timm sets it in its last epochs (`--mixup-off-epoch`)."""
        self._sampler = _PartnerSampler(branch, BalancedMixUp(alpha, weight_per), batch_size, seed, Ranks(rank, world_size))
        self._loader = DataLoader(
            _Partners(dataset, keys), batch_sampler=self._sampler, collate_fn=_collated_partners, **loader
        )
        self._partners: Iterator[tuple[Tensor, Tensor]] | None = None
        self._calls = 0

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images mixed with class-balanced partners, and their targets.

        Args:
            images: Floating point (B, ...), on any device, B at most `batch_size`.
            labels: int64 (B,).

        Returns:
            images (B, ...) and float32 targets (B, K).
        """
        if labels.ndim != 1 or labels.is_floating_point() or not len(labels) == len(images) <= self.batch_size:
            raise UsageError(
                f"Expected at most {self.batch_size} images (`batch_size`) and the class number of each, but got shapes "
                f"{tuple(images.shape)} and {tuple(labels.shape)} ({labels.dtype})."
            )
        targets = one_hot(labels, self.num_classes)
        if self.mixup_enabled:
            images, targets = self._mixed(images, targets)
        return images, (1 - self.label_smoothing) * targets + self.label_smoothing / self.num_classes

    def _mixed(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        weight = self._sampler.step(self._calls)[1]
        self._calls += 1
        mixed = np.flatnonzero(weight > 0)
        if not len(mixed):
            return images, targets
        if self._partners is None:
            self._partners = iter(self._loader)
        partners, partner_labels = next(self._partners)
        mixed = mixed[mixed < len(images)]  # fewer images than usual: the last batch of an epoch
        at, weights = (torch.from_numpy(array).to(images.device) for array in (mixed, weight[mixed]))
        partners, partner_labels = (part[: len(mixed)].to(images.device) for part in (partners, partner_labels))
        partner_targets = one_hot(partner_labels, self.num_classes)
        return (
            images.index_copy(0, at, mix(images[at], partners.to(images.dtype), weights)),
            targets.index_copy(0, at, mix(targets[at], partner_targets, weights)),
        )


def _collated_partners(samples: Sequence[Any]) -> Any:
    return collated(samples, None)
