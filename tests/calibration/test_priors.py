"""Temperature and class prior: by hand, against maximum likelihood, on simulated shifts, and against real batches."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from balanced_mixup.calibration.priors import (
    adjust_prior,
    fit_prior,
    fit_temperature,
    training_prior,
    with_temperature,
)
from balanced_mixup.calibration.scores import log_loss
from balanced_mixup.data.batches import TrainBatches
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.errors import UsageError
from balanced_mixup.losses import Loss
from balanced_mixup.methods import METHODS, TrainSet
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import segments_of

NATURAL = np.array([0.7, 0.2, 0.08, 0.02])
SHIFTED = np.array([0.3, 0.3, 0.1, 0.3])


def draw(images, prior, seed=0):
    """Return labels and features (N, K) of classes that lie in Gaussian clouds."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(prior), images, p=prior)
    return y, rng.normal(size=(images, len(prior))) + 1.5 * np.eye(len(prior))[y]


def posterior(features, prior):
    """Return the true probabilities (N, K) where classes have the shares `prior`."""
    logits = np.log(prior) + 1.5 * features
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


# ---- Temperature ----


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(size=(9, 5))
    found = with_temperature(torch.softmax(torch.tensor(logits), 1), 2.5)
    assert found == pytest.approx(torch.softmax(torch.tensor(logits) / 2.5, 1).numpy())
    assert with_temperature(found, 1 / 2.5) == pytest.approx(torch.softmax(torch.tensor(logits), 1).numpy())


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 3.0, 1e3])
def test_the_predicted_class_stays_at_any_temperature(temperature):
    p = np.random.default_rng(0).dirichlet(np.full(6, 0.1), 200).astype(np.float32)
    p[0] = np.eye(6)[2]  # a stored probability of exactly 0
    found = with_temperature(p, temperature)
    assert np.isfinite(found).all()
    assert found.sum(1) == pytest.approx(np.ones(200))
    assert (found[np.arange(200), p.argmax(1)] == found.max(1)).all()


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
def test_the_fit_finds_the_temperature_and_is_the_most_likely_one(true):
    y, features = draw(4000, NATURAL)
    p = with_temperature(posterior(features, NATURAL), 1 / true)
    found = fit_temperature(y, p)
    assert found == pytest.approx(true, rel=0.06)
    best = minimize_scalar(lambda t: log_loss(y, with_temperature(p, t)), bounds=(0.1, 10), method="bounded")
    assert found == pytest.approx(best.x, rel=0.01)


def test_few_images_that_are_all_right_do_not_make_the_model_sure_of_itself():
    for images in (1, 5, 20, 100):
        for confidence in (0.6, 0.9, 0.999):
            p = np.array([[confidence, (1 - confidence) / 2, (1 - confidence) / 2]] * images)
            made = with_temperature(p, fit_temperature(np.zeros(images, np.int64), p))[0, 0]
            assert made <= max(confidence, 1 - 2 / 3 / (images + 2)) + 1e-6
    assert fit_temperature(np.zeros(1, np.int64), np.full((1, 3), 1 / 3)) == pytest.approx(1)


def test_sure_and_wrong_answers_give_a_finite_temperature():
    p = np.eye(2)[[0] * 50 + [1] * 50]
    y = np.array([0] * 40 + [1] * 60)
    assert 20 < fit_temperature(y, p) < 200


# ---- A given prior ----


def test_by_bayes_rule():
    # 0.5 : 0.5 in a balanced collection; one tenth as frequent there is a tenth of the odds.
    found = adjust_prior(np.array([[0.5, 0.5], [0.9, 0.1]]), [0.5, 0.5], [10 / 11, 1 / 11])
    assert found == pytest.approx(np.array([[10 / 11, 1 / 11], [90 / 91, 1 / 91]]))


