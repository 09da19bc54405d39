"""Rows of a benchmark whose probabilities are corrected to the class prior of the place of use; nothing is trained for them.

Each run has fitted its temperature and its class prior on validation images (`calibration.correction`); with these, Bayes' rule
gives the probabilities for another prior (Saerens et al., Neural Computation 14, 2002, Eq. 4), which is what logit adjustment
does after training (Menon et al., ICLR 2021). So a method that is to find rare classes has to beat plain training with this
correction, not plain training alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from balanced_mixup.benchmark.benchmark_folder import PlannedRun
from balanced_mixup.benchmark.plan import BenchmarkPrior
from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.priors import SUM_TOLERANCE
from balanced_mixup.errors import UsageError, shown
from balanced_mixup.methods import METHODS
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run


def check_prior(name: str, prior: BenchmarkPrior, classes: tuple[str, ...]) -> None:
    """Raise UsageError unless the prior of the data `name` is one by name, or has a share for each class."""
    if isinstance(prior, str):
        return
    if set(prior) != set(classes):
        raise UsageError(
            f"Expected `prior` of the data {name!r} to have a share for each of {', '.join(classes)}, got {shown(prior)}."
        )
    if min(prior.values()) < 0 or abs(sum(prior.values()) - 1) > SUM_TOLERANCE:
        raise UsageError(
            f"Expected `prior` of the data {name!r} to be shares from 0 to 1 that sum to 1, but got {shown(prior)}."
        )


def has_corrected_row(run: PlannedRun) -> bool:
    """Return whether a run has one: its method's probabilities allow it, and no scored image took part in the fit."""
    method = METHODS.get(str(run.settings.get("method")))  # None for one of a package that is not installed any more
    return run.prior != "none" and run.scored == "test" and method is not None and method.correctable


def corrected_label(run: PlannedRun) -> str:
    """Return the name of the row in tables, such as "instance, uniform prior"."""
    return f"{run.method}, {run.prior if isinstance(run.prior, str) else 'deployment'} prior"


def corrected(predictions: Predictions, run: Path, prior: str | Mapping[str, float]) -> Predictions:
    """Return predictions of the run in a folder, their probabilities corrected to a class prior.

    Raises:
        UsageError: The run cannot be calibrated.
    """
    correction = Run.open(run).calibration
    if isinstance(prior, str):
        target = correction.prior(prior)
    else:
        target = TargetPrior("deployment", np.array([prior[name] for name in correction.classes]))
    return replace(predictions, probabilities=correction.apply(predictions.probabilities, target))
