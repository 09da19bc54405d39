"""Two trained models, or several trainings of two methods, on the same images."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from balanced_mixup import UsageError, compare, evaluate
from balanced_mixup.cli import run
from balanced_mixup.cli.demo import verdict
from balanced_mixup.evaluation.compare import Difference
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.evaluation import Evaluation
from balanced_mixup.statistics.bootstrap import paired_difference, replicate
from balanced_mixup.statistics.correlated_t_test import chances
from balanced_mixup.statistics.detectable_difference import detectable_difference
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings

CLASSES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Evaluations of two trainings of a good model and of two of a poor one, on the same 120 images."""
    folder = tmp_path_factory.mktemp("compared")
    labels = pd.DataFrame({"image": [f"{row:03}.png" for row in range(120)], "label": np.array(CLASSES)[np.arange(120) % 3]})
    for number, (name, strength) in enumerate((("good-0", 1.0), ("good-1", 0.9), ("poor-0", 0.3), ("poor-1", 0.4))):
        p = np.random.default_rng(number).dirichlet(np.ones(3), 120) + strength * np.eye(3)[np.arange(120) % 3]
        table = pd.DataFrame({"image": labels["image"], **dict(zip(CLASSES, (p / p.sum(1, keepdims=True)).T, strict=True))})
        evaluate(predictions=table, data=labels, classes=CLASSES, name=name, out=folder / name)
    return [folder / name for name in ("good-0", "good-1", "poor-0", "poor-1")]


def test_one_training_each_is_of_two_trained_models(folders):
    found = compare(folders[0], folders[2])
    a, b = (Evaluation.open(folder).scored for folder in (folders[0], folders[2]))
    reference = paired_difference(a.labels, a.probabilities, b.probabilities)
    for name in METRICS:
        assert found[name].interval == reference[name]
        assert found[name].winner is None and np.isnan([found[name].p, found[name].detectable]).all()
    assert found["mcc"].interval.low > 0  # which resampled images alone would call significant
    assert not found.of_methods and "of these two trained models" in repr(found) and "p =" not in repr(found)


def test_several_trainings_are_of_two_methods(folders):
    found = compare(folders[:2], folders[2:], margin=2)
    scored = [Evaluation.open(folder).scored for folder in folders]
    drawn = replicate(scored[0].labels, [each.probabilities for each in scored], metrics=["mcc"])
    reference = difference_over_trainings(drawn[:2], drawn[2:], "mcc", 120)
    mcc = found["mcc"]
    assert (mcc.interval.value, mcc.interval.low, mcc.p) == pytest.approx((reference.mean, reference.low, reference.p))
    assert mcc.chances == chances(reference, 0.02) and mcc.detectable == detectable_difference(reference.error)
    assert mcc.winner == ("a" if reference.p < 0.05 else None)
    assert found.of_methods and found.trainings == (2, 2)
    assert "Means of 2 and 2 trainings" in repr(found) and re.search(r"MCC .* p = 0\.\d\d\d", repr(found))
    back = compare(folders[2:], folders[:2], margin=2)["mcc"]
    assert (back.chances.better, back.chances.worse) == pytest.approx((mcc.chances.worse, mcc.chances.better))


def test_winner_needs_a_significant_difference_and_knows_the_direction():
    up = Interval(0.1, 0.05, 0.15)
    assert [Difference("mcc", up, p).winner for p in (0.01, 0.06, float("nan"))] == ["a", None, None]
    assert Difference("mcc", Interval(-0.1, -0.15, -0.05), 0.01).winner == "b"


def test_with_several_of_one_side_alone_nothing_is_tested(folders):
    found = compare(folders[:2], [folders[2]])
    assert not found.of_methods and np.isnan(found["mcc"].p) and found["mcc"].interval.low < found["mcc"].interval.high


def test_means_over_classes_with_a_few_images_of_one_are_not_tested(tmp_path):
    truth = np.array(["red"] * 60 + ["green"] * 60 + ["blue"] * 5)
    labels = pd.DataFrame({"image": [f"{row:03}.png" for row in range(125)], "label": truth})
    for number in range(4):
        rng = np.random.default_rng(number)
        table = pd.DataFrame({"image": labels["image"], **{name: rng.random(125) + 2 * (truth == name) for name in CLASSES}})
        table[CLASSES] = table[CLASSES].div(table[CLASSES].sum(axis=1), axis=0)
        evaluate(predictions=table, data=labels, classes=CLASSES, name=f"{number}", out=tmp_path / f"{number}")
    found = compare([tmp_path / "0", tmp_path / "1"], [tmp_path / "2", tmp_path / "3"])
    assert found.of_methods and not np.isnan(found["mcc"].p)
    for name in ("balanced_accuracy", "macro_f1", "macro_auc"):
        assert np.isnan([found[name].p, found[name].chances.equivalent, found[name].detectable]).all(), name
        assert "Only 5 images of 'blue'" in found[name].interval.warning
        assert found[name].interval.low <= found[name].interval.value


def test_mistakes(folders):
    with pytest.raises(UsageError, match=r"Expected trainings with other seeds, but '.*good-0' and '.*good-0' have the same"):
        compare([folders[0], folders[0]], folders[2:])
    with pytest.raises(UsageError, match="Expected at least one training of `a` and of `b`"):
        compare([], folders[2:])
    with pytest.raises(UsageError, match="Expected `margin` to be a number of percentage points above 0"):
        compare(folders[0], folders[2], margin=0)


def test_command(folders, capsys):
    assert run(["compare", str(folders[0]), str(folders[2])]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "differences of these two trained models" in text and "better" not in text and "detectable" not in text
    several = ["compare", str(folders[0]), str(folders[2]), "--also-a", str(folders[1]), "--also-b", str(folders[3])]
    assert run([*several, "--margin", "2"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "detectable" in text and "differ by at most 2 points" in text
    assert "trained models" not in text and "Means of 2 and 2 trainings" in text
    assert run([*several, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["mcc"]
    assert list(found) == ["value", "low", "high", "winner", "p", "better", "equivalent", "worse", "detectable"]
    assert found["better"] + found["equivalent"] + found["worse"] == pytest.approx(1)
    assert run(["compare", str(folders[0]), str(folders[2]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["mcc"]
    assert found["low"] > 0 and found["winner"] is found["p"] is found["better"] is None


def test_the_demo_speaks_of_trained_models():
    ahead = verdict(Difference("mcc", Interval(0.1, 0.05, 0.15)))
    assert ahead.startswith(
        "By MCC, of these two trained models the one of balanced-mixup is ahead by 0.100, also on other images"
    )
    open_ = verdict(Difference("mcc", Interval(-0.1, -0.25, 0.05)))
    assert "the one of instance is ahead by 0.100, but other images could turn that round" in open_
