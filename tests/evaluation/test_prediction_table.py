"""Tables of other programs: which columns are what, and what becomes of their numbers."""

import numpy as np
import pytest

from balanced_mixup import UsageError
from balanced_mixup.data.sources.text_table import read_table
from balanced_mixup.evaluation.prediction_table import parse_predictions
from balanced_mixup.evaluation.table_format import TableFormat

CLASSES = ("mel", "nv")


@pytest.fixture
def parse(tmp_path):
    def read(text, known=CLASSES, label_map=(), **form):
        (tmp_path / "t.csv").write_text(text)
        return parse_predictions(read_table(tmp_path / "t.csv"), TableFormat(**form), known, dict(label_map))

    return read


class TestColumns:
    @pytest.mark.parametrize(
        ("header", "form"),
        [("image,mel,nv", {}), ("image,p_mel,p_nv", {}), ("image,prob mel,prob nv", {"prefix": "prob "})],
    )
    def test_of_each_class(self, parse, header, form):
        found = parse(f"{header}\na,0.2,0.8\n", **form)
        assert found.classes == CLASSES
        assert found.probabilities.tolist() == [[0.2, 0.8]]

    def test_classes_are_renamed_by_the_label_map(self, parse):
        found = parse("image,melanoma,naevus\na,0.2,0.8\n", label_map={"melanoma": "mel", "naevus": "nv"})
        assert found.classes == CLASSES

    def test_numbers_as_classes_and_an_own_name_column(self, parse):
        found = parse("file,0,1,2\na,0.2,0.3,0.5\n", known=("0", "1", "2"), name_column="file")
        assert (list(found.names), found.classes) == (["a"], ("0", "1", "2"))

    def test_one_column_is_enough_for_two_classes(self, parse):
        found = parse("image,score\na,0.2\n", label_map={"score": "mel"})
        assert found.classes == ("mel", "nv")
        assert found.probabilities.tolist() == [[0.2, 0.8]]
        assert found.remarks == ("the column 'score' is the score of mel, the rest to 1 that of nv",)
        logit = parse("image,mel\na,0\nb,2\n", scores="logits").probabilities
        assert logit[:, 0] == pytest.approx(1 / (1 + np.exp([0.0, -2.0])))

    def test_one_column_is_not_enough_for_three(self, parse):
        with pytest.raises(UsageError, match=r"each class \(a, b, c\) in t\.csv, but only found 'a'.*two classes alone"):
            parse("image,a\nx,0.2\n", known=("a", "b", "c"))

    def test_what_is_missing_is_named(self, parse):
        with pytest.raises(UsageError, match=r"no column 'file'; their columns are 'image', 'mel', 'nv'.*--name-column"):
            parse("image,mel,nv\na,0.2,0.8\n", name_column="file")
        with pytest.raises(UsageError, match=r"a column for each class \(mel, nv\).*columns are 'image', 'x'.*--label-map"):
            parse("image,x\na,0.2\n")
        with pytest.raises(UsageError, match=r"columns that begin with 'q_' in t\.csv, but its columns are 'image', 'p_mel'"):
            parse("image,p_mel\na,0.2\n", prefix="q_")
        with pytest.raises(UsageError, match=r"predict the classes of the labels \(mel, nv\), but its columns are of a, b"):
            parse("image,q_a,q_b\nx,0.2,0.8\n", prefix="q_")
        with pytest.raises(UsageError, match="several are of the class 'mel'"):
            parse("image,mel,melanoma,nv\na,0.2,0.1,0.7\n", label_map={"melanoma": "mel"})


