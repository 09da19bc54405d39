"""The data of Figure 2: samples that a method draws and mixes from points in the plane, and a small classifier trained on them.

Sampling, mixing, loss and random numbers are those of every training; only the images are points here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from balanced_mixup.methods import Method, TrainSet
from balanced_mixup.mixing import Weights, mix, one_hot
from balanced_mixup.randomness import generator, torch_seed
from balanced_mixup.training.schedules import cosine

Floats = npt.NDArray[np.float32]

STEPS, BATCH, LEARNING_RATE, HIDDEN = 400, 2048, 0.01, 64


@dataclass(frozen=True)
class Samples:
    """The samples of a method: points float32 (M, 2), targets float32 (M, K), weight of the partner float32 (M,)."""

    points: Tensor
    targets: Tensor
    weight: Tensor


class Epochs:
    """The epochs of a method over points; each is a function of (seed, epoch)."""

    def __init__(self, points: Floats, labels: npt.NDArray[np.int64], method: Method, seed: int) -> None:
        """Set up the first stage.

        Args:
            points: (N, 2).
            labels: (N,), from 0.
            method: How samples are drawn, mixed and learned from.
            seed: Determines every draw, together with the epoch.
        """
        self.n, self.seed = len(labels), seed
        self.points, self.labels = torch.from_numpy(points), labels
        self.targets = one_hot(torch.from_numpy(labels), int(labels.max()) + 1)
        self.stage = method.stages(TrainSet(labels, self.targets.shape[1], STEPS, seed))[0]

    def samples(self, epoch: int, count: int) -> Samples:
        """Return the first `count` samples of an epoch."""
        positions = np.arange(count)
        branches = [branch for branch in (self.stage.branch, self.stage.partners) if branch is not None]
        rows = np.concatenate([branch.rows(epoch, positions) for branch in branches])
        paired = self.stage.mix.pair(self.labels[rows], count, generator(self.seed, "mixing", epoch, 0))
        partner, weight, target_weight = map(torch.from_numpy, paired[:3])
        points, targets = self.points[rows], self.targets[rows]
        weights = Weights(weight, target_weight, torch.zeros(count, 4))
        mixed, target_weight = self.stage.mix.mix_images(points[:count], points[partner], weights)
        return Samples(mixed, mix(targets[:count], targets[partner], target_weight), weight)


def trained(epochs: Epochs) -> Callable[[Tensor], Tensor]:
    """Return a classifier of points (M, 2), with probabilities (M, K), trained on the method's samples and loss.

    It is a perceptron with two hidden layers on standardised points. Each step of Adam sees a new epoch, or 2,048 samples of
    it where there are more.
    """
    loss = epochs.stage.loss
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(epochs.seed, "weights"))
        model = nn.Sequential(
            nn.Linear(2, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, epochs.targets.shape[1])
        )
    mean, std = epochs.points.mean(0), epochs.points.std(0, correction=0).clamp_min(1e-6)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * cosine(step, STEPS, 0.0)
        samples = epochs.samples(step, min(epochs.n, BATCH))
        optimizer.zero_grad()
        torch.autograd.backward(loss(model((samples.points - mean) / std), samples.targets))
        optimizer.step()
    return torch.no_grad()(lambda points: model((points - mean) / std).softmax(1))
