"""Names of images in two tables: the whole name first, then the file name, and never a name that two could have."""

import hypothesis.strategies as st
from hypothesis import given

from balanced_mixup.evaluation.name_matching import match_names


def match(images, named):
    return match_names(images, named, [f"t.csv line {row + 2}" for row in range(len(named))])


def test_whole_names_come_first():
    found = match(["a/1.png", "b/1.png"], ["b/1.png", "a/1.png"])
    assert found.rows.tolist() == [1, 0]
    assert (found.how, found.problems) == ((), ())


def test_then_names_without_suffix_then_file_names():
    found = match(["a/1.png", "a/2.png", "a/3.png", "a/4.png"], ["a/1.png", "a/2.jpg", "x/y/3.png", "4"])
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.how == (
        "1 image matched by the path without its suffix",
        "1 image matched by the file name",
        "1 image matched by the file name without its suffix",
    )


def test_backslashes_and_dots_are_no_difference():
    assert match(["a/1.png"], [".\\a\\1.png"]).rows.tolist() == [0]


def test_a_file_name_that_two_images_have_is_not_guessed():
    found = match(["a/1.png", "b/1.png", "b/2.png"], ["1.png", "2.png"])
    assert found.rows.tolist() == [-1, -1, 1]
    assert [problem.kind for problem in found.problems] == ["image without a label"]
    # Even where the whole name of one of the two is known: the other could be meant by it as well.
    assert match(["a/1.png", "b/1.png"], ["a/1.png", "1.png"]).rows.tolist() == [0, -1]


def test_a_name_given_twice_is_a_problem():
    found = match(["1.png"], ["1.png", "./1.png"])
    assert found.rows.tolist() == [0]
    (problem,) = found.problems
    assert problem.fatal and problem.message == "t.csv line 3: './1.png' again, as in t.csv line 2"


def test_an_unknown_name_is_a_warning():
    (problem,) = match(["1.png"], ["1.png", "9.png"]).problems
    assert not problem.fatal and problem.message == "t.csv line 3: the labels have no image '9.png'"


@given(st.lists(st.sampled_from(["1.png", "a/1.png", "b/1.png", "1.jpg", "a/1", "2", "x/2.png"]), unique=True), st.data())
def test_rows_are_used_once_and_whole_names_always_match(images, data):
    named = data.draw(st.lists(st.sampled_from(["1.png", "a/1.png", "1", "z/1.png", "2.png", "b/1.png"]), unique=True))
    rows = match(images, named).rows
    used = [row for row in rows.tolist() if row >= 0]
    assert len(set(used)) == len(used)
    for image, row in zip(images, rows.tolist(), strict=True):
        if image in named:
            assert named[row] == image
