"""Simulate how often the interval of an estimated class prior (`--prior estimate`) contains the true one.

python benchmarks/prior_intervals.py --csv benchmarks/results/prior-intervals.csv

Four classes are Gaussian clouds. A model was trained on even batches; its prior is not quite the one expected from them, and
its temperature may be wrong. The correction is fitted on validation images with the natural class prior, and the prior of other
images, in which the rarest class is five times as frequent, is estimated. "before" is the interval of version 0.1: from the
curvature of the likelihood at the estimate, as if the correction were known and the images independent.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri, softmax

from balanced_mixup.calibration.prior_estimate import estimate_prior, prior_interval
from balanced_mixup.calibration.priors import PriorProblem, adjust_prior, with_temperature
from balanced_mixup.calibration.scaling import Scaling
from balanced_mixup.metrics import Array

NATURAL = np.array([0.67, 0.2, 0.1, 0.03])
THERE = np.array([0.4, 0.3, 0.15, 0.15])
EVEN = np.full(4, 0.25)


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    validation, images: Numbers of images. temperature: By which the model's log-probabilities are to be divided. distance: Of
    the classes from each other, in standard deviations. group: Images of each group, which share a part of their noise and,
    three of four of them, their class; 1 for none.
    """

    validation: int
    images: int
    temperature: float = 1.0
    distance: float = 2.0
    group: int = 1


SETTINGS = {
    "150 validation images, 5 of the rarest class; 100 images": Setting(150, 100),
    "500 validation images, 15 of the rarest class; 500 images": Setting(500, 500),
    "2,000 validation images, 60 of the rarest class; 2,000 images": Setting(2000, 2000),
    "500 validation images, overconfident (temperature 2); 500 images": Setting(500, 500, 2.0),
    "60 groups of 10 validation images; 60 groups of 10 images": Setting(600, 600, 1.5, group=10),
    "20 groups of 10 validation images; 20 groups of 10 images": Setting(200, 200, 1.5, group=10),
}
QUICK = {"200 validation images, 6 of the rarest class, overconfident (temperature 1.5); 300 images": Setting(200, 300, 1.5)}


def draw(
    images: int, prior: Array, setting: Setting, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.str_] | None]:
    """Return labels (N,), log-likelihoods (N, K) of the classes, and groups."""
    y = rng.choice(len(prior), images, p=prior)
    unit = np.arange(images) // setting.group
    noise = rng.normal(size=(images, len(prior)))
    if setting.group > 1:
        together = rng.random(images) < 0.75
        y[together] = rng.choice(len(prior), unit.max() + 1, p=prior)[unit[together]]
        noise = np.sqrt(0.7) * noise + np.sqrt(0.3) * rng.normal(size=(unit.max() + 1, len(prior)))[unit]
    side = setting.distance / np.sqrt(2)
    return y, side * (noise + side * np.eye(len(prior))[y]), None if setting.group == 1 else unit.astype(str)


def observed_information(p: Array, source: Array, prior: Array) -> Array:
    """Return the half width (K,) of the interval before: from the curvature of the likelihood among priors that sum to 1."""
    slopes = p / source / (p / source @ prior)[:, None]
    inverse = np.linalg.inv(slopes.T @ slopes + np.diag(source / prior**2))
    return ndtri(0.975) * np.sqrt(np.maximum(0, np.diag(inverse) - inverse.sum(1) ** 2 / inverse.sum()))


def once(setting: Setting, seed: int, draws: int) -> dict[str, tuple[Array, Array]]:
    """Return the intervals before and after, of one simulated validation split and one simulated collection."""
    rng = np.random.default_rng(seed)
    own_prior = softmax(np.log(EVEN) + 0.4 * rng.normal(size=4))

    def predicted(likelihood: Array) -> Array:
        return softmax((np.log(own_prior) + likelihood) * setting.temperature, axis=1)

    y = np.zeros(0, np.int64)
    while len(np.unique(y)) < len(NATURAL):  # without an image of some class no prior is estimated
        y, likelihood, groups = draw(setting.validation, NATURAL, setting, rng)
    _, there, groups_there = draw(setting.images, THERE, setting, rng)
    problem = PriorProblem.of(y, predicted(likelihood), NATURAL, EVEN)
    fitted: Scaling = problem.problem.fit()
    p = adjust_prior(with_temperature(predicted(there), fitted.temperature), problem.prior(fitted), NATURAL)
    estimate = estimate_prior(p, NATURAL).prior
    half = observed_information(p, NATURAL, estimate)
    after = prior_interval(problem, predicted(there), estimate, groups, groups_there, draws=draws, seed=seed)
    return {"before": (np.clip(estimate - half, 0, 1), np.clip(estimate + half, 0, 1)), "after": after}


def coverage(
    setting: Setting, repeats: int, draws: int, run: Callable[[Setting, int, int], dict[str, tuple[Array, Array]]] = once
) -> dict[str, float]:
    """Return how often each interval contains the true share, and how wide it is: mean over classes, and the rarest class."""
    found = [run(setting, seed, draws) for seed in range(repeats)]
    row: dict[str, float] = {}
    for name in ("before", "after"):
        low, high = (np.stack([each[name][end] for each in found]) for end in (0, 1))
        inside, width = (low <= THERE) & (high >= THERE), high - low
        row |= {f"{name}, all classes": inside.mean(), f"{name}, rarest": inside[:, -1].mean(), f"{name}, width": width.mean()}
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=300, help="simulated collections of each setting (300)")
    parser.add_argument("--draws", type=int, default=200, help="draws of each interval (200)")
    parser.add_argument("--quick", action="store_true", help="one small setting, 16 repeats of 40 draws")
    parser.add_argument("--csv", type=Path, help="file to write")
    arguments = parser.parse_args()
    settings, repeats, draws = (QUICK, 16, 40) if arguments.quick else (SETTINGS, arguments.repeats, arguments.draws)
    table = pd.DataFrame([{"setting": name, **coverage(each, repeats, draws)} for name, each in settings.items()])
    print(table.round(3).to_string(index=False))
    if arguments.csv is not None:
        table.round(4).to_csv(arguments.csv, index=False)
