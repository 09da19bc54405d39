"""The paper's figures: the numbers by hand, what is written, that it fits on the page, and that nothing else is touched."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import assert_legible
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from scipy.stats import beta

import balanced_mixup
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.methods import METHODS
from balanced_mixup.mixing import BalancedMixUp, MixUp
from balanced_mixup.paper import figure2_training as training
from balanced_mixup.paper.figure2 import figure2, figure2_of_embeddings, imbalanced_points
from balanced_mixup.paper.figure2_training import Epochs, trained
from balanced_mixup.paper.figure3 import figure3
from balanced_mixup.randomness import generator
from balanced_mixup.report.figures import ClassCounts, figure1, save
from balanced_mixup.report.figures.style import to_svg
from balanced_mixup.sampling import class_branch, instance_branch

EYEPACS = ClassCounts("EyePACS", ["DR 0", "DR 1", "DR 2", "DR 3", "DR 4"], [25810, 2443, 5292, 873, 708], ordinal=True)
LONG = "benign keratosis-like lesions (solar lentigines, seborrheic keratoses and lichen-planus like keratoses)"


@pytest.fixture
def short(monkeypatch):
    """Classifiers that are trained for three steps: enough to be drawn."""
    monkeypatch.setattr(training, "STEPS", 3)


def many_classes(k):
    names = [LONG if i == 1 else f"ulcerative-colitis-grade-{i}" for i in range(k)]
    return ClassCounts(f"{k} classes", names, [4000 // (i + 1) ** 2 for i in range(k)])


def rare_classes(k, samples=300):
    """Return embeddings (N, 5) of k classes, each half as large as the one before but never empty, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(k), [max(2, samples >> i) for i in range(k)])
    return rng.normal(size=(k, 5))[labels] * 3 + rng.normal(size=(len(labels), 5)), labels


def texts(drawing):
    """Return what is written in a figure, the labels of its axes included."""
    FigureCanvasAgg(drawing.figure).draw()
    return [text.get_text() for text in drawing.figure.findobj(Text) if text.get_visible() and text.get_text()]


# ---- Figure 1 ----


def test_figure_1_shows_the_counts_of_the_paper():
    drawing = figure1([EYEPACS])
    numbers = drawing.numbers
    assert numbers["class"].tolist() == ["DR 0", "DR 1", "DR 2", "DR 3", "DR 4"]
    assert numbers["count"].tolist() == [25810, 2443, 5292, 873, 708]
    assert numbers["share"].tolist() == pytest.approx([0.7348, 0.0695, 0.1507, 0.0249, 0.0202], abs=1e-4)
    assert numbers["ratio"].tolist() == pytest.approx([1, 10.565, 4.877, 29.565, 36.455], abs=1e-3)
    assert {"35,126 images, 5 classes, imbalance 36 : 1", "25,810", "708", "images"} <= set(texts(drawing))


def test_classes_without_order_are_sorted_by_size():
    data = ClassCounts("cells", ["a", "b", "c", "d"], [2, 100, 0, 10])
    drawing = figure1([data])
    assert drawing.numbers["class"].tolist() == ["b", "d", "a", "c"]
    assert drawing.numbers["ratio"].tolist() == [1, 10, 50, np.inf]
    # 100 : 2 is where small bars are lost on a linear scale; the class without images does not count.
    assert set(drawing.numbers["scale"]) == {"log"}
    assert {"images (log scale)", "112 images, 4 classes, imbalance 50 : 1, 1 without images"} <= set(texts(drawing))


@pytest.mark.parametrize(("smallest", "scale"), [(2, "log"), (3, "linear")])
def test_the_axis_says_its_scale(smallest, scale):
    drawing = figure1([ClassCounts("data", ["a", "b"], [100, smallest])])
    assert set(drawing.numbers["scale"]) == {scale}
    assert [axes.get_xscale() for axes in drawing.figure.axes] == [scale]
    assert (drawing.figure.axes[0].get_xlabel() == "images (log scale)") == (scale == "log")


def test_bars_are_as_long_as_the_counts():
    (axes,) = figure1([EYEPACS]).figure.axes
    assert [bar.get_width() for bar in axes.patches] == list(EYEPACS.counts)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(EYEPACS.classes)


