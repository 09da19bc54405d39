"""Metrics against scikit-learn and scipy, against hand-worked numbers, and weighted against repeated images."""

import doctest
import pickle
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from balanced_mixup import metrics
from balanced_mixup.cells import Cells, Pairs
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, Images, Metric, class_auc, confusion, per_class, score, weighted_scores


def one_hot(predicted: list[int], classes: int) -> np.ndarray:
    """Return certain predictions as probabilities."""
    return np.eye(classes)[predicted]


def reference(y: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the scores of scikit-learn and scipy, NaN where ours are defined to be."""
    predicted = probabilities.argmax(1)
    seen = np.union1d(y, predicted)
    areas = [roc_auc_score(y == k, probabilities[:, k]) for k in np.unique(y) if (y != k).any()]
    constant = len(np.unique(y)) == 1 or len(np.unique(predicted)) == 1
    # The balanced accuracy of scikit-learn warns where a predicted class is absent; it is the mean recall of those present.
    recalls = recall_score(y, predicted, labels=np.unique(y), average="macro", zero_division=0)
    # Quadratic weights are distances of grades, so absent grades must not be skipped.
    labels = np.arange(probabilities.shape[1])
    return {
        "quadratic_kappa": np.nan if len(seen) == 1 else cohen_kappa_score(y, predicted, labels=labels, weights="quadratic"),
        "mcc": matthews_corrcoef(y, predicted) if len(seen) > 1 else 0.0,
        "kendall_tau": np.nan if constant else kendalltau(y, predicted).statistic,
        "balanced_accuracy": recalls,
        "macro_f1": f1_score(y, predicted, average="macro"),
        "accuracy": accuracy_score(y, predicted),
        "macro_auc": np.mean(areas) if areas else np.nan,
    }


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels and probabilities with absent classes and many ties."""
    classes = draw(st.integers(2, 5))
    images = draw(st.integers(1, 20))
    y = draw(st.lists(st.integers(0, classes - 1), min_size=images, max_size=images))
    row = st.lists(st.integers(1, 4), min_size=classes, max_size=classes)
    parts = np.array(draw(st.lists(row, min_size=images, max_size=images)), float)
    return np.array(y), parts / parts.sum(1, keepdims=True)


def random_case(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prior = 0.5 ** np.arange(classes)
    y = rng.choice(classes, images, p=prior / prior.sum())
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[y]
    return y, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


# ---- Against scikit-learn and scipy ----


@given(cases())
def test_equal_to_scikit_learn_and_scipy(case: tuple[np.ndarray, np.ndarray]) -> None:
    assert score(*case) == pytest.approx(reference(*case), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("images", "classes"), [(500, 2), (1000, 5), (300, 23)])
def test_equal_on_many_images(images: int, classes: int) -> None:
    y, probabilities = random_case(images, classes)
    assert score(y, probabilities) == pytest.approx(reference(y, probabilities), abs=1e-12)


def test_with_all_classes_present_the_plain_functions_of_scikit_learn_agree() -> None:
    y, probabilities = random_case(1000, 4)
    predicted = probabilities.argmax(1)
    assert metrics.quadratic_kappa(y, probabilities) == pytest.approx(cohen_kappa_score(y, predicted, weights="quadratic"))
    assert metrics.balanced_accuracy(y, probabilities) == pytest.approx(balanced_accuracy_score(y, predicted))
    assert metrics.macro_auc(y, probabilities) == pytest.approx(roc_auc_score(y, probabilities, multi_class="ovr"))


def test_two_classes_have_the_usual_area() -> None:
    y, probabilities = random_case(200, 2)
    assert metrics.macro_auc(y, probabilities) == pytest.approx(roc_auc_score(y, probabilities[:, 1]))


def test_per_class_against_scikit_learn() -> None:
    y, probabilities = random_case(300, 4)
    found = per_class(y, probabilities)
    assert found.recall == pytest.approx(recall_score(y, probabilities.argmax(1), average=None))
    assert found.precision == pytest.approx(precision_score(y, probabilities.argmax(1), average=None))
    assert found.support.tolist() == np.bincount(y).tolist()
    assert found.support.dtype == np.int64


# ---- By hand ----


def test_hand_worked_scores() -> None:
    # Table [[2, 1, 0], [0, 1, 1], [0, 0, 1]], rows the labels (3, 2, 1), columns the predictions (2, 2, 2).
    found = score(np.array([0, 0, 0, 1, 1, 2]), one_hot([0, 0, 1, 1, 2, 2], 3))
    # Observed squared distances 2; expected (3*2*1 + 3*2*4 + 2*2*1 + 2*2*1 + 1*2*4 + 1*2*1) / 6 = 8.
    assert found["quadratic_kappa"] == pytest.approx(1 - 2 / 8)
    # (6 * 4 - (3*2 + 2*2 + 1*2)) / sqrt((36 - 14) (36 - 12))
    assert found["mcc"] == pytest.approx(12 / (22 * 24) ** 0.5)
    # Concordant: (0,0) with (1,1), (1,2), (2,2): 2 * 3; (0,1) with (1,2), (2,2): 2; (1,1) with (2,2): 1. Discordant: none.
    # Pairs untied in y: 15 - 3 - 1 = 11; in the prediction: 15 - 3 = 12.
    assert found["kendall_tau"] == pytest.approx(9 / (11 * 12) ** 0.5)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 4 + 2 / 3) / 3)
    assert found["accuracy"] == pytest.approx(4 / 6)
    # With certain predictions the ROC curve has one corner, and its area is the mean of recall and specificity.
    assert class_auc(np.array([0, 0, 0, 1, 1, 2]), one_hot([0, 0, 1, 1, 2, 2], 3)) == pytest.approx(
        [(2 / 3 + 1) / 2, (1 / 2 + 3 / 4) / 2, (1 + 4 / 5) / 2]
    )


