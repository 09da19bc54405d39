"""A collapsed model is named as such, and a sound one is not."""

import numpy as np
import pytest

from balanced_mixup.cli.show import print_scores
from balanced_mixup.evaluation.collapse import Collapse, Training, collapse, warnings
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores

CLASSES = ("nv", "mel", "df")
LABELS = np.repeat([0, 1, 2], [40, 20, 10])


def scores(predicted, labels=LABELS, classes=CLASSES):
    """Return the scores of these predicted classes."""
    p = np.eye(len(classes), dtype=np.float32)[predicted]
    names = tuple(f"{row}.png" for row in range(len(labels)))
    return Scores.of(Predictions(names, labels, p, classes, None, np.full(len(labels), "test")), replicates=200)


def with_errors(labels, wrong, into):
    """Return the labels, but `into` for every image of the class `wrong`."""
    return np.where(labels == wrong, into, labels)


def test_a_sound_model_has_not_collapsed():
    found = collapse(scores(LABELS))
    assert not found and not found.failed and found.sentences() == []


def test_one_class_only_is_said_alone():
    found = collapse(scores(np.zeros_like(LABELS)))
    assert found == Collapse(only="nv") and found.failed
    (sentence,) = found.sentences()
    assert sentence.startswith("The model predicts one class only: nv. Try a method that gives rare classes more weight")


def test_classes_that_are_never_predicted_or_never_found():
    found = collapse(scores(with_errors(LABELS, 2, 0)))
    assert found == Collapse(never={"df": 10}) and not found.failed
    predicted = with_errors(LABELS, 2, 0)
    predicted[0] = 2
    assert collapse(scores(predicted)) == Collapse(missed={"df": 10})
    (sentence,) = collapse(scores(predicted)).sentences()
    assert sentence.startswith("Predicted, but never correctly: df (0 of 10 images). Try ")


def test_no_better_than_chance():
    shuffled = np.random.default_rng(3).permutation(LABELS)
    found = collapse(scores(shuffled))
    assert found.failed and "better than chance" in found.sentences()[0] and "check the labels" in found.sentences()[0]
    # Worse than chance, and with an interval that includes it.
    assert collapse(scores((LABELS + 1) % 3)).chance.startswith("No better than chance: MCC is -")
    few = np.array([0, 0, 1, 1, 2, 2])
    text = collapse(scores(np.array([0, 1, 1, 2, 2, 0]), few)).chance
    assert text.startswith("Not shown to be better than chance: the 95% interval of MCC on 6 images, -")


def test_a_class_without_images_says_nothing():
    labels = np.repeat([0, 1], [30, 20])
    assert not collapse(scores(labels, labels))
    alone = np.zeros(20, np.int64)
    assert not collapse(scores(alone, alone))  # one class, all of it found
    assert collapse(scores(alone + 1, alone)) == Collapse(only="mel")


def test_many_classes_are_counted():
    labels, classes = np.repeat(np.arange(40), 5), tuple(f"c{k}" for k in range(40))
    (text,) = collapse(scores(np.where(labels < 20, labels, 0), labels, classes)).sentences()
    assert text.startswith("Never predicted: c20 (0 of 5 images), c21 (0 of 5 images),")
    assert "c31 (0 of 5 images) and 8 more. Try " in text


ALPHA = "a larger --alpha, which gives rare classes more weight"
BALANCE = "a method that gives rare classes more weight, such as balanced-mixup (bmixup list methods)"


@pytest.mark.parametrize(
    ("training", "advice"),
    [
        (Training("instance", 3, False, True, False), f"{BALANCE}, more epochs than 3, pretrained weights"),
        (Training("focal", 30, True, True, False), BALANCE),
        (Training("balanced-mixup", 5, True, True, True), f"{ALPHA}, more epochs than 5"),
        (Training("class", 30, True, True, True), "another method than class (bmixup list methods)"),
        (Training("instance", 3, True, False, False), "more epochs than 3"),
        (Training("instance", 30, True, False, False), ""),
    ],
)  # fmt: skip
def test_the_advice_is_what_the_training_has_not_done(training, advice):
    (one_class,) = Collapse(only="nv").sentences(training)
    check = "and check the labels (bmixup check)."
    begin = f"The model predicts one class only: nv. Try {advice}{' or ' * bool(advice)}"
    assert one_class == f"{begin}a lower learning rate, {check}"
    (chance,) = Collapse(chance="By chance.").sentences(training)
    assert "rare classes" not in chance and chance.endswith(f"another learning rate, {check}")


def test_how_a_run_was_trained(tiny_run, tiny, tmp_path):
    assert Training.of(Run.open(tiny_run)) == Training("balanced-mixup", 3, False, True, True)
    recipe = (tiny_run / "recipe.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert Training.of(Run.open(tmp_path)) == Training()  # damaged: nothing is known but what is advised in general


def test_of_another_program_the_scored_images_say_whether_a_class_is_rare():
    equal = np.repeat([0, 1, 2], 20)
    for labels, rare in ((LABELS, True), (equal, False)):
        (sentence,) = warnings(scores(np.zeros_like(labels), labels), None)
        assert ("gives rare classes more weight" in sentence) == rare


@pytest.mark.parametrize(
    ("predicted", "said"),
    [
        (np.zeros_like(LABELS), "Warning: The model predicts one class only: nv. Try"),
        (with_errors(LABELS, 2, 0), "Warning: Never predicted: df (0 of 10 images). Try"),
        (LABELS, ""),
    ],
)
def test_the_terminal_says_it(capsys, predicted, said):
    found = scores(predicted)
    print_scores(found, "the test split", ordinal=False, warnings=warnings(found, None))
    out = " ".join(capsys.readouterr().out.split())
    assert said in out and ("Warning" in out) == bool(said)
