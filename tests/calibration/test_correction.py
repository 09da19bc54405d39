"""The correction of a run: fitted, stored, read again, and applied; shares from files."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from balanced_mixup import evaluate
from balanced_mixup.calibration import correction
from balanced_mixup.calibration.class_prior import TargetPrior, rare_classes, read_prior
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.calibration.prior_estimate import estimate_prior
from balanced_mixup.calibration.priors import adjust_prior, fit_prior, fit_temperature, with_temperature
from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.experiment import calibrate
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import load_yaml, make_recipe


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run as it was before calibrations were stored."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run, folder.path, ignore=shutil.ignore_patterns("evaluations"))
    for later in (folder.calibration, folder.digests):
        later.unlink(missing_ok=True)
    return folder


def counts_of(run):
    manifest = pd.read_csv(run.manifest)
    train = manifest[manifest["split"] == "train"]["label"].value_counts()
    return train[["blue", "green", "red"]].to_numpy()


def test_stored_read_again_and_the_same_as_fitted_now(run):
    predictions = Predictions.read(run.predictions)
    stored = calibrate(run, predictions, make_recipe(load_yaml(run.recipe)), counts_of(run))
    assert Run(run).calibration.model_dump_json() == stored.model_dump_json()
    assert set(stored.scores) == {"val", "test"}
    assert set(stored.scores["test"]) == {"stored", "temperature", "train"}
    assert stored.classes == ("blue", "green", "red")
    assert stored.images == len(predictions.in_split("val").images)
    run.calibration.unlink()
    fitted = Run(run).calibration
    assert fitted.model_dump(exclude={"scores"}) == stored.model_dump(exclude={"scores"})
    assert not run.calibration.exists()


def test_shares_add_up_and_rare_classes_are_those_under_half_of_an_equal_share(run):
    fitted = Run(run).calibration
    assert list(fitted.train_prior.values()) == pytest.approx(counts_of(run) / counts_of(run).sum())
    for shares in (fitted.train_prior, fitted.model_prior, fitted.expected_prior):
        assert sum(shares.values()) == pytest.approx(1)
    assert [fitted.classes[k] for k in fitted.rare] == ["blue"]


def test_rare_classes_by_hand():
    # Of 15 images of three classes each would have 5.
    assert rare_classes([12, 1, 2]) == [1, 2]
    assert rare_classes(np.array([12, 2, 1])) == [2, 1]
    assert rare_classes([11, 2, 0, 2, 10]) == [2, 1, 3]
    assert rare_classes([10, 1, 4]) == [1]
    assert rare_classes([5, 5]) == []


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60).filter(any))
@example([1, *[2] * 47, 3, 1])
def test_rare_are_the_same_by_counts_and_by_shares(counts):
    found = rare_classes(counts)
    assert set(found) == {k for k, n in enumerate(counts) if 2 * len(counts) * n < sum(counts)}
    assert found == rare_classes(np.array(counts) / sum(counts))


def test_half_of_an_equal_share_is_not_rare_however_it_is_rounded():
    for classes in range(3, 200):
        counts = np.array([1, 3, *[2] * (classes - 2)])
        assert rare_classes(counts) == rare_classes(counts / counts.sum()) == []


def scored(run, labels, p):
    scores = Run(run).calibration.score(labels, p, None, replicates=99)
    return {**scores.metrics, **{f"ece_{name}": score for name, score in scores.per_class.items()}}


def test_calibration_errors_have_p_values_and_other_scores_intervals(run):
    # An untrained model: every class a third, but for noise; 4/9 is the mean of 2/3, 1/3 and 1/3.
    p = np.random.default_rng(0).dirichlet(np.full(3, 1e6), 40)
    one = Run(run).calibration.score(np.zeros(40, int), p, None, replicates=99)
    assert one.metrics["classwise_ece"].value == pytest.approx(4 / 9, abs=1e-3)
    assert {name for name, score in one.metrics.items() if not np.isnan(score.low)} == {"brier", "log_loss"}
    assert set(one.p_values) == {"ece", "classwise_ece", "rare_ece"}
    assert one.p_values["classwise_ece"] == 0.001


def test_scores_that_are_the_same_in_every_draw_have_no_interval(run):
    found = Run(run).calibration.score(np.repeat([0, 1], 5), np.tile([0.45, 0.45, 0.1], (10, 1)), None, replicates=99)
    assert found.metrics["brier"].value == pytest.approx(0.55**2 + 0.45**2 + 0.1**2) and np.isnan(found.metrics["brier"].low)
    assert found.per_class["red"].value == pytest.approx(0.1)


def many(images, temperature, seed=0):
    """Return predictions for validation images of three classes, to be divided by a temperature."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), images)
    y = (p.cumsum(1) > rng.random((images, 1))).argmax(1)
    predicted = with_temperature(p, 1 / temperature).astype(np.float32)
    return Predictions(tuple(map(str, range(images))), y, predicted, ("blue", "green", "red"), None, np.full(images, "val"))


