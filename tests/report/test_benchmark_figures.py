"""The figures of a benchmark: their numbers by hand, odd names, many methods, and what is undefined."""

import numpy as np
import pandas as pd
import pytest
from drawn import ODD, assert_at_home, assert_legible, words

from balanced_mixup.report.figures import cost_by_score, forest, ranks, save, score_by_rarity


def differences(groups, methods, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        (group, method, *rng.normal(0, 0.05, 1), rng.uniform(0, 0.1), rng.uniform()) for group in groups for method in methods
    ]
    table = pd.DataFrame(rows, columns=["group", "label", "value", "half", "p"])
    return table.assign(low=table["value"] - table["half"], high=table["value"] + table["half"])


def rank_table(methods, data):
    rng = np.random.default_rng(0)
    values = np.stack([rng.permutation(len(methods)) + 1.0 for _ in data], axis=1)
    return pd.DataFrame(values, index=methods, columns=data)


def recalls(methods, classes):
    rng = np.random.default_rng(0)
    rows = []
    for method in methods:
        for k, name in enumerate(classes):
            value = rng.uniform()
            rows.append((method, name, 5000 // (k + 1) ** 2, value, value * 0.9, min(1.0, value * 1.1)))
    return pd.DataFrame(rows, columns=["method", "class", "images", "recall", "low", "high"])


def costs(methods, memory=False):
    rng = np.random.default_rng(0)
    value = rng.uniform(0.5, 0.8, len(methods))
    table = pd.DataFrame({"method": methods, "seconds": rng.uniform(100, 300_000, len(methods)), "score": value})
    table = table.assign(low=value - 0.02, high=value + 0.02)
    return table.assign(memory=rng.uniform(1e8, 5e9, len(methods))) if memory else table


MANY = [f"method {i}" for i in range(20)]
DRAWINGS = {
    "differences": (170, lambda: forest(differences(ODD[:3], ODD))),
    "ranks": (85, lambda: ranks(rank_table(ODD, ODD[:3]))),
    "ranks on many": (85, lambda: ranks(rank_table(MANY[:3], [f"d{i}" for i in range(12)]))),
    "recalls of one": (85, lambda: score_by_rarity(recalls(["a"], ["x"]))),
    "recalls of many": (170, lambda: score_by_rarity(recalls(ODD[:4], [f"c{i}" for i in range(100)]))),
    "costs": (85, lambda: cost_by_score(costs([*ODD, *MANY[:5]]), ODD[3])),
    "memory": (170, lambda: cost_by_score(costs(ODD, memory=True), "quadratic kappa")),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_legible_and_at_home_on_any_page(name):
    width, draw = DRAWINGS[name]
    drawing = draw()
    assert_at_home(drawing)
    assert_legible(drawing, width)


def test_same_data_same_files(tmp_path):
    _, draw = DRAWINGS["ranks"]
    for path, again in zip(save(draw(), tmp_path / "a"), save(draw(), tmp_path / "b"), strict=True):
        assert path.read_bytes() == again.read_bytes(), path.suffix


# ---- Forest ----


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "verdict"),
    [
        (0.1, 0.05, 0.15, 0.01, "better"),
        (-0.1, -0.15, -0.05, 0.01, "worse"),
        # After the correction, what its own interval would call significant need not be.
        (0.1, 0.05, 0.15, 0.2, "not significant"),
        (0.1, -0.05, 0.25, np.nan, "not significant"),
        (-0.1, -0.25, -0.05, np.nan, "not significant"),  # of two trained models
        (0.1, np.nan, np.nan, np.nan, "not significant"),
        (np.nan, np.nan, np.nan, np.nan, "undefined"),
    ],
)
def test_what_is_significant(value, low, high, p, verdict):
    rows = pd.DataFrame({"group": ["g"], "label": ["m"], "value": value, "low": low, "high": high, "p": p})
    drawing = forest(rows)
    assert drawing.numbers["verdict"].tolist() == [verdict]
    markers = {line.get_marker() for line in drawing.figure.axes[0].lines} & {"D", "X", "o"}
    assert markers == {"better": {"D"}, "worse": {"X"}, "not significant": {"o"}, "undefined": set()}[verdict]


def test_differences_are_written_out_and_groups_kept_together():
    rows = differences(["a", "b"], ["x", "y"]).iloc[[0, 2, 1, 3]]
    rows.loc[0, ["value", "low", "high", "p"]] = -0.0314, -0.05, 0.01, 0.0004
    drawing = forest(rows, "instance")
    assert drawing.numbers["group"].tolist() == ["a", "a", "b", "b"]
    assert drawing.numbers["label"].tolist() == ["x", "y", "x", "y"]
    assert {"−0.031 (−0.050 to +0.010), p < 0.001", "difference to instance (right: better)"} <= set(words(drawing))


def test_a_huge_interval_does_not_hide_the_others():
    rows = differences(["g"], ["x", "y"])
    rows.loc[0, ["low", "high"]] = -50, 50
    axes = forest(rows).figure.axes[0]
    assert max(map(abs, axes.get_xlim())) < 1
    assert {"<", ">"} <= {line.get_marker() for line in axes.lines}


# ---- Ranks ----


def test_ranks_and_their_means():
    table = pd.DataFrame({"d": [1.0, 2.5, 2.5], "e": [2.0, 1.0, np.nan]}, index=["a", "b", "c"])
    drawing = ranks(table)
    numbers = drawing.numbers
    assert numbers["method"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert numbers["mean_rank"].tolist()[:4] == [1.5, 1.5, 1.75, 1.75]
    assert numbers["mean_rank"].isna().tolist()[4:] == [True, True]
    assert numbers["rank"].tolist()[:4] == [1, 2, 2.5, 1]
    assert {"1.5", "1.8", "1 of 2", "Without a rank on each data set there is no mean."} <= set(words(drawing))


# ---- Recall and rarity ----


def test_recalls_are_shown_as_they_are():
    rows = recalls(["a", "b"], ["x", "y", "z"])
    drawing = score_by_rarity(rows)
    pd.testing.assert_frame_equal(drawing.numbers, rows)
    first, second = drawing.figure.axes
    own = rows[rows["method"] == "b"]
    assert second.lines[-1].get_xydata().tolist() == own[["images", "recall"]].to_numpy().tolist()
    # The first method stands behind the others, and not behind itself.
    assert len(first.lines) + 1 == len(second.lines)
    assert "The rarest: z (555)." in words(drawing)


def test_many_classes_are_grouped_by_size():
    rows = recalls(["a", "b"], [f"c{i}" for i in range(100)])
    numbers = score_by_rarity(rows).numbers
    assert len(numbers) == 2 * 12
    assert numbers.loc[numbers["method"] == "b", "classes"].tolist() == [9, 8, 8] * 4
    largest = rows[(rows["method"] == "a") & (rows["class"].isin([f"c{i}" for i in range(8)]))]
    group = numbers[(numbers["method"] == "a") & (numbers["group"] == 11)].iloc[0]
    assert group["images"] == largest["images"].median()
    assert [group["low"], group["recall"], group["high"]] == pytest.approx(np.quantile(largest["recall"], [0.1, 0.5, 0.9]))


def test_classes_without_recall_or_images_are_left_out_of_the_picture():
    rows = recalls(["a"], ["x", "y"])
    rows.loc[0, ["recall", "low", "high"]] = np.nan
    rows.loc[1, "images"] = 0
    assert_legible(score_by_rarity(rows), 85)


# ---- Cost ----


def test_costs_are_listed():
    rows = pd.DataFrame({"method": ["a", "b"], "seconds": [60.0, 600.0], "score": [0.5, np.nan], "low": 0.4, "high": 0.6})
    drawing = cost_by_score(rows.assign(memory=[2.0**31, np.nan]), "MCC")
    listed = {"a: 60 s, 2.0 GiB, 0.500", "b: 10 min, memory unknown, undefined"}
    assert listed | {"MCC", "training time (min)"} <= set(words(drawing))
    assert "memory" not in cost_by_score(rows.assign(memory=np.nan)).numbers


def test_no_two_methods_look_alike():
    axes = cost_by_score(costs(MANY)).figure.axes[0]
    looks = [(line.get_color(), line.get_marker()) for line in axes.lines if line.get_marker() != "None"]
    assert len(set(looks)) == 20