def test_perfect_and_reversed() -> None:
    y = np.array([0, 0, 1, 1, 2, 2])
    assert score(y, one_hot(list(y), 3)) == pytest.approx(dict.fromkeys(METRICS, 1.0))
    reversed_scores = score(y, one_hot(list(2 - y), 3))
    assert reversed_scores["kendall_tau"] == pytest.approx(-1)
    assert reversed_scores["quadratic_kappa"] == pytest.approx(-1)


def test_constant_prediction() -> None:
    found = score(np.array([0, 0, 0, 1]), one_hot([0, 0, 0, 0], 2))
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.5
    assert found["quadratic_kappa"] == 0
    assert found["mcc"] == 0
    assert found["macro_auc"] == 0.5
    assert np.isnan(found["kendall_tau"])


def test_one_class_in_labels_and_predictions() -> None:
    found = score(np.array([1, 1]), one_hot([1, 1], 3))
    assert found == pytest.approx(
        {
            "quadratic_kappa": np.nan,
            "mcc": 0,
            "kendall_tau": np.nan,
            "balanced_accuracy": 1,
            "macro_f1": 1,
            "accuracy": 1,
            "macro_auc": np.nan,
        },
        nan_ok=True,
    )


def test_absent_classes() -> None:
    # Class 2 has no image but is predicted once; class 3 neither.
    y, probabilities = np.array([0, 0, 1]), one_hot([0, 2, 1], 4)
    found = per_class(y, probabilities)
    assert found.recall == pytest.approx([1 / 2, 1, np.nan, np.nan], nan_ok=True)
    assert found.precision == pytest.approx([1, 1, 0, np.nan], nan_ok=True)
    assert found.support.tolist() == [2, 1, 0, 0]
    assert metrics.balanced_accuracy(y, probabilities) == pytest.approx(3 / 4)
    assert metrics.macro_f1(y, probabilities) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert class_auc(y, probabilities) == pytest.approx([3 / 4, 1, np.nan, np.nan], nan_ok=True)


def test_equal_probabilities_predict_the_first_class() -> None:
    assert confusion(np.array([1]), np.array([[0.25, 0.375, 0.375]])).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


@given(cases(), st.randoms(use_true_random=False))
def test_order_of_the_images_does_not_matter(case: tuple[np.ndarray, np.ndarray], random: Any) -> None:
    y, probabilities = case
    order = list(range(len(y)))
    random.shuffle(order)
    assert score(y[order], probabilities[order]) == pytest.approx(score(y, probabilities), nan_ok=True)


# ---- Weights ----


@given(cases(), st.data())
def test_a_weight_is_a_number_of_copies(case: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    y, probabilities = case
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(y), max_size=len(y)).filter(any))
    weighted = weighted_scores(y, probabilities, np.array(times, float))
    assert weighted == pytest.approx(score(np.repeat(y, times), np.repeat(probabilities, times, axis=0)), nan_ok=True)