def test_a_temperature_is_kept_where_it_helps(run):
    recipe, counts = make_recipe(load_yaml(run.recipe)), counts_of(run)
    validation = many(400, 2.0)
    kept = Correction.fit(validation, validation.classes, recipe, counts)
    assert kept.temperature == kept.fitted_temperature == fit_temperature(validation.labels, validation.probabilities) > 1.5
    assert (kept.temperature_note, kept.prior_temperature_note, kept.doubt(validation)) == ("", "", "")
    natural, expected = (list(prior.values()) for prior in (kept.train_prior, kept.expected_prior))
    temperature, prior = fit_prior(validation.labels, validation.probabilities, natural, expected)
    assert (kept.prior_temperature, *kept.model_prior.values()) == pytest.approx((temperature, *prior))


@pytest.mark.parametrize(
    ("validation", "reason"),
    [(many(39, 2.0), "there are 39 validation images, fewer than 50"), (many(400, 1.0), "it does not lower the log loss")],
)
def test_a_temperature_that_is_not_known_to_help_is_not_kept(run, validation, reason):
    fitted = Correction.fit(validation, validation.classes, make_recipe(load_yaml(run.recipe)), counts_of(run))
    assert (fitted.temperature, fitted.prior_temperature) == (1, 1)
    assert reason in fitted.temperature_note and reason in fitted.prior_temperature_note
    assert fitted.fitted_temperature == fit_temperature(validation.labels, validation.probabilities) != 1
    assert fitted.apply(validation.probabilities) == pytest.approx(validation.probabilities, abs=1e-6)
    older = fitted.model_copy(update={"temperature": 2.0, "temperature_note": None})
    assert older.doubt(validation) == fitted.temperature_note


def test_apply_is_temperature_and_bayes_rule(run):
    fitted, p = Run(run).calibration, Predictions.read(run.predictions).probabilities
    assert fitted.apply(p) == pytest.approx(with_temperature(p, fitted.temperature), abs=1e-6)
    assert (fitted.apply(p).argmax(1) == p.argmax(1)).all()
    source = np.array(list(fitted.model_prior.values()))
    expected = adjust_prior(with_temperature(p, fitted.prior_temperature), source, np.full(3, 1 / 3))
    found = fitted.apply(p, fitted.prior("uniform"))
    assert found == pytest.approx(expected, abs=1e-6)
    assert found.dtype == np.float32


def test_priors_by_name(run, tmp_path):
    fitted, p = Run(run).calibration, Predictions.read(run.predictions).probabilities
    assert fitted.prior("train").shares == pytest.approx(list(fitted.train_prior.values()))
    assert fitted.prior("estimate") is None
    estimated = fitted.estimate(Predictions.read(run.predictions).in_split("val"), p)
    assert (estimated.low <= estimated.shares).all() and (estimated.shares <= estimated.high).all()
    (tmp_path / "clinic.csv").write_text("class,share\nred,0.5\nblue,0.2\ngreen,0.3\n")
    assert fitted.prior(str(tmp_path / "clinic.csv")).shares == pytest.approx([0.2, 0.3, 0.5])
    with pytest.raises(UsageError, match=r"to be train, uniform, estimate or a CSV .*Did you mean 'uniform'\?"):
        fitted.prior("unifrom")


def test_a_class_without_training_images_cannot_be_given_a_share(run, tmp_path):
    shares = {"blue": 0.0, "green": 0.3, "red": 0.7}
    fitted = Run(run).calibration.model_copy(update={"train_prior": shares, "model_prior": shares})
    assert fitted.prior("uniform").shares == pytest.approx([0, 0.5, 0.5])
    (tmp_path / "clinic.csv").write_text("class,share\nred,0.5\nblue,0.2\ngreen,0.3\n")
    with pytest.raises(UsageError, match=r"Expected a share of 0 for classes without training images.*blue"):
        fitted.prior(str(tmp_path / "clinic.csv"))


def test_an_estimate_that_has_not_converged_is_logged(run, monkeypatch, caplog):
    monkeypatch.setattr(correction, "estimate_prior", partial(estimate_prior, max_steps=1))
    predictions = Predictions.read(run.predictions)
    assert not Run(run).calibration.estimate(predictions.in_split("val"), predictions.probabilities).converged
    assert "has not converged" in caplog.text


