"""What the data look like and nobody has decided: groups in columns and names, grades; one spelling of a group."""

import pandas as pd
import pytest

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import SUGGESTIONS, load
from balanced_mixup.errors import UsageError


@pytest.fixture
def read(tmp_path):
    """Return a function from columns and settings to the manifest of a table."""

    def make(columns, **settings):
        pd.DataFrame(columns).to_csv(tmp_path / "labels.csv", index=False)
        return load(DataSettings(data=str(tmp_path / "labels.csv"), **settings))

    return make


def suggested(manifest):
    found = [problem for problem in manifest.problems if problem.kind in SUGGESTIONS]
    assert not any(problem.fatal for problem in found)
    return [problem.message for problem in found]


N = 60
PLAIN = {"image": [f"i{k}.png" for k in range(N)], "label": ["x", "y", "z"] * (N // 3)}


class TestGroupColumns:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("patient", [k // 2 for k in range(N)]),
            ("PatientID", [k // 2 for k in range(N)]),
            ("lesion_id", [f"L{min(k, 57)}" for k in range(N)]),
            ("cases", [k % 4 for k in range(N)]),
            ("origin", [f"HAM_{k // 3:05}" for k in range(N)]),
        ],
    )
    def test_a_column_that_looks_like_groups(self, read, name, values):
        (message,) = suggested(read({**PLAIN, name: values}))
        count = len(set(values))
        assert message == (
            f"column {name!r} looks like groups: {count} different values for 60 images. To keep the images of each together, "
            f"add --group-column {name}"
        )
        assert suggested(read({**PLAIN, name: values}, group_column=name)) == []
        assert suggested(read({**PLAIN, name: values}, ignore_groups=True)) == []

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("patient", list(range(N))),  # one image each
            ("eye", ["left", "right"] * (N // 2)),
            ("case", ["control", "case", "other"] * (N // 3)),  # no more than there are classes
            ("age", [40 + k // 3 for k in range(N)]),
            ("width", [640 + k // 2 for k in range(N)]),
            ("patient_age", [40 + k // 3 for k in range(N)]),
            ("date", [f"2026-01-{1 + k // 3:02}" for k in range(N)]),
            ("subtype", [f"t{k % 6}" for k in range(N)]),
            ("patient", [""] * (N - 10) + [1] * 10),
            ("comment", [f"seen by {k // 2}" for k in range(N)]),
        ],
    )
    def test_a_column_that_does_not(self, read, name, values):
        assert suggested(read({**PLAIN, name: values})) == []

    def test_several_columns_the_coarsest_first(self, read):
        columns = {**PLAIN, "lesion": [k // 2 for k in range(N)], "patient": [k // 4 for k in range(N)]}
        assert [message.split("'")[1] for message in suggested(read(columns))] == ["patient", "lesion"]


class TestStems:
    @pytest.mark.parametrize(
        ("names", "pattern"),
        [
            ([f"{k // 2}_{('left', 'right')[k % 2]}.png" for k in range(N)], "([^/]+)_(left|right)"),
            ([f"eyes/{k // 2}-{('left', 'right')[k % 2]}" for k in range(N)], "([^/]+)-(left|right)"),
            ([f"p{k // 2}_{'LR'[k % 2]}.png" for k in range(N)], r"([^/]+)[_-](L|R|OD|OS|l|r|od|os)\b"),
            ([f"p{k // 3}/{k}.png" for k in range(N)], "([^/]+)/[^/]+$"),
            ([f"smear{k // 3}_{k % 3}.png" for k in range(N)], "([^/]+)[_-][0-9]+"),
        ],
    )
    def test_names_with_groups(self, read, names, pattern):
        (message,) = suggested(read({**PLAIN, "image": names}))
        assert message.endswith(f'To keep the images of each together, add --group-pattern "{pattern}"')
        size = names[0] in message and len({name.replace("right", "left") for name in names})
        assert size
        manifest = read({**PLAIN, "image": names}, group_pattern=pattern)
        groups = len(set(manifest.groups.tolist()))
        assert f"look like those of {groups} groups" in message
        assert manifest.problems == ()

    @pytest.mark.parametrize(
        "names",
        [
            [f"ISIC_{k:07}.jpg" for k in range(N)],
            [f"{'xyz'[k % 3]}_{k}.png" for k in range(N)],
            [f"{k}.png" for k in range(N)],
            [f"{k}_left.png" for k in range(N)],
            [f"{k % 20:02}/{k}.png" for k in range(N)],  # folders of any images
            [f"2026{k:04}_{k:05}_0100_PP.png" for k in range(N)],
        ],
    )
    def test_names_without(self, read, names):
        assert suggested(read({**PLAIN, "image": names})) == []

    def test_folders(self, tmp_path):
        for k in range(20):
            folder = tmp_path / "ab"[k // 10]
            folder.mkdir(exist_ok=True)
            (folder / f"{k // 2}_{('left', 'right')[k % 2]}.png").touch()
        (message,) = suggested(load(DataSettings(data=str(tmp_path))))
        assert "look like those of 10 groups, such as 'a/0_left.png' and 'a/0_right.png'" in message
        assert load(DataSettings(data=str(tmp_path), group_pattern="([^/]+)_(left|right)")).groups[:3].tolist() == [
            "0",
            "0",
            "1",
        ]


class TestGroupPattern:
    def test_a_name_without_a_group(self, read):
        manifest = read({"image": ["1_left", "2_left", "mask"], "label": ["x", "y", "x"]}, group_pattern="([0-9]+)_")
        assert manifest.groups.tolist() == ["1", "2", ""]
        (problem,) = manifest.problems
        assert (problem.kind, problem.rows, problem.fatal) == ("no group", (2,), True)
        assert problem.message == "mask: expected a name that --group-pattern '([0-9]+)_' matches"

    def test_a_pattern_without_parentheses_is_the_group(self, read):
        assert read({"image": ["p1_a", "p2_b"], "label": ["x", "y"]}, group_pattern="^p[0-9]+").groups.tolist() == ["p1", "p2"]

    def test_misuse(self, read):
        with pytest.raises(UsageError, match=r"--group-pattern to be a regular expression, but '\(' is none"):
            read(PLAIN, group_pattern="(")
        with pytest.raises(UsageError, match="one of --group-column and --group-pattern, but got both"):
            read(PLAIN, group_pattern="(.)", group_column="label")


class TestGrades:
    @pytest.mark.parametrize(
        ("labels", "column", "flags"),
        [
            (list("01234"), "label", "--ordinal"),
            (list("12345"), "label", "--ordinal"),
            (list("0123"), "severity", "--ordinal"),
            (["grade 2", "grade 1", "grade 3"], "label", "--ordinal --classes 'grade 1,grade 2,grade 3'"),
            (["stage II", "stage IV", "stage I"], "label", "--ordinal --classes 'stage I,stage II,stage IV'"),
            (["severe", "mild", "moderate", "none"], "label", "--ordinal --classes none,mild,moderate,severe"),
            (["No DR", "Mild", "Severe", "Proliferative"], "dx", "--ordinal --classes 'No DR,Mild,Severe,Proliferative'"),
        ],
    )
    def test_labels_that_look_like_grades(self, read, labels, column, flags):
        columns = {"image": [f"i{k}" for k in range(20)], column: (labels * 20)[:20]}
        (message,) = suggested(read(columns, label_column=column))
        assert message.endswith(f"look like grades. To train and score them in their order, add {flags}")
        assert suggested(read(columns, label_column=column, ordinal=False)) == []
        classes = flags.partition("--classes ")[2].strip("'") or None
        settled = read(columns, label_column=column, ordinal=True, classes=classes)
        assert settled.problems == ()

    @pytest.mark.parametrize(
        "labels",
        [list("01"), list("012"), list("0123456789"), list("01245"), ["mel", "nv", "bkl"], ["type 1", "type 2", "type 3"]],
    )
    def test_labels_that_do_not(self, read, labels):
        assert suggested(read({"image": [f"i{k}" for k in range(20)], "label": (labels * 20)[:20]})) == []


class TestSpellingOfGroups:
    def test_one_group(self, read):
        groups = ["17", "17.0", "017", "p1", "P1", "p\u200b1", "Zoe\u0308", "Zo\u00eb", "18"]
        manifest = read({"image": list("abcdefghi"), "label": list("xyxyxyxyx"), "g": groups}, group_column="g")
        assert manifest.groups.tolist() == ["17"] * 3 + ["p1"] * 3 + ["Zoe\u0308"] * 2 + ["18"]
        assert [(problem.kind, problem.message, problem.fatal) for problem in manifest.problems] == [
            ("group written in several ways", "'17' and '17.0' and '017' are one group", False),
            ("group written in several ways", "'p1' and 'P1' and 'p\\u200b1' are one group", False),
            ("group written in several ways", "'Zoe\\u0308' and 'Zo\u00eb' are one group", False),
        ]

    def test_a_group_that_is_written_in_one_way_keeps_it(self, read):
        """The data of earlier runs keep their fingerprint, and their split."""
        groups = ["007", "008.0", "P1", "zoe\u0308"]
        manifest = read({"image": list("abcd"), "label": list("xyxy"), "g": groups}, group_column="g")
        assert (manifest.groups.tolist(), manifest.problems) == (groups, ())


@pytest.mark.parametrize(
    ("file", "settings", "expected"),
    [
        ("eyepacs-160/labels.csv", {"label_column": "level", "group_column": "patient", "ordinal": True}, []),
        ("ham10000-128/labels.csv", {"label_column": "dx", "group_column": "lesion_id"}, []),
        ("chula-rbc12-64/labels.csv", {"label_column": "class", "group_column": "smear"}, []),
        ("ham10000-128/labels.csv", {"label_column": "dx"}, []),  # one image a lesion
        ("labels/hyperkvasir_image-labels.csv", {"image_column": "Video file", "label_column": "Finding"}, []),
        ("labels/hyperkvasir_5_fold_split.csv", {"image_column": "file-name", "label_column": "class-name"}, []),
        ("labels/aptos2019_train.csv", {"image_column": "id_code", "label_column": "diagnosis", "ordinal": True}, []),
        ("chula-rbc12-64/labels.csv", {"label_column": "class"}, ["column 'smear'"]),
        ("eyepacs-160/labels.csv", {"label_column": "level", "ordinal": True}, ["column 'patient'"]),
        (
            "labels/eyepacs_trainLabels.csv",
            {"label_column": "level"},
            ["the names of 35,126 images", "the classes 0, 1, 2, 3, 4"],
        ),
        ("labels/HAM10000_metadata.csv", {"image_column": "image_id", "label_column": "dx"}, ["column 'lesion_id'"]),
        ("labels/kvasircapsule_split_0.csv", {"image_column": "filename"}, ["the names of 23,061 images"]),
    ],
)
def test_published_tables(test_data, tmp_path, file, settings, expected):
    messages = suggested(load(DataSettings(data=str(test_data(file)), images=tmp_path, **settings)))
    assert [message.partition(" look")[0] for message in messages] == expected
