"""Labels that name several classes, one-hot tables, misspellings, and labels that only look alike."""

import pytest

from balanced_mixup.data.inspection import exclude, inspect
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.sources.label_names import encode
from balanced_mixup.errors import DataError, UsageError


def encoded(labels, **settings):
    """Return the name of the class of each label (None for none), the classes and the problems."""
    numbers, classes, problems = encode(labels, [f"line {k}" for k in range(len(labels))], **settings)
    return [classes[k] if k >= 0 else None for k in numbers.tolist()], classes, problems


@pytest.fixture
def table(tmp_path):
    """Return a function from the text of a table and settings to its manifest."""

    def read(text, **settings):
        (tmp_path / "labels.csv").write_text(text)
        return load(DataSettings(data=str(tmp_path / "labels.csv"), **settings))

    return read


CELLS = (
    ["NEUTROPHIL"] * 4 + ["EOSINOPHIL"] * 3 + ["NEUTROPHIL, EOSINOPHIL", "EOSINOPHIL,BASOPHIL", "NEUTROPHIL, NEUTROPHIL", ""]
)


class TestSeveralLabels:
    def test_they_are_refused_with_the_ways_out(self):
        names, classes, problems = encoded(CELLS)
        assert classes == ("EOSINOPHIL", "NEUTROPHIL")
        assert names[7:] == [None, None, "NEUTROPHIL", None]
        several = [problem for problem in problems if problem.kind == "several labels"]
        assert [problem.message for problem in several] == [
            "line 7: expected one label, got 'NEUTROPHIL, EOSINOPHIL'",
            "line 8: expected one label, got 'EOSINOPHIL,BASOPHIL'",
        ]
        assert several[0].rows == (7,)
        assert several[0].remedy == (
            "An image is trained with one class: --exclude-bad leaves these rows out, --multi-label first takes the first "
            "label of each, and --one-vs-rest NEUTROPHIL trains images with that label against all others."
        )
        assert not any("Did you mean" in problem.message for problem in problems)

    @pytest.mark.parametrize("separator", [", ", ";", "|", " / ", "+", "&"])
    def test_every_separator(self, separator):
        _, classes, problems = encoded(["a", "b", separator.join("ab")])
        assert classes == ("a", "b")
        assert [problem.kind for problem in problems] == ["several labels"]

    @pytest.mark.parametrize(
        "labels",
        [
            ["nevus", "Actinic keratosis / Bowen's disease"],
            ["A+", "A-"],
            ["polyp", "polyp, large"],
            ["esophagitis-a", "esophagitis-b-d"],
        ],
    )
    def test_a_separator_alone_is_no_several_labels(self, labels):
        assert encoded(labels)[1] == tuple(sorted(labels))

    def test_labels_that_occur_together_alone(self):
        _, classes, problems = encoded(["red, blue", "blue, green", "red, green", "red"])
        assert classes == ("red",)
        assert [problem.kind for problem in problems] == ["several labels"] * 3 + ["too few classes"]

    def test_declared_classes_are_never_taken_apart(self):
        names, _, problems = encoded(["a", "b", "a, b"], classes=("a", "b", "a, b"))
        assert (names, problems) == (["a", "b", "a, b"], [])
        kinds = [problem.kind for problem in encoded(["a", "a, b", "b/z", "c, d"], classes=("a", "b"))[2]]
        assert kinds == ["several labels", "several labels", "unknown label"]

    def test_the_first(self):
        names, _, problems = encoded(CELLS, multi_label="first")
        assert names[7:] == ["NEUTROPHIL", "EOSINOPHIL", "NEUTROPHIL", None]
        assert [problem.kind for problem in problems] == ["no label"]

    def test_one_against_the_rest(self):
        names, classes, problems = encoded(CELLS, one_vs_rest="EOSINOPHIL")
        assert classes == ("not EOSINOPHIL", "EOSINOPHIL")
        assert names == ["not EOSINOPHIL"] * 4 + ["EOSINOPHIL"] * 5 + ["not EOSINOPHIL", None]
        assert [problem.kind for problem in problems] == ["no label"]

    def test_one_that_does_not_exist(self):
        with pytest.raises(
            UsageError, match=r"--one-vs-rest to be one of EOSINOPHIL, NEUTROPHIL, but got 'NEUTROFIL'.*'NEUTROPHIL'\?"
        ):
            encoded(CELLS, one_vs_rest="NEUTROFIL")

    def test_parts_are_renamed(self):
        names, _, problems = encoded(["n", "e", "n, e"], label_map={"n": "N", "e": "N"}, classes=("N", "x"))
        assert (names, problems) == (["N", "N", "N"], [])

    def test_folders_of_several_classes(self, tmp_path):
        for name in ("a", "b", "a, b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "1.png").touch()
        settings = {"data": str(tmp_path)}
        assert [problem.kind for problem in load(DataSettings(**settings)).problems] == ["several labels"]
        assert load(DataSettings(**settings, multi_label="first")).labels.tolist() == [0, 0, 1]
        assert load(DataSettings(**settings, one_vs_rest="b")).classes == ("not b", "b")

    def test_excluded(self, table):
        manifest = table("image,label\n" + "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(8)) + '8.png,"a, b"\n')
        manifest.images._files = ["missing"] * 9
        (problem,) = [problem for problem in inspect(manifest, None).excludable if problem.kind == "several labels"]
        assert problem.rows == (8,)


ONE_HOT = "image,MEL,NV,BCC\na,1.0,0.0,0.0\nb,0,1,0\nc,False,True,\nd,0,0,1\n" + "e,0,1,0\n" * 0


class TestOneHot:
    def test_read(self, table):
        manifest = table(ONE_HOT, label_columns="MEL,NV,BCC")
        assert manifest.classes == ("MEL", "NV", "BCC")
        assert manifest.labels.tolist() == [0, 1, 1, 2]
        assert manifest.problems == ()

    def test_renamed_and_in_another_order(self, table):
        manifest = table(ONE_HOT, label_columns="MEL,NV,BCC", label_map={"MEL": "melanoma", "BCC": "NV"})
        assert (manifest.classes, manifest.labels.tolist()) == (("melanoma", "NV"), [0, 1, 1, 1])
        assert table(ONE_HOT, label_columns="MEL,NV,BCC", classes="NV,BCC,MEL").labels.tolist() == [2, 0, 0, 1]

    def test_wrong_rows(self, table):
        manifest = table(ONE_HOT + "e,1,1,0\nf,0,0,0\ng,0.7,0.3,0\nh,,,\n", label_columns="MEL,NV,BCC")
        assert {problem.rows[0]: (problem.kind, problem.message) for problem in manifest.problems} == {
            4: ("several labels", "labels.csv line 6: expected one label, got 'MEL, NV'"),
            5: ("no label", "labels.csv line 7: expected a 1 in one of the label columns, got none in MEL, NV, BCC"),
            6: ("not 1 or 0", "labels.csv line 8: expected 1 or 0 in the column 'MEL', got '0.7'"),
            7: ("no label", "labels.csv line 9: expected a 1 in one of the label columns, got none in MEL, NV, BCC"),
        }
        assert all("--exclude-bad" in problem.remedy for problem in manifest.problems)
        assert manifest.labels.tolist() == [0, 1, 1, 2, -1, -1, -1, -1]

    def test_columns_that_look_like_further_classes_are_named(self, table):
        rows = "".join(f"{k},{k % 5 == 0:d},{k % 5 == 1:d},{k % 5 == 2:d},{k % 5 == 3:d},{k % 5 == 4:d},7\n" for k in range(20))
        manifest = table("image,MEL,NV,BCC,DF,VASC,age\n" + rows, label_columns="MEL,NV,BCC")
        assert len(manifest.problems) == 8
        assert manifest.problems[0].remedy.startswith(
            "DF and VASC look like further classes: add --label-columns MEL,NV,BCC,DF,VASC to have them as classes. Label"
        )
        (problem, *_) = table("image,MEL,NV,BCC,DF,VASC,age\n" + rows, label_columns="DF,BCC,NV,MEL").problems
        assert problem.remedy.startswith("VASC looks like a further class: add --label-columns DF,BCC,NV,MEL,VASC to")

    def test_the_ways_out(self, table):
        text = ONE_HOT + "e,1,1,0\nf,0,0,0\ng,,,\n"
        assert table(text, label_columns="MEL,NV,BCC", multi_label="first").labels.tolist() == [0, 1, 1, 2, 0, -1, -1]
        manifest = table(text, label_columns="MEL,NV,BCC", one_vs_rest="NV")
        assert manifest.classes == ("not NV", "NV")
        assert manifest.labels.tolist() == [0, 1, 1, 0, 1, 0, -1]  # zeros are one of the rest, a blank row is no label

    def test_the_flag_is_suggested(self, table):
        text = "image,seen,MEL,NV,BCC,age\n" + "".join(
            f"{k},1,{k % 3 == 0:d},{k % 3 == 1:d},{k % 3 == 2:d},5\n" for k in range(9)
        )
        with pytest.raises(DataError, match=r"column for each class: add --label-columns MEL,NV,BCC$"):
            table(text)
        with pytest.raises(DataError, match="Name the column with --label-column"):
            table("image,a,b,c\nx,1,1,0\ny,1,1,1\n")

    def test_a_column_that_does_not_exist(self, table):
        with pytest.raises(DataError, match=r"no column 'BKL'[\s\S]*Name the column with --label-columns"):
            table(ONE_HOT, label_columns="MEL,NV,BKL")

    def test_published(self, published_labels, tmp_path):
        path, names = published_labels / "ISIC2018_Task3_Test_GroundTruth.csv", "MEL,NV,BCC,AKIEC,BKL,DF,VASC"
        manifest = load(DataSettings(data=str(path), images=tmp_path, label_columns=names))
        assert manifest.counts().tolist() == [171, 909, 93, 43, 217, 44, 35]
        assert manifest.problems == ()
        with pytest.raises(DataError, match=f"add --label-columns {names}$"):
            load(DataSettings(data=str(path), images=tmp_path))


class TestSpelling:
    @pytest.mark.parametrize("other", ["caf\u0065\u0301", "caf\u00e9\u200b", "\ufeffcaf\u00e9"])
    def test_unicode_forms_and_invisible_characters_are_one_class(self, other):
        names, classes, problems = encoded(["caf\u00e9", other, "x"])
        assert (names, classes) == (["caf\u00e9", "caf\u00e9", "x"], ("caf\u00e9", "x"))
        (problem,) = problems
        assert (problem.kind, problem.fatal) == ("class written in several ways", False)
        hidden = {"caf\u0065\u0301": r"'cafe\u0301'", "caf\u00e9\u200b": r"'café\u200b'", "\ufeffcaf\u00e9": r"'\ufeffcafé'"}
        assert problem.message == f"'café' and {hidden[other]} are one class"

    def test_a_letter_of_another_script_that_looks_the_same_is_given_by_its_code_point(self):
        (problem,) = encoded(["\u00c5ngström", "\u212bngström", "x"])[2]
        assert problem.message == r"'Ångström' and '\u212bngström' are one class"

    def test_a_class_that_is_always_written_in_one_way_keeps_it(self):
        """The data of earlier runs keep their fingerprint."""
        decomposed = "cafe\u0301"
        assert encoded([decomposed, "x"])[1] == (decomposed, "x")
        assert encoded(["caf\u00e9", "x"], classes=(decomposed, "x"))[0] == [decomposed, "x"]

    def test_a_misspelling(self):
        _, classes, problems = encoded(["neutrophil"] * 50 + ["neutrofil"] + ["white blood"] * 20 + ["white blod"])
        assert len(classes) == 4
        assert sorted((problem.kind, problem.message, problem.fatal) for problem in problems) == [
            (
                "possible misspelling",
                "'neutrofil' has 1 image, 'neutrophil' 50. If it is a misspelling, add --label-map.neutrofil neutrophil",
                False,
            ),
            (
                "possible misspelling",
                "'white blod' has 1 image, 'white blood' 20. If it is a misspelling, add '--label-map.white blod' "
                "'white blood'",
                False,
            ),
        ]

    @pytest.mark.parametrize(
        ("common", "rare"),
        [
            ("grade 2", "grade 1"),
            ("type A", "type B"),
            ("typical", "atypical"),
            ("normal", "abnormal"),
            ("benign", "malign"),
            ("hyperplasia", "hypoplasia"),
            ("esophagitis-b-d", "esophagitis-a"),
            ("basophil", "eosinophil"),
            ("mel", "nel"),
            ("12", "2"),
        ],
    )
    def test_another_class(self, common, rare):
        assert encoded([common] * 50 + [rare])[2] == []

    def test_two_rare_ones(self):
        assert encoded(["polyps"] * 9 + ["polyp"] + ["x"] * 9)[2] == []


def test_rows_without_a_label_are_excluded(table, tmp_path):
    from PIL import Image

    for k in range(9):
        Image.new("RGB", (4, 4), (k, 0, 0)).save(tmp_path / f"{k}.png")
    manifest = table("image,label\n" + "".join(f"{k}.png,{'ab'[k % 2] if k < 8 else ''}\n" for k in range(9)))
    remaining, excluded = exclude(inspect(manifest, None))
    assert (excluded.tolist(), remaining.fatal) == ([8], ())