def test_a_shift_of_the_prior_gives_the_true_probabilities_and_back():
    _, features = draw(200, NATURAL)
    there = adjust_prior(posterior(features, NATURAL), NATURAL, SHIFTED)
    assert there == pytest.approx(posterior(features, SHIFTED))
    assert adjust_prior(there, SHIFTED, NATURAL) == pytest.approx(posterior(features, NATURAL))


def test_a_class_that_is_not_there_gets_nothing():
    p = np.array([[0.2, 0.8, 0.0], [0.0, 1.0, 0.0]])
    found = adjust_prior(p, [0.5, 0.5, 0.0], [1.0, 0.0, 0.0])
    assert found == pytest.approx(np.array([[1.0, 0, 0], [1.0, 0, 0]]))


# ---- The prior that a model carries ----


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.8])
def test_the_fit_finds_temperature_and_prior_of_a_model_trained_on_a_balanced_mix(temperature):
    y, features = draw(8000, NATURAL)
    p = with_temperature(posterior(features, np.full(4, 0.25)), temperature)
    found, prior = fit_prior(y, p, NATURAL, [0.4, 0.3, 0.2, 0.1])
    made = adjust_prior(with_temperature(p, found), prior, NATURAL)
    assert found == pytest.approx(1 / temperature, rel=0.1)
    true = posterior(features, NATURAL)
    assert log_loss(y, made) == pytest.approx(log_loss(y, true), abs=0.003)
    assert np.abs(made - true).mean() < 0.01


def test_a_class_too_rare_for_validation_keeps_about_what_the_sampling_makes_one_expect():
    natural, even = np.array([0.7, 0.2, 0.099, 0.001]), np.full(4, 0.25)
    y, features = draw(500, natural)
    assert not (y == 3).any()
    _, prior = fit_prior(y, posterior(features, even), natural, even)
    # By maximum likelihood its share would be without bounds.
    assert prior[:3] / prior[2] == pytest.approx(np.ones(3), rel=0.5)
    assert 0.4 < prior[3] / prior[2] < 2.5
    one = fit_prior(y[:1], posterior(features[:1], even), natural, even)[1]
    assert one == pytest.approx(even, abs=0.1)


def test_a_class_that_was_never_trained_has_no_prior():
    y, features = draw(500, NATURAL)
    p = posterior(features, NATURAL)
    natural = np.array([0.7, 0.2, 0.1, 0.0])
    _, prior = fit_prior(y, p, natural, [0.4, 0.3, 0.3, 0.0])
    assert prior[3] == 0
    assert prior.sum() == pytest.approx(1)
    temperature, prior = fit_prior(np.full(500, 3), p, natural, [0.4, 0.3, 0.3, 0.0])
    assert (temperature, *prior) == pytest.approx((1, 0.4, 0.3, 0.3, 0))


@pytest.mark.parametrize("classes", [2, 500])
def test_two_classes_and_many(classes):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(classes, 0.3), 400)
    even = np.full(classes, 1 / classes)
    temperature, prior = fit_prior(rng.integers(0, classes, 400), p, even, even)
    assert temperature > 1
    assert prior.sum() == pytest.approx(1)
    assert np.isfinite(adjust_prior(with_temperature(p, temperature), prior, even)).all()


# ---- The prior that the sampling makes ----

COUNTS = np.array([600, 170, 0, 30])


