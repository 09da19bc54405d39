"""`BalancedMixUpFn`: Eq. 3 on the batches of a loop that has its own loader."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import BalancedMixUpFn

LABELS = [0] * 80 + [1] * 16 + [2] * 4


class Numbered(Dataset):
    """Image i is full of the number i + 1000."""

    def __init__(self):
        self.reads = []

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, row):
        self.reads.append(row)
        return torch.full((1, 2, 2), row + 1000.0), LABELS[row]


def made(dataset=None, **settings):
    return BalancedMixUpFn(dataset or Numbered(), LABELS, **{"num_classes": 3, "batch_size": 10, "alpha": 2.0} | settings)


def steps(mixup_fn, count, batch=10):
    """Return images and targets of calls with images of zeros, of class 0."""
    calls = [mixup_fn(torch.zeros(batch, 1, 2, 2), torch.zeros(batch, dtype=torch.int64)) for _ in range(count)]
    return torch.stack([images for images, _ in calls])[..., 0, 0, 0], torch.stack([targets for _, targets in calls])


def test_it_mixes_class_balanced_images_by_eq_3():
    images, targets = steps(made(seed=1), 300)
    assert torch.allclose(targets.sum(-1), torch.ones(300, 10))
    # Where the partner is of another class than 0, the weight of its target is the weight of its image.
    for klass in (1, 2):
        of_class = targets[..., klass] > 0
        row = images[of_class] / targets[..., klass][of_class] - 1000
        assert {LABELS[round(r)] for r in row.tolist()} == {klass}
        assert torch.allclose(row, row.round(), atol=0.01)
        assert of_class.float().mean() == pytest.approx(1 / 3, abs=0.03)
    # One weight for each batch, of mean alpha / (1 + alpha).
    weight = targets[..., 1:].sum(-1).amax(1)
    assert weight.mean() == pytest.approx(2 / 3, abs=0.04)
    assert all(len(set(np.round(row[row > 0].tolist(), 5))) == 1 for row in targets[..., 1:].sum(-1))


def test_partners_of_negligible_weight_are_not_read():
    for weight_per in ("batch", "sample"):
        dataset = Numbered()
        images, _ = steps(made(dataset, alpha=0.1, weight_per=weight_per), 40)
        assert 100 < len(dataset.reads) < 280  # (1/510)^0.1 = 54 % of 400 are not read
        assert len(dataset.reads) == (images > 0).sum()


def test_the_same_seed_gives_the_same_batches_and_workers_do_not_matter():
    first = steps(made(seed=3), 12)
    for other in (made(seed=3), made(seed=3, num_workers=0)):
        assert all(torch.equal(one, two) for one, two in zip(first, steps(other, 12), strict=True))
    assert not torch.equal(first[0], steps(made(seed=4), 12)[0])


@pytest.mark.parametrize("weight_per", ["batch", "sample"])
def test_ranks_together_draw_what_one_process_draws(weight_per):
    whole = steps(made(batch_size=10, weight_per=weight_per), 8)
    ranks = [steps(made(batch_size=5, weight_per=weight_per, rank=rank, world_size=2), 8, batch=5) for rank in range(2)]
    for one, parts in zip(whole, zip(*ranks, strict=True), strict=True):
        for rank in range(2):
            assert torch.equal(parts[rank], one[:, rank::2])


@pytest.mark.parametrize("weight_per", ["batch", "sample"])
def test_a_last_batch_may_be_smaller(weight_per):
    whole, other = (made(weight_per=weight_per) for _ in range(2))
    assert torch.equal(steps(whole, 1)[0][:, :4], steps(other, 1, batch=4)[0])
    assert torch.equal(steps(whole, 1)[0], steps(other, 1)[0])


def test_label_smoothing_is_for_mixed_targets():
    smooth, plain = steps(made(label_smoothing=0.3), 5)[1], steps(made(), 5)[1]
    assert torch.allclose(smooth, 0.7 * plain + 0.1)


def test_bad_arguments_are_named():
    with pytest.raises(UsageError, match="Expected one label per sample, but got 100 labels for 2 samples"):
        made([1, 2])
    with pytest.raises(UsageError, match="Expected `num_classes` to be at least 3, as in `labels`, but got 2"):
        made(num_classes=2)
    with pytest.raises(UsageError, match=r"Expected `batch_size` >= 1 and `label_smoothing` in \[0, 1\), but got 10 and 1"):
        made(label_smoothing=1)
    images, labels = torch.zeros(11, 1, 2, 2), torch.zeros(11, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"Expected at most 10 images \(`batch_size`\) and the class number of each, but got"):
        made()(images, labels)
    with pytest.raises(UsageError, match=r"got shapes \(5, 1, 2, 2\) and \(5, 3\) \(torch.float32\)"):
        made()(images[:5], torch.zeros(5, 3))