def test_no_prior_is_estimated_where_a_class_has_no_validation_image(run):
    fitted, predictions = Run(run).calibration, Predictions.read(run.predictions)
    validation = predictions.take(np.flatnonzero((predictions.split == "val") & (predictions.labels != 0)))
    with pytest.raises(UsageError, match=r"Expected validation images of every class .* none of: blue\. Give a prior: train"):
        fitted.estimate(validation, predictions.probabilities)
    untrained = fitted.model_copy(update={"train_prior": {"blue": 0.0, "green": 0.3, "red": 0.7}})
    untrained.require_every_class(validation)


def test_a_target_as_json():
    found = TargetPrior("uniform", np.array([0.5, 0.5])).to_dict(("a", "b"))
    assert found["shares"]["a"] == {"value": 0.5, "low": None, "high": None}
    found = TargetPrior("estimate", np.array([1.0]), np.array([0.1]), np.array([1.0]), False).to_dict(("a",))
    assert TargetPrior.from_dict(json.loads(json.dumps(found))).to_dict(("a",)) == found == {
        "name": "estimate", "converged": False, "shares": {"a": {"value": 1.0, "low": 0.1, "high": 1.0}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,part\na,1\n", "Expected shares.csv to have the columns class and share, but got class, part"),
        ("class,share\na,0.5\nbb,0.5\n", r"line 3: expected a class of the run, got 'bb'\. Did you mean 'b'\?"),
        ("class,share\na,0.5\n", r"shares.csv: expected a row for every class, got none for b, 7 \(0 is a share, too\)"),
        ("class,share\na,0.5\na,0.5\n", "line 3: expected each class once, got 'a' again"),
        ("class,share\na,half\nb,0.5\n7,0\n", "line 2: expected a share from 0 to 1, got 'half'"),
        ("class,share\na,-0.5\nb,0.5\n7,1\n", "line 2: expected a share from 0 to 1, got '-0.5'"),
        ("class,share\na,nan\nb,0.5\n7,0.5\n", "line 2: expected a share from 0 to 1, got 'nan'"),
        ("class,share\na,0.4\nb,0.4\n7,0.1\n", r"expected shares that sum to 1, got a sum of 0\.9"),
    ],
)
def test_files_of_shares_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "shares.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_prior(tmp_path / "shares.csv", ("a", "b", "7"))


def test_rounded_shares_in_any_order_and_spelling_of_numbers(tmp_path):
    (tmp_path / "shares.csv").write_text("share;class\n0.33;7.0\n0.33;b\n0.33;a\n")
    assert read_prior(tmp_path / "shares.csv", ("a", "b", "7")) == pytest.approx(np.full(3, 1 / 3))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda run: run.calibration.write_text("{}"),
            r"calibration.json' is damaged: field required.*Delete the file to have it fitted again",
        ),
        (
            lambda run: run.calibration.write_text('{"images": '),
            r"calibration\.json' is missing or damaged.*Delete the file to have it fitted again",
        ),
        (lambda run: run.manifest.unlink(), "manifest.csv' is missing or damaged"),
        (
            lambda run: run.manifest.write_text("image,label,split,digest\na,red,val,0\n"),
            "manifest.csv' lists no training images",
        ),
        (lambda run: run.predictions.unlink(), r"predictions.parquet' is missing or damaged"),
        (
            lambda run: Predictions.read(run.predictions).in_split("test").write(run.predictions),
            "Expected predictions of validation images to calibrate on, but there are none",
        ),
    ],
)
def test_damaged_runs_and_those_without_validation_images(run, damage, message):
    damage(run)
    with pytest.raises(UsageError, match=message):
        _ = Run(run).calibration


def test_a_run_that_cannot_be_calibrated_is_scored_all_the_same(run, caplog):
    run.calibration.write_text("{}")
    result = evaluate(run.path)
    assert (result.calibration, result.prior, result.thresholds) == (None, None, {})
    assert result.scores.metrics["accuracy"].value > 0
    assert "Calibration is not evaluated" in caplog.text
    with pytest.raises(UsageError, match=r"calibration\.json' is damaged"):
        evaluate(run.path, prior="train")


def test_one_class_alone_on_validation(run):
    predictions = Predictions.read(run.predictions)
    only = predictions.in_split("val").labels[0]
    keep = (predictions.split == "test") | (predictions.labels == only)
    rows = np.flatnonzero(keep)
    Predictions(
        tuple(predictions.images[row] for row in rows), predictions.labels[rows], predictions.probabilities[rows],
        predictions.classes, None, predictions.split[rows],
    ).write(run.predictions)  # fmt: skip
    fitted = Run(run).calibration
    assert 0 < fitted.temperature < 50
    assert min(fitted.model_prior.values()) > 0