def test_many_weightings_at_once_equal_a_loop() -> None:
    y, probabilities = random_case(60, 4)
    weights = np.random.default_rng(1).integers(0, 3, (3, 5, 60)).astype(float)
    together = weighted_scores(y, probabilities, weights)
    assert {name: values.shape for name, values in together.items()} == dict.fromkeys(METRICS, (3, 5))
    for i, j in product(range(3), range(5)):
        alone = weighted_scores(y, probabilities, weights[i, j])
        assert {name: values[i, j] for name, values in together.items()} == alone


def test_fractional_weights_leave_degenerate_scores_undefined() -> None:
    y, probabilities = np.array([0] * 30 + [1] * 3), one_hot([1] * 33, 3)
    found = weighted_scores(y, probabilities, np.r_[np.full(30, 0.1), np.zeros(3)])
    assert np.isnan(found["kendall_tau"])
    assert np.isnan(found["macro_auc"])
    assert found["mcc"] == 0


def test_weights_that_are_all_zero_leave_nothing_to_score() -> None:
    found = weighted_scores(*random_case(10, 3), np.zeros(10))
    assert found.pop("mcc") == 0
    assert all(np.isnan(value) for value in found.values())


def test_no_weightings_give_no_scores() -> None:
    assert {values.shape for values in weighted_scores(*random_case(10, 3), np.zeros((0, 10))).values()} == {(0,)}


def test_formula_takes_any_confusion_matrix() -> None:
    assert metrics.accuracy.formula(np.array([[3.0, 1.0], [0.0, 4.0]])) == pytest.approx(7 / 8)


# ---- Thousands of classes ----


@given(cases(), st.data())
def test_cells_score_as_the_whole_table(case: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    y, probabilities = case
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=2 * len(y), max_size=2 * len(y))), float).reshape(2, -1)
    cells = Pairs(y, probabilities.argmax(1), probabilities.shape[1]).counted(weights)
    assert np.array_equal(cells.dense(), confusion(y, probabilities, weights))
    for metric in METRICS.values():
        if metric.by_cells:
            assert metric.of(cells) == pytest.approx(metric.of(cells.dense()), nan_ok=True), metric.name


def test_of_thousands_of_classes_no_table_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    y, probabilities = random_case(300, 3000)
    monkeypatch.setattr(Cells, "dense", lambda cells: pytest.fail("a table of nine million cells"))
    found = score(y, probabilities)
    assert found["accuracy"] == (probabilities.argmax(1) == y).mean()
    assert found["kendall_tau"] == pytest.approx(kendalltau(y, probabilities.argmax(1)).statistic)


def test_a_foreign_formula_gets_tables_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    y, probabilities = random_case(60, 4)
    weights = np.random.default_rng(1).integers(0, 3, (3, 60)).astype(float)
    shapes: list[tuple[int, ...]] = []

    def share_right(table: np.ndarray) -> np.ndarray:
        shapes.append(table.shape)
        return np.trace(table, axis1=-2, axis2=-1) / table.sum((-2, -1))

    metric = Metric("share_right", "share right", confusion, share_right)
    expected = metric.of(Images(y, probabilities).statistic(metric, weights))
    monkeypatch.setattr(metrics, "MANY_CLASSES", 3)
    assert np.array_equal(metric.of(Images(y, probabilities).statistic(metric, weights)), expected)
    assert shapes == [(3, 4, 4), *[(4, 4)] * 3]