def test_names_are_not_formulas(short, tmp_path):
    names = ["$x_1$", "$5 & \\alpha"]
    drawings = figure1([ClassCounts("$y$", names, [3, 1])]), figure2(np.eye(4, 2), np.array([0, 0, 0, 1]), names)
    for drawing, expected in zip(drawings, ({"$y$", *names}, {"$x_1$ (3)", "$5 & \\alpha (1)"}), strict=True):
        svg, _, _ = save(drawing, tmp_path / "figure")
        assert expected <= {element.text for element in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("k", [1, 23])
def test_any_number_of_classes_fits(k):
    assert_legible(figure1([EYEPACS, many_classes(k)]), 170)


@pytest.mark.parametrize("counts", [(1_234_567, 40), (1_234_567, 1_000_000), (1, 1)])
def test_any_counts_fit(counts):
    assert_legible(figure1([ClassCounts("data", [LONG, "b"], counts)]), 85)


def test_several_data_sets_share_two_columns():
    drawing = figure1([many_classes(k) for k in (2, 5, 7, 9)])
    assert_legible(drawing, 170)
    assert drawing.numbers["data"].unique().tolist() == ["2 classes", "5 classes", "7 classes", "9 classes"]
    assert len(drawing.figure.axes) == 4


def test_no_data_sets():
    with pytest.raises(UsageError, match="Expected at least one data set, but got none"):
        figure1([])


# ---- Figure 2 ----


def test_samples_follow_eq_3(short):
    points, labels, classes = imbalanced_points()
    numbers = figure2(points, labels, classes, alpha=0.3, seed=5).numbers
    rows = instance_branch(labels, seed=5).rows(0, np.arange(len(labels)))
    partners = class_branch(labels, seed=5).rows(0, np.arange(len(labels)))
    candidates = labels[np.concatenate([rows, partners])]
    weight = BalancedMixUp(0.3, "sample").pair(candidates, len(labels), generator(5, "mixing", 0, 0)).weight[:, None]
    mixed = numbers[numbers["panel"] == "balanced-mixup"]
    assert mixed["weight"].tolist() == weight[:, 0].tolist()
    assert mixed[["x", "y"]].to_numpy() == pytest.approx((1 - weight) * points[rows] + weight * points[partners], abs=1e-5)
    names = [f"target_{name}" for name in classes]
    one_hot = np.eye(3)
    assert mixed[names].to_numpy() == pytest.approx((1 - weight) * one_hot[labels[rows]] + weight * one_hot[labels[partners]])
    # The first panel is the data, each point once; the last mixes with Beta(alpha, alpha).
    data = numbers[numbers["panel"] == "instance"]
    assert np.sort(data["x"]) == pytest.approx(np.sort(points[:, 0]))
    assert data[names].sum().tolist() == [300, 60, 12]
    plain = numbers.loc[numbers["panel"] == "mixup", "weight"]
    pairing = MixUp(0.3, "sample").pair(labels[rows], len(labels), generator(5, "mixing", 0, 0))
    assert plain.tolist() == pairing.weight.tolist()


def test_the_rare_class_gains_weight_and_the_panel_says_how_much(short):
    drawing = figure2(*imbalanced_points())
    share = drawing.numbers.groupby("panel")["target_rare"].mean()
    assert share["instance"] == pytest.approx(12 / 372)
    # (1 - E[w]) 12 / 372 + E[w] / 3, E[w] = 1 / 6, within three standard errors of 372 draws.
    assert share["balanced-mixup"] == pytest.approx(0.0824, abs=0.03)
    written = texts(drawing)
    titles = {text.split("\n")[0] for text in written}
    assert {"Imbalanced data", "Balanced-MixUp, α = 0.2", "MixUp, α = 0.2"} <= titles
    assert [text.split("\n")[1] for text in written if "smallest" in text] == [
        f"smallest class: {share[name]:.1%} of the targets" for name in ("instance", "balanced-mixup", "mixup")
    ]


def test_the_classifier_is_really_trained():
    points, labels, _ = imbalanced_points()
    apart = points + np.array([[0, 0], [9, 9], [9, -9]], np.float32)[labels]
    classify = trained(Epochs(apart, labels, METHODS["balanced-mixup"](alpha=0.2), 0))
    probabilities = classify(torch.from_numpy(apart))
    assert probabilities.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(1).numpy() == labels).mean() > 0.99


