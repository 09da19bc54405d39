"""From rows to batches, for training, validation and prediction.

A training step reads its images in one gather: those of the stage's branch, and of its partners only those that are mixed in.
Everything in a batch is a function of (seed, epoch, step), and is divided between the ranks: rank r of R has the samples r,
r + R, r + 2R ... of each batch. While the model works on one step, threads prepare the next ones.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.data.augment import N_UNIFORMS
from balanced_mixup.data.pixels import Pixels, Rows
from balanced_mixup.errors import UsageError
from balanced_mixup.methods import Stage
from balanced_mixup.mixing import Mix, Weights, mix, one_hot
from balanced_mixup.randomness import generator, uniforms

_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))
_AHEAD = _THREADS + 1  # steps that are prepared while the model works on one

Batch = TypeVar("Batch", "TrainBatch", Tensor)


class TrainBatch(NamedTuple):
    """The data of a training step of B samples: M >= B images, of which the first B are the samples, the others partners.

    pixels: uint8 (M, H, W, 3), or precomputed features float32 (M, C, F) of C copies. labels: int64 (M,). uniforms: float32
    (M, N_UNIFORMS), for the augmentation. partner: int64 (B,), position of each sample's partner among the M. weight,
    target_weight: float32 (B,), the weight of the partner's image and of its target. box: float32 (B, 4), that of its image,
    of zeros for mixes without boxes.
    """

    pixels: Tensor
    labels: Tensor
    uniforms: Tensor
    partner: Tensor
    weight: Tensor
    target_weight: Tensor
    box: Tensor

    def mixed(self, images: Tensor, num_classes: int, mixing: Mix) -> tuple[Tensor, Tensor]:
        """Return the B mixed images and their soft targets (B, K), given the M images after augmentation."""
        b, targets = len(self.weight), one_hot(self.labels, num_classes)
        weights = Weights(self.weight, self.target_weight, self.box)
        mixed, target_weight = mixing.mix_images(images[:b], images[self.partner], weights)
        return mixed, mix(targets[:b], targets[self.partner], target_weight)


class TrainBatches:
    """The training steps of one epoch."""

    def __init__(
        self,
        pixels: Pixels,
        labels: npt.NDArray[np.integer],
        rows: npt.NDArray[np.integer],
        stage: Stage,
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """Set up the epoch.

        Args:
            pixels: All N images of the data set.
            labels: (N,), the class of each.
            rows: The training images among the N; the branches number them from 0.
            stage: Where samples and partners come from, and how they are mixed.
            batch_size: Samples per step, over all ranks; a multiple of `world_size`. The last, incomplete batch of an
                epoch is dropped, unless it is the only one.
            seed, epoch: Determine every draw; epochs count from 0.
            rank, world_size: This process, from 0, and the number of processes.
            device: The device on which iteration yields the steps.

        Raises:
            UsageError: The batch cannot be divided equally between the ranks.
        """
        if batch_size % world_size or len(rows) < world_size:
            raise UsageError(
                f"Expected `batch_size` to be a multiple of the number of processes, {world_size}, and no fewer training "
                f"images, but got batches of {batch_size} of {len(rows)} images."
            )
        self.pixels, self.labels, self.rows = pixels, labels, rows
        self.stage = stage
        self.batch_size = min(batch_size, len(rows) // world_size * world_size)
        self.seed, self.epoch = seed, epoch
        self.rank, self.world_size, self.device = rank, world_size, device

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[TrainBatch]:
        """Yield the steps in their order."""
        return prefetched(self.step, len(self), self.device)

    def step(self, step: int) -> TrainBatch:
        """Return this rank's share of one batch."""
        b = self.batch_size
        positions = np.arange(step * b, (step + 1) * b)
        candidates = self.stage.branch.rows(self.epoch, positions)
        if self.stage.partners is not None:
            candidates = np.concatenate([candidates, self.stage.partners.rows(self.epoch, positions)])
        labels = self.labels[self.rows[candidates]]
        paired = self.stage.mix.pair(labels, b, generator(self.seed, "mixing", self.epoch, step))
        own = np.arange(self.rank, b, self.world_size)
        partner, weight, target_weight = (array[own] for array in paired[:3])
        box = np.zeros((b, 4), np.float32) if paired.box is None else paired.box
        # The samples of this rank, in their order, then the partners that are not among them.
        others = np.setdiff1d(partner, own)
        read = np.concatenate([own, others])
        where = np.empty(2 * b, np.int64)
        where[read] = np.arange(len(read))
        draws = uniforms(
            # The two branches augment independently, each image by its position in the epoch.
            ((positions[read % b] * 2 + read // b) * N_UNIFORMS)[:, None] + np.arange(N_UNIFORMS),
            self.seed,
            "augment",
            self.epoch,
        )
        rows = self.rows[candidates[read]].astype(np.int64)
        return TrainBatch(
            self.pixels.gather(rows),
            torch.from_numpy(self.labels[rows].astype(np.int64)),
            torch.from_numpy(draws.astype(np.float32)),
            torch.from_numpy(where[partner]),
            torch.from_numpy(weight),
            torch.from_numpy(target_weight),
            torch.from_numpy(box[own]),
        )


class EvalBatches:
    """Images in the order of `rows`, each once.

    With several ranks, rank r of R has the images r, r + R, r + 2R ...; all have equally many, for which some repeat the first
    ones.
    """

    def __init__(
        self,
        pixels: Pixels,
        rows: Rows,
        batch_size: int | None = None,
        *,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """Read some `rows` of `pixels`, `batch_size` at a time, to `device`.

        Without a batch size, a batch has `eval_batch_size` images.
        """
        shared = -(-len(rows) // world_size)
        self.pixels = pixels
        self.rows = rows[np.arange(rank, shared * world_size, world_size) % max(1, len(rows))]
        self.batch_size = batch_size or eval_batch_size(pixels.shape[1], pixels.shape[2])
        self.device = device

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield uint8 (B, H, W, 3)."""
        return prefetched(self.batch, len(self), self.device)

    def batch(self, number: int) -> Tensor:
        """Return one batch, uint8 (B, H, W, 3)."""
        return self.pixels.gather(self.rows[number * self.batch_size : (number + 1) * self.batch_size])


def eval_batch_size(height: int, width: int) -> int:
    """Return the number of images with 4 million pixels (256 of 128 px, 16 of 512 px): memory does not grow with their size."""
    return max(1, min(256, 2**22 // (height * width)))


def prefetched(make: Callable[[int], Batch], count: int, device: torch.device | None = None) -> Iterator[Batch]:
    """Yield make(0), make(1) ... make(count - 1), while threads make the next ones.

    With a GPU as `device` they are copied there while the GPU computes.
    """
    stream = torch.cuda.Stream(device) if device is not None and device.type == "cuda" else None  # type: ignore[no-untyped-call]  # torch's

    def make_on_device(number: int) -> tuple[Batch, torch.cuda.Event | None]:
        if stream is None:
            return make(number), None
        with torch.cuda.stream(stream):
            batch = _map_tensors(make(number), lambda tensor: _pinned(tensor).to(device, non_blocking=True))
            return batch, stream.record_event()

    def wait_for_copy(batch: Batch, event: torch.cuda.Event | None) -> Batch:
        if event is not None:
            current = torch.cuda.current_stream(device)
            current.wait_event(event)
            for tensor in batch if isinstance(batch, TrainBatch) else (batch,):
                tensor.record_stream(current)  # its memory is not reused before the model has finished with it
        return batch

    with ThreadPoolExecutor(_THREADS) as threads:
        ahead: deque[Future[tuple[Batch, torch.cuda.Event | None]]] = deque()
        try:
            for number in range(count):
                ahead.append(threads.submit(make_on_device, number))
                if len(ahead) > _AHEAD:
                    yield wait_for_copy(*ahead.popleft().result())
            while ahead:
                yield wait_for_copy(*ahead.popleft().result())
        finally:
            for future in ahead:
                future.cancel()


def _map_tensors(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    if isinstance(batch, TrainBatch):
        return TrainBatch(*map(function, batch))
    return function(batch)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if tensor.device.type == "cpu" else tensor
