"""Intervals of scores: against closed forms and other libraries, their coverage in small, and their warnings."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, score
from balanced_mixup.statistics import score_intervals

CLASS_SCORES = ("recall", "specificity", "precision", "npv", "f1", "auc", "average_precision")


def predictions(images=400, classes=4, seed=0, skill=1.5):
    rng = np.random.default_rng(seed)
    prior = 0.5 ** np.arange(classes)
    labels = np.concatenate([np.arange(classes), rng.choice(classes, images - classes, p=prior / prior.sum())])
    odds = np.exp(rng.normal(size=(images, classes)) + skill * np.eye(classes)[labels])
    return labels, odds / odds.sum(1, keepdims=True)


def answers(labels, predicted, classes):
    """Return probabilities that are rather sure of the predicted class."""
    p = np.full((len(labels), classes), 0.1 / (classes - 1))
    p[np.arange(len(labels)), predicted] = 0.9
    return np.array(labels), p


def test_values_are_those_of_the_metrics_and_of_scikit_learn():
    labels, p = predictions()
    found = score_intervals(labels, p, draws=50)
    assert list(found) == [*METRICS, *(f"{name}_{k}" for name in CLASS_SCORES[:5] for k in range(4)), *list(found)[-8:]]
    assert {name: found[name].value for name in METRICS} == pytest.approx(score(labels, p))
    predicted = p.argmax(1)
    for k in range(4):
        of, called = labels == k, predicted == k
        expected = {
            "recall": called[of].mean(),
            "specificity": (~called)[~of].mean(),
            "precision": of[called].mean(),
            "npv": (~of)[~called].mean(),
            "f1": 2 * (of & called).sum() / (of.sum() + called.sum()),
            "auc": roc_auc_score(of, p[:, k]),
            "average_precision": average_precision_score(of, p[:, k]),
        }
        assert {name: found[f"{name}_{k}"].value for name in CLASS_SCORES} == pytest.approx(expected)
    for name, interval in found.items():
        assert interval.low < interval.value < interval.high, name


def test_tied_probabilities_come_in_together():
    labels, p = np.array([0, 1, 1, 0, 1, 0]), np.array([0.2, 0.2, 0.7, 0.7, 0.7, 0.1])
    found = score_intervals(labels, np.stack([1 - p, p], axis=1), draws=10)
    assert found["average_precision_1"].value == pytest.approx(average_precision_score(labels, p))
    assert found["auc_1"].value == pytest.approx(roc_auc_score(labels, p))


@pytest.mark.parametrize(("right", "images"), [(0, 12), (3, 12), (12, 12), (40, 60)])
def test_recall_and_precision_are_those_of_jeffreys(right, images):
    labels = [1] * images + [0] * images
    predicted = [1] * right + [0] * (images - right) + [0] * images
    found = score_intervals(*answers(labels, predicted, 2), draws=4000)
    low, high = beta.ppf([0.025, 0.975], right + 0.5, images - right + 0.5)
    expected = (0 if right == 0 else low, 1 if right == images else high)
    assert (found["recall_1"].low, found["recall_1"].high) == pytest.approx(expected, abs=0.012)
    expected = beta.ppf([0.025, 0.975], images + 0.5, images - right + 0.5)
    expected[1] = 1 if right == images else expected[1]
    assert (found["precision_0"].low, found["precision_0"].high) == pytest.approx(expected, abs=0.012)


def test_the_area_is_that_of_newcombe():
    # Three of the class above all of 100 others: the roots of (1 - A)^2 = z^2 V(A), with n = 3 and m = 100 over the scale.
    labels = np.repeat([1, 0], [3, 100])
    p = np.linspace(0.99, 0.01, 103)
    found = score_intervals(labels, np.stack([1 - p, p], axis=1), draws=10)["auc_1"]
    assert (found.value, found.high) == (1, 1)
    n, m = 3 * 23 / 20, 100 * 23 / 20

    def excess(area):
        pairs = (n + m) / 2 - 1
        variance = area * (1 - area) * (1 + pairs * ((1 - area) / (2 - area) + area / (1 + area))) / (n * m)
        return (1 - area) ** 2 - 1.959964**2 * variance

    assert excess(found.low) == pytest.approx(0, abs=1e-6) and excess(found.low - 0.01) > 0


def test_two_classes_have_the_same_area_and_their_mean_its_interval():
    labels, p = predictions(120, 2)
    found = score_intervals(labels, p, draws=10)
    for end in ("value", "low", "high"):
        assert getattr(found["macro_auc"], end) == pytest.approx(getattr(found["auc_1"], end), abs=1e-9)


def test_groups_of_one_image_are_as_good_as_none_and_copies_are_worth_one():
    labels, p = predictions(200, 3)
    plain = score_intervals(labels, p)
    single = score_intervals(labels, p, np.arange(200).astype(str))
    tenfold = score_intervals(labels.repeat(10), p.repeat(10, axis=0), np.arange(200).repeat(10).astype(str))
    for name, interval in plain.items():
        width = interval.high - interval.low
        assert width * 0.999 <= single[name].high - single[name].low < 1.25 * width, name
        assert 0.85 * width < tenfold[name].high - tenfold[name].low < 1.6 * width, name


@pytest.mark.parametrize("groups", [False, True])
def test_an_interval_contains_its_score_whatever_the_groups(groups):
    for seed in range(6):
        labels, p = predictions(60, 4, seed, skill=4)
        names = np.random.default_rng(seed).integers(12, size=60).astype(str) if groups else None
        for name, interval in score_intervals(labels, p, names, draws=100).items():
            assert interval.low <= interval.value <= interval.high, name


def test_many_classes_have_much_the_same_intervals_as_few():
    labels, p = predictions(2000, 5)
    wide = np.zeros((2000, 80))
    wide[:, :5] = p
    few, many = score_intervals(labels, p), score_intervals(labels, wide)
    for name in ("mcc", "accuracy", "macro_f1", "balanced_accuracy", "recall_4", "auc_4"):
        assert (many[name].low, many[name].high) == pytest.approx((few[name].low, few[name].high), abs=0.02), name
    assert np.isnan(many["recall_60"].value) and many["recall_60"].warning is None


@pytest.mark.parametrize("grouped", [False, True])
def test_specificity_and_npv_are_those_of_the_class_against_the_rest_however_many_classes_that_has(grouped):
    labels = np.repeat(np.arange(9), [22, 13, 10, 6, 3, 2, 2, 1, 1])
    predicted = np.where(np.arange(60) % 2, labels, 0)
    groups = np.arange(60).astype(str) if grouped else None
    found = score_intervals(*answers(labels, predicted, 9), groups)
    rest, called = labels != 0, predicted == 0
    for name, right, wrong in (
        ("specificity_0", rest & ~called, rest & called),
        ("npv_0", rest & ~called, ~rest & ~called),
    ):
        ends = beta.ppf([0.025, 0.975], right.sum() + 0.5, wrong.sum() + 0.5)
        assert (found[name].low, found[name].high) == pytest.approx(ends, abs=0.05 if grouped else 0.02), name


class TestWarnings:
    def test_a_class_of_three_images(self):
        labels, p = answers([0] * 40 + [1] * 3, [0] * 43, 2)
        found = score_intervals(labels, p, classes=["benign", "melanoma"], draws=20)
        sentence = "Only 3 images of 'melanoma': too few to rely on the interval."
        warned = {name for name, interval in found.items() if interval.warning}
        assert {found[name].warning for name in warned - {"specificity_0", "npv_0"}} == {sentence}
        assert {"recall_1", "auc_1", "balanced_accuracy", "macro_f1", "macro_auc"} <= warned
        assert not {"accuracy", "mcc", "recall_0", "specificity_1"} & warned
        assert found["specificity_0"].warning == (
            "Only 3 images of other classes than 'benign': too few to rely on the interval."
        )

    def test_images_of_few_groups(self):
        labels, p = answers([0, 1] * 100, [0, 1] * 100, 2)
        found = score_intervals(labels, p, np.arange(200).astype(str), draws=20)
        assert not any(interval.warning for interval in found.values())
        found = score_intervals(labels, p, (np.arange(200) // 8).astype(str), draws=20)
        assert {interval.warning for interval in found.values()} == {"Only 25 groups: too few to rely on the interval."}

    def test_of_many_rare_classes_three_are_named(self):
        labels = np.concatenate([np.zeros(60, int), np.arange(1, 6)])
        found = score_intervals(*answers(labels, labels, 6), draws=20)
        assert found["macro_f1"].warning == (
            "Only 1 image of '1', 1 image of '2', 1 image of '3' and 2 more: too few to rely on the interval."
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"level": 95}, "`level` to be between 0 and 1"),
        ({"draws": 0}, "`draws` to be at least 1"),
        ({"groups": np.array(["a"])}, r"`groups` to be of shape \(400,\)"),
    ],
)
def test_wrong_arguments(changed, message):
    with pytest.raises(UsageError, match=message):
        score_intervals(*predictions(), **changed)


def test_coverage_in_small():
    """A small run of `benchmarks/coverage.py`: what the percentile bootstrap covers in 71 %, these cover."""
    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    cell = benchmark.Cell(10, None, 2.5)
    true = benchmark.truth(cell, 50_000)
    drawn = [benchmark.outcomes(cell, true, 5 * seed + 1) for seed in range(80)]
    for name in benchmark.SCORES:
        covered = np.mean([each[name][0] for each in drawn])
        assert covered > 0.85, (name, covered)  # four standard errors of 80 draws below 0.95