class TestAnswers:
    def test_are_0_and_1(self, parse):
        found = parse("image,prediction\na,mel\nb,nv\n")
        assert found.answers_only and found.probabilities.tolist() == [[1, 0], [0, 1]]
        assert found.remarks == ("the column 'prediction' has classes alone, so there is no AUC and no calibration",)

    def test_are_taken_where_they_are_asked_for(self, parse):
        text = "image,mel,nv,answer\na,0.2,0.8,mel\n"
        assert not parse(text).answers_only
        assert parse(text, prediction_column="answer").probabilities.tolist() == [[1, 0]]

    def test_other_classes_and_gaps(self, parse):
        found = parse("image,prediction\na,bkl\nb,\n")
        assert found.classes == ("mel", "nv", "bkl")
        assert "predicted, but not a class of the labels: bkl" in found.remarks
        (problem,) = found.problems
        assert (problem.rows, problem.message) == ((1,), "t.csv line 3: expected a class, got ''")

    def test_that_contradict_the_scores_are_said(self, parse):
        found = parse("image,mel,nv,prediction\na,0.2,0.8,mel\nb,0.2,0.8,nv\n")
        assert found.remarks == ("in 1 row the column 'prediction' is not the most probable class, which is scored",)


class TestNumbers:
    def test_rounding_is_divided_out(self, parse):
        found = parse("image,mel,nv\na,0.33,0.66\n")
        assert found.probabilities[0] == pytest.approx([1 / 3, 2 / 3])
        assert not found.problems

    def test_logits_go_through_a_softmax(self, parse):
        found = parse("image,mel,nv\na,-1000,3\nb,0,0\n", scores="logits")
        assert found.probabilities == pytest.approx(np.array([[0, 1], [0.5, 0.5]]))
        assert found.remarks == ("probabilities are the softmax of the logits",)

    def test_independent_scores_are_divided_by_their_sum(self, parse):
        found = parse("image,mel,nv\na,0.9,0.6\nb,0,0\n", scores="independent")
        assert found.probabilities[0] == pytest.approx([0.6, 0.4])
        assert "probabilities are the scores of the classes divided by their sum" in found.remarks
        assert found.problems[0].message.startswith("t.csv line 3: expected scores from 0 to 1, not all 0 in mel and nv")

    def test_columns_of_other_classes_are_named(self, parse):
        text = "image,mel,akiec,nv,age,df\na,0.2,0.2,0.6,50,0\nb,0.5,0.2,0.3,60,0\n"
        found = parse(text)
        assert [problem.kind for problem in found.problems] == ["no probabilities"] * 2
        assert "though numbers from 0 to 1, as no class of the labels: 'akiec'. If they are" in found.problems[0].remedy
        assert "`--scores independent`" in found.problems[0].remedy
        assert "left out, as 0 in each row and no class of the labels: 'df'" in found.remarks
        assert any("'akiec'" in remark for remark in parse(text, scores="independent").remarks)
        # Each way out that is named.
        for whole in (
            parse(text, known=("mel", "akiec", "nv")),
            parse(text.replace("image,mel,akiec,nv", "image,p_mel,p_akiec,p_nv")),
        ):
            assert not whole.problems
            assert whole.probabilities[0].tolist() == pytest.approx([0.2, 0.2, 0.6])
        assert parse("image,mel,nv,df,sex\na,0.2,0.8,0,1\n").remarks == (
            "left out, as 0 in each row and no class of the labels: 'df'",
        )

    @pytest.mark.parametrize("cells", ["0.9,0.6", "-0.2,1.2", "20,80"])
    def test_others_are_refused_with_the_ways_out(self, parse, cells):
        (problem,) = parse(f"image,mel,nv\na,{cells}\n").problems
        assert problem.message.startswith("t.csv line 2: expected probabilities from 0 to 1 with the sum 1 in mel and nv, got")
        assert "`--scores logits`" in problem.remedy and "`--scores independent`" in problem.remedy

    def test_what_is_no_number(self, parse):
        found = parse("image,mel,nv\na,0.2,0.8\nb,,0.8\nc,inf,0\nd,x,1\n")
        assert [problem.rows for problem in found.problems] == [(1,), (2,), (3,)]
        assert found.problems[0].message == "t.csv line 3: expected numbers in mel and nv"
        assert np.isnan(found.probabilities[1:]).all()

    def test_decimal_commas(self, parse):
        assert parse("image;mel;nv\na;0,2;0,8\n").probabilities.tolist() == [[0.2, 0.8]]