@given(cases())
def test_areas_of_rare_and_common_classes_are_the_same(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, probabilities = case
    weights = np.random.default_rng(len(y)).integers(0, 3, (2, len(y))).astype(float)
    # Weights that are no whole numbers go the other way, and areas do not depend on their scale.
    assert class_auc(y, probabilities, weights) == pytest.approx(class_auc(y, probabilities, weights / 3), nan_ok=True)


def test_rounding_does_not_give_an_area_to_a_class_that_has_all_images() -> None:
    weights = np.random.default_rng(17).integers(0, 3, (2, 17)).astype(float) / 3
    assert np.isnan(class_auc(np.zeros(17, np.int64), np.full((17, 2), 0.5), weights)).all()


# ---- The registry, and what comes in ----


def test_registry() -> None:
    assert list(METRICS) == [
        "quadratic_kappa",
        "mcc",
        "kendall_tau",
        "balanced_accuracy",
        "macro_f1",
        "accuracy",
        "macro_auc",
    ]
    assert [name for name, metric in METRICS.items() if metric.ordinal] == ["quadratic_kappa", "kendall_tau"]
    assert all(metric.higher_is_better for metric in METRICS.values())
    assert all(getattr(metrics, name) is metric for name, metric in METRICS.items())
    assert list(score(*random_case(20, 3))) == list(METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_can_be_called_read_about_and_sent_to_another_process(metric: metrics.Metric) -> None:
    y, probabilities = random_case(50, 3)
    value = metric(y, probabilities)
    assert type(value) is float
    assert value == score(y, probabilities)[metric.name]
    assert metric.__doc__ == metric.formula.__doc__
    assert pickle.loads(pickle.dumps(metric)) == metric


def test_docstring_examples() -> None:
    assert doctest.testmod(metrics).failed == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors(dtype: torch.dtype) -> None:
    y, probabilities = torch.tensor([0, 1, 1, 2]), torch.tensor([[0.5, 0.25, 0.25]] * 4, dtype=dtype, requires_grad=True)
    assert score(y, probabilities) == pytest.approx(score(y.numpy(), np.array([[0.5, 0.25, 0.25]] * 4)), nan_ok=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_on_a_gpu() -> None:
    y, probabilities = (torch.from_numpy(values) for values in random_case(50, 3))
    assert score(y.cuda(), probabilities.cuda()) == score(y, probabilities)


def test_small_label_types_do_not_overflow() -> None:
    y, probabilities = random_case(200, 23)
    assert score(y.astype(np.uint8), probabilities) == score(y, probabilities)


def test_arguments_are_left_alone() -> None:
    y, probabilities = random_case(20, 3)
    y.flags.writeable = probabilities.flags.writeable = False
    score(y, probabilities)


HALVES = np.full((3, 2), 0.5)
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize("call", [score, per_class, confusion, class_auc, *METRICS.values()])
@pytest.mark.parametrize(
    ("y", "probabilities", "message"),
    [
        (LABELS.astype(float), HALVES, r"Expected `y` to be integers of shape \(N,\), but got float64 of shape \(3,\)\."),
        (LABELS[:, None], HALVES, r"Expected `y` to be integers of shape \(N,\), but got int64 of shape \(3, 1\)\."),
        (LABELS[:0], HALVES[:0], r"Expected `y` to be the labels of at least one image, but got none\."),
        (
            LABELS,
            HALVES[:2],
            r"Expected `probabilities` to be floats of shape \(3, K\), K at least 2, but got float64 of .*2, 2",
        ),
        (
            LABELS,
            np.ones((3, 1)),
            r"Expected `probabilities` to be floats of shape \(3, K\), .* but got float64 of shape \(3, 1",
        ),
        (LABELS, HALVES[:, 0], r"Expected `probabilities` to be floats of shape \(3, K\), .* but got float64 of shape \(3,\)"),
        (LABELS, HALVES.astype(int), r"Expected `probabilities` to be floats of shape \(3, K\), .* but got int64 of shape"),
        (LABELS + 1, HALVES, r"Expected `y` to be from 0 to 1, for .* has 2 columns, but got labels from 1 to 2\."),
        (LABELS - 1, HALVES, r"Expected `y` to be from 0 to 1, for .* has 2 columns, but got labels from -1 to 0\."),
        (
            LABELS,
            np.where(np.eye(3, 2), np.nan, 0.5),
            r"to be finite and not negative, but got nan in row 0; apply a softmax",
        ),
        (
            LABELS,
            np.array([[0.5, 0.5], [-1, 2], [0, 1]]),
            r"to be finite and not negative, but got -1 in row 1; apply a softmax",
        ),
        (
            LABELS,
            np.array([[0.5, 0.5], [0, 1], [1, 2]]),
            r"to be rows that sum to 1 \(within 0.001\), but got a sum of 3 in row 2;",
        ),
    ],
)
def test_wrong_arguments_say_what_was_expected(
    call: Callable[..., Any], y: np.ndarray, probabilities: np.ndarray, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        call(y, probabilities)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((3, 4)), r"Expected `weights` to be of shape \(\.\.\., 3\), but got \(3, 4\)\."),
        (np.array(1.0), r"Expected `weights` to be of shape \(\.\.\., 3\), but got \(\)\."),
        (np.array([1, -1, 2.0]), r"Expected `weights` to be finite and not negative, but got values from -1 to 2\."),
        (np.array([1, 2, np.inf]), r"Expected `weights` to be finite and not negative, but got values from 1 to inf\."),
        (np.array([1, 2, np.nan]), r"Expected `weights` to be finite and not negative, but got values from nan to nan\."),
    ],
)
def test_wrong_weights_say_what_was_expected(weights: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        weighted_scores(LABELS, HALVES, weights)
