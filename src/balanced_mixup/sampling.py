"""Class sampling for imbalanced data (Eq. 2 of the paper), without size limits and for any number of ranks.

Notable decisions
- A branch returns the row at any position p of an epoch in O(1): the stream is a function of (seed, epoch), so it survives a
  restart, and each rank computes only its own positions. torch's WeightedRandomSampler is limited to 2^24 samples, is the same
  on every rank, and depends on global state.
- A sampler divides itself between the processes of torch.distributed. It is a `DistributedSampler`, by which Lightning knows
  that it must not divide it again. Accelerate divides any `DataLoader`, so there the user has to decide.
- The instance branch (q = 1) is a shuffle without replacement: each image once per epoch.
- Every other branch draws the class first, by Eq. 2, then a member of it, with replacement.

    sampler = class_sampler(labels, q=0)                       # oversampling: each class equally often
    loader = DataLoader(dataset, batch_size=32, sampler=sampler)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for images, labels in loader: ...
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DistributedSampler

from balanced_mixup.errors import UsageError
from balanced_mixup.randomness import bits, permuted, uniforms
from balanced_mixup.ranks import Ranks

Labels = Sequence[int] | npt.NDArray[np.integer] | torch.Tensor
Probabilities = npt.NDArray[np.float64]

_PIECE = 2**24


def class_probabilities(counts: Labels, q: float) -> Probabilities:
    """Return the probability of drawing from each class, p_j = n_j^q / sum_k n_k^q (Eq. 2).

    Args:
        counts: (K,), how many samples each class has. A class without samples has probability 0 for every q.
        q: 1 for the frequencies of the data (instance sampling), 0 for uniform classes (class sampling), 1/2 for square roots.

    Returns:
        float64 (K,), sums to 1.

    Raises:
        UsageError: No class has a sample, a count is negative, or `q` is not finite.
    """
    n = checked_counts(counts)
    if not np.isfinite(q):
        raise UsageError(f"Expected `q` to be a finite number, but got {q}.")
    # n^q relative to the class where it is largest: no overflow for large or very negative q.
    reference = n.max() if q >= 0 else n[n > 0].min()
    powers = np.where(n > 0, (np.where(n > 0, n, reference) / reference) ** q, 0.0)
    probabilities: Probabilities = powers / powers.sum()
    return probabilities


def checked_counts(counts: Labels) -> npt.NDArray[np.float64]:
    """Return the samples of each class as float64 (K,). UsageError where there are none, or a count is negative."""
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 1 or not (n > 0).any() or not 0 <= n.min() <= n.max() < np.inf:
        raise UsageError(f"Expected `counts` to be one number >= 0 per class, at least one above 0, but got {counts}.")
    return n


def progressive_probabilities(counts: Labels, epoch: int, epochs: int) -> Probabilities:
    """Return class probabilities that go from instance (first epoch) to class sampling (last epoch).

    p_j(t) = (1 - t) p_j(q=1) + t p_j(q=0), t = epoch / (epochs - 1) (Kang et al., ICLR 2020, Eq. 3).

    Args:
        counts: (K,), how many samples each class has.
        epoch: From 0; beyond the last epoch class sampling continues.
        epochs: Number of epochs, at least 1.
    """
    if epochs < 1 or epoch < 0:
        raise UsageError(f"Expected `epochs` >= 1 and `epoch` >= 0, but got {epochs} and {epoch}.")
    t = min(1.0, epoch / max(1, epochs - 1))
    return (1 - t) * class_probabilities(counts, 1.0) + t * class_probabilities(counts, 0.0)


def _same_in_each_epoch(counts: Labels, epoch: int, *, q: float) -> Probabilities:
    return class_probabilities(counts, q)


class Branch(ABC):
    """An endless stream of rows for each epoch; any position of it costs O(1)."""

    def __init__(self, n: int, seed: int) -> None:
        """Args: n: number of rows. seed: determines the stream, together with the epoch."""
        self.n = n
        self.seed = seed

    @abstractmethod
    def rows(self, epoch: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row, in 0..n-1, at each position (from 0) of an epoch's stream."""

    @abstractmethod
    def class_probabilities(self, counts: Labels, epoch: int) -> Probabilities:
        """Return the class probabilities of an epoch's draws, float64 (K,), given the number of rows of each class (K,)."""


