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
