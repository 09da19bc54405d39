"""SAM: the gradient is taken up the slope, the statistics of batch normalisation are not, and training works with it."""

import pytest
import torch
from torch import nn

from balanced_mixup.training.sharpness import ascended


def test_the_step_of_a_quadratic_by_hand():
    """f(w) = w' A w / 2, so g = A w, and the gradient at w + rho g / |g| is A w + rho A A w / |A w|."""
    model = nn.Linear(2, 1, bias=False)
    start = torch.tensor([[3.0, -1.0]])
    model.weight.data.copy_(start)
    a = torch.tensor([2.0, 0.5])

    def backward():
        model.zero_grad()
        (a * model.weight**2 / 2).sum().backward()

    backward()
    with ascended(model, 0.1):
        moved = model.weight.detach().clone()
        backward()
    gradient = a * start
    assert torch.allclose(moved, start + 0.1 * gradient / gradient.norm())
    assert torch.equal(model.weight.data, start)
    assert torch.allclose(model.weight.grad, gradient + 0.1 * a * gradient / gradient.norm())


def test_batch_normalisation_sees_the_first_pass_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    images = torch.randn(8, 3)
    model(images).square().mean().backward()
    mean, seen = model[1].running_mean.clone(), model[1].num_batches_tracked.clone()
    with ascended(model, 0.5), pytest.raises(RuntimeError, match="stop"):
        model(images)
        raise RuntimeError("stop")
    assert torch.equal(model[1].running_mean, mean) and torch.equal(model[1].num_batches_tracked, seen)
    model(images)
    assert not torch.equal(model[1].running_mean, mean)


def test_a_training_with_it_differs_and_is_reproducible(fit_small, tmp_path):
    def weights(name, **settings):
        sgd = {"optimizer": "sgd", "learning_rate": 0.05}
        return fit_small(tmp_path / name, method="instance", epochs=1, **sgd, **settings)[1].state_dict()

    plain, sam, again = weights("a"), weights("b", sam_rho=0.05), weights("c", sam_rho=0.05)
    assert all(torch.equal(sam[name], again[name]) for name in sam)
    assert not torch.equal(plain["fc.weight"], sam["fc.weight"])
    assert all(tensor.isfinite().all() for tensor in sam.values())
    # A tiny radius is plain training, but for the last digits.
    near = weights("d", sam_rho=1e-9)
    assert all(torch.allclose(near[name].float(), plain[name].float(), atol=1e-4) for name in plain)