class InstanceBranch(Branch):
    """Each row once, in random order; after n positions a new order begins."""

    def __init__(self, n: int, *, seed: int = 0) -> None:
        """Args: n: number of rows, at least 1."""
        if n < 1:
            raise UsageError(f"Expected `n` to be at least 1, but got {n}.")
        super().__init__(n, seed)

    def rows(self, epoch: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row at each position of an epoch's stream."""
        laps, within = np.divmod(positions, self.n)
        out = np.empty_like(positions)
        for lap in np.unique(laps).tolist():
            here = laps == lap
            out[here] = permuted(within[here], self.n, self.seed, "instance", epoch, lap)
        return out

    def class_probabilities(self, counts: Labels, epoch: int) -> Probabilities:
        """Return the class frequencies of the data (q = 1)."""
        return class_probabilities(counts, 1.0)


class ClassBranch(Branch):
    """A class by its probability, then one of its rows at random, with replacement."""

    def __init__(self, labels: Labels, probabilities: Callable[[npt.NDArray[np.int64], int], Probabilities], *, seed: int = 0):
        """Prepare the members of each class, in O(n) once.

        Args:
            labels: (n,), the class of each row, from 0. A uint8 array saves memory where n is huge.
            probabilities: Function of (counts (K,), epoch) that returns the class probabilities (K,) of that epoch.
            seed: Determines the stream, together with the epoch.
        """
        array = np.asarray(labels)
        if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu" or array.min() < 0:
            raise UsageError("Expected `labels` to be a non-empty list of class numbers from 0, one per sample.")
        super().__init__(len(array), seed)
        # In chunks: numpy's counting and sorting need eight bytes per row.
        pieces = range(0, len(array), _PIECE)
        of_pieces = [np.bincount(array[start : start + _PIECE], minlength=int(array.max()) + 1) for start in pieces]
        self.counts = np.sum(of_pieces, axis=0)
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])
        self._members = np.empty(len(array), np.uint32 if len(array) < 2**32 else np.int64)
        filled = self._starts.copy()
        for start in pieces:
            piece = array[start : start + _PIECE]
            # numpy sorts integers of 16 bits by radix: linear time.
            order = np.argsort(piece.astype(np.min_scalar_type(int(array.max()))), kind="stable")
            of_piece = np.bincount(piece)
            for k, rows in zip(np.flatnonzero(of_piece), np.split(order, np.cumsum(of_piece[of_piece > 0])[:-1]), strict=True):
                self._members[filled[k] : filled[k] + len(rows)] = rows + start
                filled[k] += len(rows)
        self._probabilities = probabilities

    def rows(self, epoch: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row at each position of an epoch's stream."""
        cumulative = np.cumsum(self._probabilities(self.counts, epoch))
        u = uniforms(positions, self.seed, "class", epoch) * cumulative[-1]
        classes = np.searchsorted(cumulative, u, side="right")
        member = bits(positions, self.seed, "member", epoch) % self.counts[classes].astype(np.uint64)
        rows: npt.NDArray[np.int64] = self._members[self._starts[classes] + member.astype(np.int64)].astype(np.int64)
        return rows

    def class_probabilities(self, counts: Labels, epoch: int) -> Probabilities:
        """Return the class probabilities of an epoch."""
        return self._probabilities(np.asarray(counts), epoch)


class BranchSampler(DistributedSampler[int]):
    """A branch as a sampler for torch's `DataLoader`, divided between ranks.

    Rank r of R draws positions r, r + R, r + 2R ... so that the ranks together see, batch for batch, the samples that one
    process with an R times larger batch sees, none twice. All ranks draw the same number, as DDP needs it: the last
    `num_samples` % R positions are left out, other ones in each epoch.
    """

    def __init__(
        self, branch: Branch, *, num_samples: int | None = None, rank: int | None = None, world_size: int | None = None
    ) -> None:
        """Wrap `branch`.

        Args:
            branch: Where rows come from.
            num_samples: Draws per epoch over all ranks; the number of rows if not given.
            rank: This process, from 0; with `world_size`, as torch.distributed says when an iteration starts if not given.
            world_size: Number of processes.
        """
        # Not the constructor of DistributedSampler, which needs a process group.
        self.ranks = Ranks(rank, world_size)
        self.branch = branch
        self.num_samples = branch.n if num_samples is None else num_samples
        if self.num_samples < 1:
            raise UsageError(f"Expected `num_samples` to be at least 1, but got {num_samples}.")
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Set the epoch of the next iteration, and how many of this rank's draws to skip (to resume within an epoch)."""
        if epoch < 0 or start < 0:
            raise UsageError(f"Expected `epoch` and `start` to be at least 0, but got {epoch} and {start}.")
        self.epoch = epoch
        self.start = start

    def __len__(self) -> int:
        """Number of draws of this rank in the next iteration."""
        return max(0, self.num_samples // self._ranks_now()[1] - self.start)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of this rank in the current epoch."""
        rank, world_size = self._ranks_now()
        chunk = 4096
        end = self.start + len(self)
        for first in range(self.start, end, chunk):
            own = np.arange(first, min(first + chunk, end))
            yield from self.branch.rows(self.epoch, own * world_size + rank).tolist()

    def _ranks_now(self) -> tuple[int, int]:
        rank, world_size = self.ranks.now(self.num_samples)
        accelerate = sys.modules.get("accelerate.state")
        if world_size > 1 and self.ranks.rank is None and accelerate is not None and accelerate.is_initialized():
            raise UsageError(
                f"Expected `rank` and `world_size` of a sampler under Accelerate in {world_size} processes (in Hugging Face's "
                "Trainer, too), but got neither. Give 0 and 1 if its DataLoader goes through `accelerator.prepare`, which "
                "divides the batches, or else `accelerator.process_index` and `accelerator.num_processes`."
            )
        return rank, world_size


def instance_branch(labels: Labels, *, seed: int = 0) -> InstanceBranch:
    """Return the branch that draws each row once per epoch, in random order."""
    return InstanceBranch(len(labels), seed=seed)


def class_branch(labels: Labels, q: float = 0.0, *, seed: int = 0) -> ClassBranch:
    """Return the branch that draws classes with probability n^q (Eq. 2), then a member with replacement."""
    return ClassBranch(labels, partial(_same_in_each_epoch, q=q), seed=seed)


def progressive_branch(labels: Labels, epochs: int, *, seed: int = 0) -> ClassBranch:
    """Return the branch that goes from instance to class sampling over `epochs` (Kang et al., ICLR 2020)."""
    return ClassBranch(labels, partial(progressive_probabilities, epochs=epochs), seed=seed)


def instance_sampler(n: int, *, seed: int = 0, rank: int | None = None, world_size: int | None = None) -> BranchSampler:
    """Return a sampler that draws each of n rows once per epoch, in random order."""
    return BranchSampler(InstanceBranch(n, seed=seed), rank=rank, world_size=world_size)


def class_sampler(
    labels: Labels,
    q: float = 0.0,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
) -> BranchSampler:
    """Return a sampler that draws classes with probability n^q (Eq. 2): q = 0 oversamples rare classes fully, 1/2 partially."""
    return BranchSampler(class_branch(labels, q, seed=seed), num_samples=num_samples, rank=rank, world_size=world_size)
