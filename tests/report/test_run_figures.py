"""The figures of a run: their numbers against references, odd names, many classes, and what is undefined."""

import numpy as np
import pandas as pd
import pytest
from drawn import ODD, assert_at_home, assert_legible, words
from sklearn.metrics import average_precision_score, roc_auc_score

from balanced_mixup.report.figures import (
    class_scores,
    confusion_matrix,
    precision_recall_curves,
    prior_bars,
    reliability_diagram,
    roc_curves,
    training_curves,
)
from balanced_mixup.report.figures.style import rarest_and_largest, short_name, to_svg

LABELS = {"quadratic_kappa": "quadratic kappa", "balanced_accuracy": "balanced accuracy"}


def names_of(k):
    return [*ODD, *(f"class {i}" for i in range(len(ODD), k))][:k]


def predictions(k, n=600, seed=0):
    """Return labels (n,) of k classes, each rarer than the one before, and probabilities (n, k)."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, k + 1) ** 1.2
    y = np.concatenate([np.arange(k), rng.choice(k, n - k, p=shares / shares.sum())])
    logits = rng.normal(size=(n, k)) + 2 * np.eye(k)[y]
    return y, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def history(epochs):
    rng = np.random.default_rng(0)
    epoch = np.arange(1, epochs + 1)
    scores = {name: rng.uniform(0.3, 0.9, epochs) for name in (*LABELS, "mcc")}
    return pd.DataFrame({"epoch": epoch, "learning_rate": 1e-3 / epoch, "train_loss": 1 / epoch, **scores})


def small_numbers():
    return history(7).assign(learning_rate=2e-6, train_loss=np.geomspace(3e-7, 1e-7, 7))


def undefined_scores():
    return history(7).assign(mcc=np.nan, balanced_accuracy=np.nan)


def scores(k):
    """Return training and test images (k,) and a recall and a precision (k, 3), one of each undefined where k > 2."""
    rng = np.random.default_rng(0)
    train = 2000 // (np.arange(k) + 1) ** 2 + 1
    test = train // 3 + 1
    tables = []
    for _ in range(2):
        value = np.rint(rng.uniform(0.1, 0.9, k) * test) / test
        tables.append(np.stack([value, value * 0.8, value + 0.2 * (1 - value)], axis=1))
    if k > 2:
        test[2] = 0
        tables[0][2] = tables[1][1] = np.nan
    return train, test, *tables


def bins(count, shift=0.0):
    confidence = np.linspace(0.3, 0.99, count)
    accuracy = np.clip(confidence - shift, 0, 1)
    columns = {"confidence": confidence, "accuracy": accuracy, "low": accuracy - 0.05, "high": np.minimum(accuracy + 0.05, 1)}
    return pd.DataFrame({**columns, "count": np.arange(count) + 40})


def table(k):
    y, probabilities = predictions(k)
    counts = np.zeros((k, k), int)
    np.add.at(counts, (y, probabilities.argmax(1)), 1)
    return counts


DRAWINGS = {
    "epochs": (170, lambda: training_curves(history(7), "quadratic_kappa", 3, LABELS)),
    "many epochs": (170, lambda: training_curves(history(200), "mcc", 200, {"mcc": ODD[3]})),
    "small numbers": (170, lambda: training_curves(small_numbers(), "mcc", 5, {"mcc": "MCC"})),
    "undefined scores": (170, lambda: training_curves(undefined_scores(), "mcc", 5, {"mcc": "MCC"})),
    **{f"scores of {k}": (170, lambda k=k: class_scores(names_of(k), *scores(k))) for k in (2, 60)},
    **{f"confusion of {k}": (170, lambda k=k: confusion_matrix(table(k), names_of(k), False)) for k in (60,)},
    "short names": (85, lambda: confusion_matrix(10_000 * table(3), ["a", "b", "c"], True)),
    "ROC": (170, lambda: roc_curves(*predictions(60), names_of(60))),
    "PR": (170, lambda: precision_recall_curves(*predictions(7), names_of(7))),
    "two reliabilities": (170, lambda: reliability_diagram(bins(15), bins(10, 0.2), ece_before="ECE 0.04", ece_after=ODD[2])),
    "no bins": (85, lambda: reliability_diagram(bins(0))),
    **{f"priors of {k}": (85, lambda k=k: prior_bars(names_of(k), natural(k), np.full(k, 1 / k))) for k in (1, 60)},
}


def natural(k):
    counts = scores(k)[0]
    return counts / counts.sum()


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_legible_and_at_home_on_any_page(name):
    width, draw = DRAWINGS[name]
    drawing = draw()
    assert_at_home(drawing)
    assert_legible(drawing, width)
    assert len(drawing.numbers) or name == "no bins"


def test_same_data_same_picture():
    _, draw = DRAWINGS["epochs"]
    assert to_svg(draw()) == to_svg(draw())


# ---- Names ----


def test_names_are_whole_in_the_numbers_and_text_in_the_picture():
    drawing = class_scores(ODD, *scores(len(ODD)))
    assert set(drawing.numbers["class"]) == set(ODD)
    written = words(drawing)
    shown = ("<script>alert('x')</script>", "$x_1$ & \\alpha --> ]]>", "two lines and a zero", "b")
    assert all(any(text.startswith(f"{name} (") for text in written) for name in shown)
    assert "<script" not in to_svg(drawing)


@pytest.mark.parametrize("name", [*ODD, "", "…", "e" + "\u0301" * 300, "\u202eright to left"])
def test_a_name_is_one_short_line(name):
    line = short_name(name, 20)
    whole = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    assert len(line) <= 20 and line.isprintable()
    assert line == whole or "…" in line


def test_a_shortened_name_keeps_both_ends():
    short = [short_name(f"ulcerative-colitis-grade-{grade}", 18) for grade in range(4)]
    assert len(set(short)) == 4
    assert all(name.startswith("ulcer") and "…" in name for name in short)


def test_the_rarest_and_the_largest():
    assert rarest_and_largest(np.array([5, 1, 3]), 1, 2).tolist() == [1, 2, 0]
    assert rarest_and_largest(np.array([5, 1, 3, 9, 2]), 2, 1).tolist() == [1, 4, 3]


# ---- Training ----


def test_training_curves_show_the_history_and_mark_the_epoch():
    frame = history(5)
    drawing = training_curves(frame, "mcc", 4, {"mcc": "MCC"})
    numbers = drawing.numbers
    assert list(numbers) == ["epoch", "learning_rate", "train_loss", "mcc", "balanced_accuracy", "kept"]
    assert numbers.loc[numbers["kept"], "epoch"].tolist() == [4]
    pd.testing.assert_frame_equal(numbers.drop(columns="kept"), frame[list(numbers)[:-1]])
    assert {"epoch 4 was kept", f"MCC: {frame['mcc'][3]:.3f} in epoch 4"} <= set(words(drawing))


def test_undefined_scores_leave_a_gap_or_say_so():
    frame = history(5)
    frame.loc[1, ["mcc", "train_loss"]] = np.nan, np.inf
    numbers = training_curves(frame, "mcc", 4, {}).numbers
    assert numbers["mcc"].isna().tolist() == numbers["train_loss"].isna().tolist() == [False, True, False, False, False]
    drawing = training_curves(frame.assign(balanced_accuracy=np.nan), "mcc", 4, {})
    assert "undefined" not in words(drawing) and "balanced_accuracy: undefined in epoch 4" in words(drawing)
    assert words(training_curves(undefined_scores(), "mcc", 4, {})).count("undefined") == 1
    drawing = training_curves(frame.assign(balanced_accuracy=np.nan), "balanced_accuracy", 4, {})
    assert {"undefined", "balanced_accuracy: undefined in epoch 4"} <= set(words(drawing))


# ---- Scores of each class ----


def test_class_scores_begin_with_the_rarest():
    classes, train, test = ["big", "mid", "tiny"], np.array([801, 200, 199]), np.array([10, 4, 3])
    recall = np.array([[0.9, 0.8, 1.0], [0.25, 0.0, 0.5], [2 / 3, 0.2, 1.0]])
    drawing = class_scores(classes, train, test, recall, recall)
    numbers = drawing.numbers
    assert numbers["class"].tolist() == ["tiny", "mid", "big"]
    assert numbers["found"].tolist() == [2, 1, 9]
    # Half of what equal classes would have, 400 each, is not rare; less than that is.
    assert numbers["rare"].tolist() == [True, False, False]
    assert numbers[["precision", "precision_low", "precision_high"]].to_numpy() == pytest.approx(recall[::-1])
    assert {"2 of 3", "1 of 4", "9 of 10", "tiny (199)", "big (801)", "67%"} <= set(words(drawing))


def test_precision_is_counted_where_the_predictions_are_known():
    one = np.array([[1.0, 0.1, 1.0]])
    drawing = class_scores(["a"], np.array([30]), np.array([6]), one / 6, one, predicted=np.array([1]))
    assert {"1 of 6", "1 of 1"} <= set(words(drawing)) and "predicted" in drawing.numbers


def test_what_is_undefined_says_why():
    nan = np.full((1, 3), np.nan)
    drawing = class_scores(["a"], np.array([3]), np.array([0]), nan, nan)
    assert {"no test images", "never predicted"} <= set(words(drawing))
    assert drawing.numbers["recall"].isna().all()


def test_of_many_classes_the_rarest_and_the_largest_have_a_row():
    drawing = class_scores(names_of(60), *scores(60))
    assert len(drawing.numbers) == 40
    assert drawing.numbers["train_images"].is_monotonic_increasing
    assert any("30 rarest and the 10 largest of 60" in text for text in words(drawing))


# ---- Confusion ----


def test_rows_of_the_confusion_sum_to_100_per_cent():
    numbers = confusion_matrix(table(7), names_of(7), True).numbers
    assert numbers.groupby("label", sort=False)["share"].sum().to_numpy() == pytest.approx(1)
    assert numbers["count"].to_numpy().reshape(7, 7).tolist() == table(7).tolist()


def test_classes_that_are_no_grades_stand_by_size():
    cells = np.array([[1, 1, 0], [2, 5, 2], [0, 0, 0]])
    drawing = confusion_matrix(cells, ["a", "b", "c"], False)
    assert drawing.numbers["label"].tolist() == ["b"] * 3 + ["a"] * 3 + ["c"] * 3
    assert drawing.numbers["count"].tolist() == [5, 2, 2, 1, 1, 0, 0, 0, 0]
    assert drawing.numbers["share"].tolist()[:4] == pytest.approx([5 / 9, 2 / 9, 2 / 9, 0.5])
    assert drawing.numbers["share"].isna().tolist()[6:] == [True] * 3  # a class without images
    assert {"56%", "22%", "50%"} <= set(words(drawing))


@pytest.mark.parametrize("ordinal", [True, False])
def test_the_most_confused_are_shown_and_nothing_is_lost(ordinal):
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 3, (40, 40)) + np.diag(rng.integers(0, 90, 40))
    confused = [3, 5, 8, 13, 20, 21, 22, 30, 31, 38, 39]
    cells[confused, 0] += 1000
    names = [f"c{k}" for k in range(40)]
    numbers = confusion_matrix(cells, names, ordinal).numbers
    shown = list(dict.fromkeys(numbers["label"]))
    mistakes = cells.sum(0) + cells.sum(1) - 2 * cells.diagonal()
    assert set(shown[:-1]) == {names[k] for k in np.argsort(-mistakes)[:11]}
    assert shown[-1] == "29 other classes"
    assert numbers["count"].sum() == cells.sum()
    first = names.index(shown[0])
    row = numbers[numbers["label"] == shown[0]].set_index("prediction")["count"]
    assert row[shown[0]] == cells[first, first]
    assert row.sum() == cells[first].sum()
    assert numbers["summed"].sum() == 23
    if ordinal:
        assert [names.index(name) for name in shown[:-1]] == sorted(names.index(name) for name in shown[:-1])


# ---- ROC and precision-recall ----


@pytest.mark.parametrize(
    ("draw", "reference"), [(roc_curves, roc_auc_score), (precision_recall_curves, average_precision_score)]
)
def test_areas_are_those_of_scikit_learn(draw, reference):
    y, probabilities = predictions(9)
    probabilities = probabilities.round(2)  # ties
    names = [f"c{k}" for k in range(9)]
    numbers = draw(y, probabilities, names).numbers
    areas = numbers[numbers["class"].isin(names)].groupby("class")["area"].first()
    for k, name in enumerate(names):
        assert areas[name] == pytest.approx(reference(y == k, probabilities[:, k])), name


@pytest.mark.parametrize("draw", [roc_curves, precision_recall_curves])
def test_a_thinned_curve_has_the_same_area(draw):
    y, probabilities = predictions(3, n=20_000)
    numbers = draw(y, probabilities, ["a", "b", "c"]).numbers
    for _, curve in numbers.groupby("class"):
        assert len(curve) <= 202
        x, height = curve.iloc[:, 3].to_numpy(), curve.iloc[:, 4].to_numpy()
        assert (np.diff(x) >= 0).all()
        assert np.trapezoid(height, x) == pytest.approx(curve["area"].iloc[0], abs=0.003)


def test_precision_recall_by_hand():
    y, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    numbers = precision_recall_curves(y, np.stack([1 - scores, scores], 1), ["no", "yes"]).numbers
    yes = numbers[numbers["class"] == "yes"]
    assert yes["recall"].tolist() == [0, 0.5, 0.5, 1]
    assert yes["precision"].tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert yes["area"].unique().tolist() == pytest.approx([5 / 6])


def test_the_rarest_have_a_curve_and_the_others_a_band():
    y, probabilities = predictions(20)
    numbers = roc_curves(y, probabilities, [f"c{k}" for k in range(20)]).numbers
    counts = np.bincount(y)
    own = numbers[numbers["false_positive_rate"].notna() & numbers["low"].isna()]["class"].unique()
    assert own.tolist() == [f"c{k}" for k in np.argsort(counts, kind="stable")[:7]]
    band = numbers[numbers["class"] == "13 others, median"]
    assert (band["low"] <= band["true_positive_rate"]).all() and (band["true_positive_rate"] <= band["high"]).all()
    assert numbers["class"].nunique() == 21


@pytest.mark.parametrize("draw", [roc_curves, precision_recall_curves])
def test_no_area_of_a_few_images_is_written(draw):
    y = np.repeat([0, 1, 2], [40, 10, 1])
    drawing = draw(y, np.eye(3)[y], ["many", "ten", "one"])
    assert {"one: –, 1 image", "ten: 1.000, 10 images"} <= set(words(drawing))
    assert "–: fewer than 10 images" in " ".join(words(drawing)) and "one –" in drawing.description
    assert drawing.numbers.set_index("class").loc["one", "area"].max() == pytest.approx(1)


def test_a_class_without_images_has_no_curve():
    y, probabilities = predictions(3)
    drawing = roc_curves(np.where(y == 2, 1, y), probabilities, ["a", "b", "none"])
    row = drawing.numbers[drawing.numbers["class"] == "none"]
    assert row["images"].tolist() == [0] and row["area"].isna().all()
    assert "No curve without images: 1 class, none." in " ".join(words(drawing))
    alone = roc_curves(np.zeros(4, int), np.ones((4, 1)), ["a"])
    assert "No curve where all images are of one class." in " ".join(words(alone))


def test_fifty_thousand_predictions_make_a_small_file():
    y, probabilities = predictions(7, n=50_000)
    for draw in (roc_curves, precision_recall_curves):
        assert len(to_svg(draw(y, probabilities, ODD))) < 60_000


# ---- Reliability and priors ----


def test_bins_are_shown_before_and_after():
    before, after = bins(4), bins(3, 0.1)
    before.loc[1, "count"] = 0
    numbers = reliability_diagram(before, after).numbers
    assert numbers["panel"].tolist() == ["before"] * 3 + ["after"] * 3
    pd.testing.assert_frame_equal(numbers.iloc[3:, 1:].reset_index(drop=True), after)


def test_reliability_shows_its_error_and_survives_no_bins():
    assert "ECE 0.04 (0.03 to 0.05)" in words(reliability_diagram(bins(3), ece_before="ECE 0.04 (0.03 to 0.05)"))
    assert "no predictions" in words(reliability_diagram(bins(0)))


def test_priors_show_both_shares():
    drawing = prior_bars(["a", "b", "c"], np.array([0.9, 0.1, 0.0]), np.array([0.7, 0.3, 0.0]))
    assert drawing.numbers["class"].tolist() == ["c", "b", "a"]
    assert drawing.numbers["factor"].tolist()[1:] == pytest.approx([3, 7 / 9])
    assert {"90.0%", "70.0%", "10.0%", "30.0%", "0.0%"} <= set(words(drawing))
    lengths = [[bar.get_width() for bar in bars] for bars in drawing.figure.axes[0].containers]
    assert lengths == [drawing.numbers["natural"].tolist(), drawing.numbers["effective"].tolist()]