def test_same_seed_same_figure(short):
    first, again, other = (figure2(*imbalanced_points(), seed=seed).numbers for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_embeddings_are_shown_in_their_principal_plane(short):
    embeddings, labels = rare_classes(3)
    drawing = figure2_of_embeddings(embeddings, labels, ["a", "b", "c"])
    centred = embeddings - embeddings.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    data = drawing.numbers[drawing.numbers["panel"] == "instance"]
    plane = (centred @ directions[:2].T)[instance_branch(labels).rows(0, np.arange(len(labels)))]
    assert np.abs(data[["x", "y"]].to_numpy()) == pytest.approx(np.abs(plane), abs=1e-4)
    shares = singular**2 / (singular**2).sum()
    assert {f"principal component {i + 1} ({shares[i]:.0%})" for i in (0, 1)} <= set(texts(drawing))


@pytest.mark.parametrize("k", [2, 23])
def test_figure_2_fits_with_any_number_of_classes(short, k):
    embeddings, labels = rare_classes(k)
    classes = [LONG if i == 1 else f"class {i}" for i in range(k)]
    drawing = figure2_of_embeddings(embeddings, labels, classes)
    assert_legible(drawing, 170)
    named = [text for text in texts(drawing) if text.startswith(("class ", LONG[:8]))]
    assert len(named) == (k if k <= 7 else 6)
    assert ("17 others (2 to 37 each)" in texts(drawing)) == (k == 23)
    assert [name for name in drawing.numbers if name.startswith("target_")] == [f"target_{name}" for name in classes]


def test_many_points_do_not_bloat_the_vector_graphic(short):
    points = np.random.default_rng(0).normal(size=(3000, 2))
    drawing = figure2(points, np.arange(3000) % 2, ["a", "b"])
    assert all(axes.collections[-1].get_rasterized() for axes in drawing.figure.axes)
    # Markers of classes that large have no edge, so there is none to explain.
    assert not any("mixed" in text for text in texts(drawing))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((6, 3))}, r"Expected points of shape \(N, 2\), at least two numbers each, but got \(6, 3\)"),
        ({"points": np.full((6, 2), np.nan)}, "Expected finite points, but row 0 is not"),
        ({"labels": np.zeros(5, int)}, "Expected a label from 0 to 1 for each point"),
        ({"classes": ["a"]}, "and points of each of two or more classes"),
        ({"classes": ["a", "b", "c"]}, "Expected a label from 0 to 2 for each point, and points of each of two or more"),
        ({"alpha": 0.0}, "Expected `alpha` to be a number above 0 and at most 100, but got 0.0"),
    ],
)
def test_points_that_cannot_be_shown(short, change, message):
    arguments = {"points": np.arange(12.0).reshape(6, 2), "labels": np.array([0, 0, 0, 1, 1, 1]), "classes": ["a", "b"]}
    with pytest.raises(UsageError, match=message):
        figure2(**(arguments | change))


def test_embeddings_that_cannot_be_shown():
    with pytest.raises(UsageError, match=r"Expected points of shape \(N, D\), at least two numbers each, but got \(4, 1\)"):
        figure2_of_embeddings(np.zeros((4, 1)), np.array([0, 0, 1, 1]), ["a", "b"])


# ---- Figure 3 ----


def test_figure_3_is_beta_alpha_1():
    numbers = figure3().numbers
    assert numbers["alpha"].unique().tolist() == [0.1, 0.2, 0.3, 1]
    assert numbers["density"].to_numpy() == pytest.approx(beta.pdf(numbers["weight"], numbers["alpha"], 1))
    assert numbers["distribution"].to_numpy() == pytest.approx(beta.cdf(numbers["weight"], numbers["alpha"], 1))