@pytest.mark.parametrize("name", METHODS)
def test_training_prior_is_the_one_that_the_gradients_of_real_batches_lead_to(name):
    """It is what the model answers where images say nothing: with one vector of outputs for all of them.

    Where a loss claims no more than its value at equal outputs, the gradient there shows it: for class k it is proportional to
    1/K - pi_k; class 2, which has no image, gives the scale.
    """
    settings = {"alpha": 0.7, "beta": 0.99}
    method = METHODS[name](**{key: value for key, value in settings.items() if key in METHODS[name].model_fields})
    recipe = make_recipe({"method": method, "epochs": 10})
    labels = np.repeat(np.arange(4), COUNTS)
    segment = segments_of(method, TrainSet(labels, 4, recipe.epochs, recipe.seed))[-1]
    pixels, mean = ArrayPixels(np.zeros((800, 1, 1, 3), np.uint8)), torch.zeros(1, 4)
    for epoch in range(segment.last_start, segment.end):
        stage = segment.stage_at(epoch)
        for batch in TrainBatches(pixels, labels, np.arange(800), stage, batch_size=32, seed=0, epoch=epoch):
            mean += batch.mixed(torch.zeros(len(batch.labels), 3, 1, 1), 4, stage.mix)[1].sum(dim=0)
    mean /= mean.sum()
    loss, head, found = segment.stages[-1][1].loss, segment.head, segment.class_prior(COUNTS)
    assert training_prior(recipe, COUNTS) == pytest.approx(method.finished_prior(found))
    if name == "vs":  # no prior describes its factors; that of the adjustment
        assert found == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    elif name in ("ldam", "ldam-drw"):  # nor margins; the proportions, by their weights
        weighted = mean[0] * getattr(loss, "weights", 1)
        assert found == pytest.approx((weighted / weighted.sum()).numpy(), abs=0.02)
    elif type(loss).taught_prior is Loss.taught_prior:
        bias = torch.zeros(1, 4, requires_grad=True)
        loss(bias, mean).backward()
        slope = bias.grad[0].numpy()
        assert found == pytest.approx((slope[2] - slope) / (4 * slope[2]), abs=0.02)
    else:
        answer = fitted_answer(loss, head, mean)[[0, 1, 3]]
        assert found[[0, 1, 3]] == pytest.approx(answer / answer.sum(), abs=0.02)


def fitted_answer(loss, head, targets):
    """Return the probabilities (K,) with the least loss among those that are the same for all images."""
    bias = torch.zeros(1, head.num_outputs(targets.shape[1]), requires_grad=True)
    optimizer = torch.optim.Adam([bias], lr=0.1)
    for rate in (0.1, 0.01):
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(150):
            optimizer.zero_grad()
            loss(bias, targets).backward()
            optimizer.step()
    return head.probabilities(bias.detach())[0].numpy()


def test_training_prior_by_hand():
    # Eq. 3 with alpha 1: half of the mass from each branch.
    found = training_prior(make_recipe({"method": "balanced-mixup", "alpha": 1.0}), COUNTS)
    assert found == pytest.approx([0.375 + 1 / 6, 0.10625 + 1 / 6, 0, 0.01875 + 1 / 6])
    assert training_prior(make_recipe({"method": "mixup"}), COUNTS) == pytest.approx(COUNTS / 800)
    assert training_prior(make_recipe({"method": "cb-loss", "beta": 0.0}), COUNTS) == pytest.approx(COUNTS / 800)


# ---- Wrong arguments ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: with_temperature(p, 0), "Expected `temperature` to be a number above 0, but got 0"),
        (lambda p: with_temperature(p, np.nan), "Expected `temperature` to be a number above 0, but got nan"),
        (lambda p: with_temperature(p * np.nan, 1), "Expected `probabilities` to be finite"),
        (lambda p: adjust_prior(p, [0.5, 0.5], [0.5, 0.6]), r"Expected `target` to be 2 shares >= 0 that sum to 1.*sum 1\.1"),
        (lambda p: adjust_prior(p, [0.2] * 5, [0.5, 0.5]), "Expected `source` to be 2 shares"),
        (lambda p: adjust_prior(p, [0.5, 0.5], [1.5, -0.5]), "Expected `target` to be 2 shares >= 0"),
        (lambda p: adjust_prior(p, [1, 0], [0.9, 0.1]), r"never trained on \(position 1\), but got 0\.1"),
        (lambda p: fit_prior(np.zeros(4, int), p, [0.5, 0.5], [np.nan, 1]), "Expected `expected` to be 2 shares"),
        (lambda p: training_prior(make_recipe({}), [0, 0]), "Expected `counts` to be one number >= 0 per class"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(UsageError, match=message):
        call(np.array([[0.7, 0.3]] * 4))
