"""What is printed of scores."""

import pytest

from balanced_mixup.cli.show import print_scores
from balanced_mixup.runs.scores import ClassScores, Scores
from balanced_mixup.statistics.interval import Interval


def scores_of(classes):
    """Return scores of classes c0, c1 ... with 0, 1 ... images."""
    score = Interval(0.5, 0.4, 0.6)
    return Scores(100, None, {"mcc": score}, {f"c{k}": ClassScores(k, score, score) for k in range(classes)})


@pytest.mark.parametrize(("classes", "printed"), [(40, range(40)), (2000, range(1, 11))])
def test_of_very_many_classes_the_rarest_ten_are_printed(capsys, classes, printed):
    print_scores(scores_of(classes), "all images", ordinal=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("c") and line[1].isdigit()] == [f"c{k}" for k in printed]
    said = "These are the 10 rarest of 2,000 classes; metrics.json has all of them."
    assert (said in lines) == (classes == 2000)


def test_a_score_with_a_warning_is_marked_and_the_sentence_printed_once(capsys):
    few = "Only 3 images of 'c1': too few to rely on the interval."
    score, small = Interval(0.5, 0.4, 0.6), Interval(1, 0.5, 1, few)
    scores = Scores(100, None, {"mcc": small}, {"c0": ClassScores(97, score, score), "c1": ClassScores(3, small, small)})
    print_scores(scores, "all images", ordinal=False)
    printed = capsys.readouterr().out
    overall, of_classes = printed.split("recall")
    assert overall.count(f"* {few}") == of_classes.count(f"* {few}") == 1
    assert of_classes.count("1.000 [0.50, 1.00]*") == 2 and "0.600]*" not in printed


def test_at_most_three_warnings_are_printed(capsys):
    small = [Interval(0.5, 0.4, 0.6, f"Only {k} images of 'c{k}'.") for k in range(5)]
    classes = {f"c{k}": ClassScores(k, score, score) for k, score in enumerate(small)}
    print_scores(Scores(100, None, {}, classes), "all images", ordinal=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("*", "..."))] == [
        *(f"* Only {k} images of 'c{k}'." for k in range(3)),
        "... and 2 more such warnings.",
    ]


def test_three_of_three_is_not_shown_as_certainty(capsys):
    certain = Interval(1.0)
    classes = {"rare": ClassScores(3, certain, certain), "frequent": ClassScores(97, certain, certain)}
    print_scores(Scores(100, None, {}, classes), "all images", ordinal=False)
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert lines["rare"] == ["3", "3", "of", "3", "–"]
    assert lines["frequent"] == ["97", "1.000", "1.000"]
