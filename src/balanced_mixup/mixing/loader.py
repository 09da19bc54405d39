"""Balanced-MixUp for custom training loops: one loader that draws, reads and pairs both branches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing.balanced_mixup import BalancedMixUp
from balanced_mixup.mixing.base import Mix, WeightPer
from balanced_mixup.mixing.paired_batch import PairedBatch
from balanced_mixup.mixing.samples import KEYS, Keys, collated, parts_of
from balanced_mixup.randomness import generator
from balanced_mixup.ranks import Ranks
from balanced_mixup.sampling import Branch, Labels, class_branch, instance_branch

Collate = Callable[[Sequence[Any]], Any]


class _Pairs(Dataset[tuple[Any, ...]]):
    """(row, partner row, weight or box) -> the two samples; a partner of negligible weight is not read."""

    def __init__(self, dataset: Dataset[Any], keys: Keys) -> None:
        self.dataset, self.keys = dataset, keys

    def __getitem__(self, index: tuple[int, int, Any]) -> tuple[Any, ...]:
        row, partner, weight = index
        image, label, extra = parts_of(self.dataset[row], self.keys)
        partner_image, partner_label, _ = parts_of(self.dataset[partner], self.keys) if np.any(weight) else (image, label, None)
        pair = image, label, partner_image, partner_label, np.float32(weight)
        return pair if extra is None else (*pair, extra)


class _ToPairedBatch:
    """Collates the pairs of a step; an object, as worker processes need one that can be pickled."""

    def __init__(self, collate_fn: Collate | None) -> None:
        self.collate_fn = collate_fn

    def __call__(self, pairs: Sequence[Any]) -> PairedBatch:
        return PairedBatch(*collated(pairs, self.collate_fn))


class _PairSampler:
    """A batch sampler over both branches, divided between ranks: (row, partner row, weight or box) for each sample."""

    def __init__(
        self,
        labels: npt.NDArray[np.int64],
        branches: tuple[Branch, Branch],
        mixing: Mix,
        batch_size: int,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.labels = labels
        self.instance, self.balanced = branches
        self.mixing, self.batch_size, self.seed, self.ranks = mixing, batch_size, seed, ranks
        self.epoch, self.finished = 0, False

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.finished = epoch, False

    def __len__(self) -> int:
        # The last, incomplete batch is dropped (the next epoch is shuffled differently), unless it is the only one.
        return max(1, self.instance.n // (self.batch_size * self.ranks.now(self.instance.n)[1]))

    def __iter__(self) -> Iterator[list[tuple[int, int, Any]]]:
        rank, world_size = self.ranks.now(self.instance.n)
        whole = min(self.batch_size * world_size, self.instance.n)
        for step in range(len(self)):
            positions = np.arange(step * whole, (step + 1) * whole)
            rows = self.instance.rows(self.epoch, positions), self.balanced.rows(self.epoch, positions)
            paired = self.mixing.pair(
                self.labels[np.concatenate(rows)], whole, generator(self.seed, "mixing", self.epoch, step)
            )
            weight = paired.weight if paired.box is None else paired.box
            own = slice(rank, None, world_size)
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

    In several processes it divides the batches itself. It is not a torch `DataLoader`, so that Lightning, Accelerate and
    Hugging Face's Trainer do not divide them again, but has a `DataLoader`'s attributes.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        labels: Labels,
        *,
        batch_size: int = 8,
        alpha: float = 0.2,
        weight_per: WeightPer = "batch",
        mix: Mix | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        keys: Keys = KEYS,
        collate_fn: Collate | None = None,
        **loader: Any,
    ) -> None:
        """Pair the branches of `dataset`.

        Args:
            dataset: Map-style; `dataset[i]` is (image, class number, ...) or a mapping.
            labels: (N,), the class of each sample, so that they are known without reading images.
            batch_size: Samples per step on this rank.
            alpha: Parameter of Beta(alpha, 1), above 0.
            weight_per: One weight a "batch" or a "sample".
            mix: Another mix with partners of the class branch, such as `Cmo()`, in place of `alpha` and `weight_per`.
            seed: Determines every draw, together with the epoch.
            rank: This process, from 0; with `world_size`, as torch.distributed says when an iteration starts if not given.
            world_size: Number of processes; together they process the batches of a single process.
            keys: Names of the image and the label where samples are mappings.
            collate_fn: Makes a batch of a list of (image, label, partner image, partner label, weight), with what else the
                sample holds as a sixth part if it holds more; torch's default if not given.
            loader: Further arguments of torch's `DataLoader`, such as `num_workers` and `pin_memory`.
        """
        samples = len(dataset)  # type: ignore[arg-type]  # torch's Dataset does not declare the length of map-style ones
        if len(labels) != samples:
            raise UsageError(f"Expected one label per sample, but got {len(labels)} labels for {samples} samples.")
        if batch_size < 1:
            raise UsageError(f"Expected `batch_size` to be at least 1, but got {batch_size}.")
        mixing = BalancedMixUp(alpha, weight_per) if mix is None else mix
        if not mixing.needs_partners:
            raise UsageError(
                f"Expected `mix` to take its partners from a second branch, but {type(mixing).__name__} mixes a batch with "
                "itself."
            )
        ranks = Ranks(rank, world_size)
        branches = instance_branch(labels, seed=seed), class_branch(labels, 0.0, seed=seed)
        # Under this name Lightning finds it and sets its epoch.
        self.sampler = _PairSampler(np.asarray(labels, np.int64), branches, mixing, batch_size, seed, ranks)
        self._loader: DataLoader[Any] = DataLoader(
            _Pairs(dataset, keys), batch_sampler=self.sampler, collate_fn=_ToPairedBatch(collate_fn), **loader
        )

    def set_epoch(self, epoch: int) -> Self:
        """Set the epoch of the next iteration and return the loader. Without it, the next epoch follows a finished one."""
        self.sampler.set_epoch(epoch)
        return self

    def __len__(self) -> int:
        """Number of steps per epoch on this rank."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[PairedBatch]:
        """Yield the steps of the current epoch."""
        if self.sampler.finished:
            self.set_epoch(self.sampler.epoch + 1)
        yield from self._loader
        self.sampler.finished = True

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the `DataLoader` inside, such as the `batch_sampler`, which loops read to resume an epoch."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loader, name)