def test_figure_3_by_hand():
    drawing = figure3()
    summary = drawing.numbers.groupby("alpha")[["mean_weight", "unchanged"]].first()
    assert summary["mean_weight"].tolist() == pytest.approx([0.0909, 0.1667, 0.2308, 0.5], abs=1e-4)
    assert summary["unchanged"].tolist() == pytest.approx([0.536, 0.287, 0.154, 0.002], abs=5e-4)
    written = set(texts(drawing))
    for alpha, mean, share in (("0.1", "0.091", "53.6%"), ("0.2", "0.167", "28.7%"), ("1", "0.500", "0.2%")):
        (line,) = [text for text in written if text.startswith(f"α = {alpha}:")]
        assert f"= {mean}, {share} of the draws under 1/510" in line
    assert {"density (cut off at 3)", "weight w (log scale)"} <= written


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_the_shares_are_those_of_our_own_draws(alpha):
    numbers = figure3([alpha]).numbers.iloc[0]
    n = 100_000
    weight = BalancedMixUp(alpha, "sample").pair(np.zeros(2 * n, np.int64), n, generator(0, "figure3")).weight
    assert (weight == 0).mean() == pytest.approx(numbers["unchanged"], abs=0.006)
    assert weight.mean() == pytest.approx(numbers["mean_weight"], abs=0.004)


@pytest.mark.parametrize("alphas", [[0.1, 0.2, 0.3, 1.0], [0.01, 0.1, 0.5, 1.0, 2.0, 10.0]])
def test_figure_3_fits(alphas):
    drawing = figure3(alphas)
    assert_legible(drawing, 170)
    assert any("< 0.1%" in text for text in texts(drawing)) == (2.0 in alphas)


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ([], r"Expected one to 6 different values of `alpha`, but got \[\]"),
        ([0.1, 0.1], "but got"),
        ([1, 2, 3, 4, 5, 6, 7], "Expected one to 6 different"),
        ([0.1, 0.0], r"Expected each `alpha` to be a number above 0, but got \[0.1, 0.0\]"),
        ([np.nan], "above 0, but got"),
        ([-1], "above 0, but got"),
    ],
)
def test_alphas_that_are_none(alphas, message):
    with pytest.raises(UsageError, match=message):
        figure3(alphas)


# ---- Written files ----


def test_what_is_written_is_well_formed(tmp_path):
    drawing = figure1([EYEPACS])
    svg, png, csv = save(drawing, tmp_path / "new" / "figure1.v2")
    assert [path.name for path in (svg, png, csv)] == ["figure1.v2.svg", "figure1.v2.png", "figure1.v2.csv"]
    assert sorted(path.name for path in svg.parent.iterdir()) == ["figure1.v2.csv", "figure1.v2.png", "figure1.v2.svg"]
    words = {element.text for element in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"EyePACS", "DR 0", "25,810", "images"} <= words  # text, not outlines
    with Image.open(png) as image:
        image.load()
        assert image.width == int(85 / 25.4 * 300)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    pd.testing.assert_frame_equal(pd.read_csv(csv), drawing.numbers)


def test_same_data_same_bytes(tmp_path):
    for path, again in zip(*(save(figure3(), tmp_path / name) for name in "ab"), strict=True):
        assert path.read_bytes() == again.read_bytes(), path.suffix
    assert b"matplotlib" not in (tmp_path / "a.png").read_bytes()


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(RunError, match="could not be written"):
        save(figure3(), tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_settings_and_random_states_are_left_alone(short):
    matplotlib.rcParams["font.size"] = 23
    try:
        before = dict(matplotlib.rcParams), torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the global state
        plain = to_svg(figure3())
        figure2(*imbalanced_points())
        assert dict(matplotlib.rcParams) == before[0]
        assert torch.equal(torch.random.get_rng_state(), before[1])
        assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002
    finally:
        matplotlib.rcdefaults()
    # The caller's settings do not reach the figure.
    assert plain == to_svg(figure3())


def test_pyplot_is_not_used():
    """It would choose a backend and keep every figure alive."""
    sources = Path(balanced_mixup.__file__).parent.rglob("*.py")
    assert not [path for path in sources if re.search(r"import.*pyplot", path.read_text(encoding="utf-8"))]
