"""Learning rates against torch's own schedulers and by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from balanced_mixup.training.schedules import cosine, cyclic, epochs_since_best, plateau


def test_cosine_is_torchs_annealing_without_warm_up():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert cosine(step, 50, 0) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


def test_warm_up_rises_to_the_highest_rate_in_its_share_of_the_steps():
    rates = [cosine(step, 100, 0.2) for step in range(100)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert max(rates) == rates[20] == 1
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_cyclic_is_torchs_warm_restarts():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=7)
    for step in range(30):
        assert cyclic(step, 7) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


@given(st.lists(st.floats(-1, 1), max_size=40), st.integers(0, 4))
def test_plateau_is_torchs(scores, patience):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.1, patience=patience, threshold=0, threshold_mode="abs", eps=0
    )
    for score in scores:
        reference.step(score)
    assert plateau(scores, patience) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_undefined_scores_are_never_best():
    assert plateau([0.5, math.nan, math.nan], 1) == pytest.approx(0.1)
    assert epochs_since_best([math.nan, 0.1, math.nan]) == 1
    assert epochs_since_best([math.nan, math.nan]) == 2


def test_the_first_of_equal_scores_is_best():
    assert epochs_since_best([0.3, 0.5, 0.5]) == 1
    assert epochs_since_best([]) == 0
