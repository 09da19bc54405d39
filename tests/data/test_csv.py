"""Tables: what is understood, and for everything that is not, the line, what was expected and what came."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError, UsageError


@pytest.fixture
def table(tmp_path):
    """Return a function from the text of a table and settings to its manifest; images are looked for beside it."""

    def read(text, **settings):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(DataSettings(data=str(path), **settings))

    return read


def messages(manifest, kind=None):
    return [problem.message for problem in manifest.problems if kind in (None, problem.kind)]


def only_problem(manifest):
    assert len(manifest.problems) == 1, manifest.problems
    return manifest.problems[0]


class TestReading:
    def test_all_columns(self, table):
        manifest = table(
            "id,dx,who,part\na.png,nv,p1,train\nb.png,mel,p2,test\nc.png,nv,p1,val\n",
            image_column="id",
            label_column="dx",
            group_column="who",
            split_column="part",
        )
        assert manifest.classes == ("mel", "nv")
        assert manifest.labels.dtype == np.int64
        assert manifest.labels.tolist() == [1, 0, 1]
        assert manifest.groups.tolist() == ["p1", "p2", "p1"]
        assert manifest.split.tolist() == ["train", "test", "val"]
        assert list(manifest.images.names) == ["a.png", "b.png", "c.png"]
        assert manifest.problems == ()

    @pytest.mark.parametrize(
        "text",
        [
            b"image,label\na.png,x\nb.png,y\n",
            b"image,label\na.png,x\nb.png,y",
            b"image,label\r\na.png,x\r\nb.png,y\r\n",
            b"\xef\xbb\xbfimage,label\na.png,x\nb.png,y\n",
            b"image;label\na.png;x\nb.png;y\n",
            b"image\tlabel\na.png\tx\nb.png\ty\n",
            b'"image" , label,\n a.png , "x",\nb.png,y ,\n'.replace(b'" ,', b'",'),
            b"\nimage,label\n\na.png,x\n\nb.png,y\n\n",
        ],
    )
    def test_the_many_ways_to_write_a_table(self, table, text):
        manifest = table(text)
        assert (list(manifest.images.names), manifest.labels.tolist()) == (["a.png", "b.png"], [0, 1])
        assert manifest.problems == ()

    def test_lines_are_counted_as_in_the_file(self, table):
        manifest = table('image,label,note\na.png,x,"two\nlines"\n\nb.png,,\nc.png,y,\n')
        assert messages(manifest) == ["labels.csv line 5: expected a class, got ''"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"", "labels.csv: expected a line of column names and one row per image, got no rows"),
            (b"image,label\n", "got no rows"),
            (b"image,label\na.png,caf\xe9\n", r"labels.csv line 2: expected UTF-8 text, got the byte 0xe9[\s\S]*CSV in UTF-8"),
            (b'image,label\na.png,x\nb.png,"y\n', r"the row that starts in line 3 cannot be read[\s\S]*Check the quotes"),
            (b'image,label\n"a".png,x\n', "the row that starts in line 2 cannot be read"),
        ],
    )
    def test_broken_tables(self, table, text, message):
        with pytest.raises(DataError, match=message):
            table(text)

    def test_a_row_with_too_many_cells(self, table):
        problem = only_problem(table("image,label\na.png,x\nb.png,y,z\nc.png,y\n"))
        assert (problem.kind, problem.rows) == ("malformed row", (1,))
        assert problem.message == "labels.csv line 3: expected 2 cells, got 3"

    def test_a_row_with_too_few_cells(self, table):
        assert messages(table("image,label\na.png,x\nb.png\nc.png,y\n")) == ["labels.csv line 3: expected a class, got ''"]

    def test_missing_columns_are_named_together(self, table):
        with pytest.raises(DataError) as error:
            table("image,labels,dx\na.png,x,y\n", image_column="img", group_column="patient")
        text = str(error.value)
        assert "has no column 'img'; its columns are 'image', 'labels', 'dx'. Did you mean 'image'?" in text
        assert "has no column 'label'; its columns are 'image', 'labels', 'dx'. Did you mean 'labels'?" in text
        assert "has no column 'patient'" in text
        assert "Name the column with --group-column." in text

    def test_a_column_name_that_occurs_twice(self, table):
        with pytest.raises(DataError, match="has more than one column 'label'"):
            table("image,label,label\na.png,x,y\n")

    def test_no_image_folder(self, table, tmp_path):
        with pytest.raises(DataError, match=r"--images to be a folder, but .*gone' does not exist[\s\S]*unpack"):
            table("image,label\na.png,x\n", images=tmp_path / "gone")
        (tmp_path / "images.zip").touch()
        with pytest.raises(DataError, match=r"images.zip' is a file"):
            table("image,label\na.png,x\n", images=tmp_path / "images.zip")


class TestLabels:
    def test_numbers_are_one_class_however_written(self, table):
        manifest = table("image,label\na,2.0\nb,2\nc,10\nd, 02 \ne,0\n")
        assert manifest.classes == ("0", "2", "10")
        assert manifest.labels.tolist() == [1, 1, 2, 1, 0]

    @pytest.mark.parametrize("label", ["", "  ", "nan", "NaN", "NA", "null", "<NA>"])
    def test_no_label(self, table, label):
        problem = only_problem(table(f"image,label\na,x\nb,{label}\nc,y\n"))
        assert (problem.kind, problem.rows, problem.fatal) == ("no label", (1,), True)
        assert problem.message == f"labels.csv line 3: expected a class, got {label.strip()!r}"

    def test_a_declared_class_may_be_called_na(self, table):
        assert table("image,label\na,NA\nb,K\n", classes="NA,K").labels.tolist() == [0, 1]

    @pytest.mark.parametrize("label", ["1.5", "-0.25", ".5", "1e-3"])
    def test_a_number_that_is_not_whole(self, table, label):
        problem = only_problem(table(f"image,label\na,0\nb,{label}\nc,1\n"))
        assert problem.kind == "label is not a class"
        assert problem.message == f"labels.csv line 3: expected an integer or a name, got {label!r}"

    def test_a_number_that_is_not_whole_but_declared(self, table):
        assert table("image,label\na,4.1\nb,4.2\n", classes="4.1,4.2").labels.tolist() == [0, 1]

    def test_declared_classes_give_the_order(self, table):
        manifest = table("image,label\na,mild\nb,none\n", classes="none,mild,severe", ordinal=True)
        assert manifest.classes == ("none", "mild", "severe")
        assert manifest.ordinal
        assert manifest.labels.tolist() == [1, 0]
        assert manifest.problems == ()

    def test_unknown_label(self, table):
        manifest = table("image,label\na,nv\nb,mell\n", classes="mel,nv")
        problem = only_problem(manifest)
        assert (problem.kind, problem.rows) == ("unknown label", (1,))
        assert problem.message == "labels.csv line 3: expected one of mel, nv; got 'mell'. Did you mean 'mel'?"
        assert manifest.labels.tolist() == [1, -1]

    def test_label_map_comes_first(self, table):
        manifest = table("image,label\na,1.0\nb,NA\nc,bad\n", label_map={"1": "good", "NA": "none"}, classes="none,good,bad")
        assert manifest.labels.tolist() == [1, 0, 2]
        assert manifest.problems == ()

    def test_label_map_to_an_unknown_class(self, table):
        manifest = table("image,label\na,old\nb,x\n", label_map={"old": "new"}, classes="x,y")
        assert messages(manifest, "unknown label") == [
            "labels.csv line 2: expected one of x, y; got 'new' (renamed from 'old')."
        ]

    def test_label_map_of_a_label_that_does_not_occur(self, table):
        problem = only_problem(table("image,label\na,nevus\nb,mel\n", label_map={"nevvus": "nv"}))
        assert (problem.kind, problem.fatal) == ("unused label map", False)
        assert "expected a label 'nevvus', to be renamed 'nv'" in problem.message
        assert "Did you mean 'nevus'?" in problem.message

    def test_one_class(self, table):
        assert messages(table("image,label\na,x\nb,x\n"), "too few classes") == ["expected at least two classes, got 'x'"]

    def test_classes_that_differ_in_case(self, table):
        problem = only_problem(table("image,label\na,nv\nb,NV\n"))
        assert (problem.kind, problem.fatal) == ("similar classes", False)
        assert problem.message == "'NV' and 'nv' differ only in case and count as two classes"

    def test_ordinal_names_need_an_order(self, table):
        problem = only_problem(table("image,label\na,mild\nb,none\n", ordinal=True))
        assert problem.fatal
        assert "expected the order of the ordinal classes, as they are names: mild, none" in problem.message
        assert "--classes" in problem.remedy

    def test_a_class_declared_twice(self, table):
        with pytest.raises(UsageError, match="Expected each class once, but --classes is a, b, a"):
            table("image,label\na,a\n", classes="a,b,a")


class TestPaths:
    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "../a.png", "x/../../a.png", "..", "C:\\data\\a.png", "c:a.png", "..\\a.png", "\\\\host\\a.png"]
    )
    def test_a_path_must_not_leave_the_root(self, table, tmp_path, path):
        (tmp_path / "images").mkdir()
        Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
        manifest = table(f"image,label\n{path},x\nb.png,y\n", images=tmp_path / "images")
        problem = only_problem(manifest)
        assert (problem.kind, problem.rows, problem.fatal) == ("path outside the image root", (0,), True)
        assert problem.message == f"labels.csv line 2: expected a path inside the image root, got {path!r}"
        assert problem.remedy.startswith("A path must not leave the image root")
        with pytest.raises(DataError, match="inside the image root"):
            manifest.images.read(0)

    @pytest.mark.parametrize("path", ["sub/a.png", "./sub/a.png", "sub//a.png", "sub/x/../a.png", "sub\\a.png", "sub/a"])
    def test_the_shortest_form_of_a_path_is_opened(self, table, tmp_path, path):
        (tmp_path / "sub").mkdir()
        Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "sub" / "a.png")
        manifest = table(f"image,label\n{path},x\nb.png,y\n")
        assert manifest.images.read(0)[0, 0].tolist() == [1, 2, 3]
        assert manifest.images.names[0] == path

    def test_the_extension_may_be_left_out(self, table, tmp_path):
        for name in ("10_left.jpeg", "10_right.JPG", "10_left.txt", "v1.2.png"):
            Image.new("RGB", (2, 2)).save(tmp_path / name, "PNG")
        manifest = table("image,label\n10_left,0\n10_right,1\nv1.2,1\n")
        assert manifest.problems == ()
        assert [manifest.images.read(i).shape for i in range(3)] == [(2, 2, 3)] * 3

    def test_an_absolute_path_inside_the_root_becomes_relative(self, table, tmp_path):
        (tmp_path / "photos" / "sub").mkdir(parents=True)
        (tmp_path / "link").symlink_to(tmp_path / "photos")
        for name in ("a.png", "sub/b.png"):
            Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "photos" / name)
        text = f"image,label\n{tmp_path}/photos/a.png,x\n{tmp_path}/photos/./sub/b,y\n"
        for root in ("photos", "link"):
            manifest = table(text, images=tmp_path / root)
            assert manifest.problems == ()
            assert list(manifest.images.names) == ["a.png", "sub/b"]
            assert manifest.images.key(1) == "sub/b.png"
            assert manifest.images.read(1)[0, 0].tolist() == [1, 2, 3]

    def test_absolute_paths_outside_name_their_folder(self, table, tmp_path):
        (tmp_path / "photos" / "sub").mkdir(parents=True)
        (tmp_path / "other").mkdir()
        text = f"image,label\n{tmp_path}/photos/a.png,x\n{tmp_path}/photos/sub/b.png,y\n"
        for problem in table(text, images=tmp_path / "other").problems:
            assert problem.kind == "path outside the image root"
            assert problem.remedy.endswith(f"name the folder that has these images with --images {tmp_path}/photos")
        assert table(text, images=tmp_path / "photos").problems == ()

    def test_an_ambiguous_name(self, table, tmp_path):
        for name in ("a.jpg", "a.png"):
            Image.new("RGB", (2, 2)).save(tmp_path / name)
        problem = only_problem(table("image,label\na,x\nb,y\n"))
        assert problem.message == "labels.csv line 2: expected one image, but 'a' may be a.jpg or a.png"

    def test_no_path(self, table):
        assert messages(table("image,label\n,x\nb,y\n")) == ["labels.csv line 2: expected the path of an image, got ''"]

    def test_a_missing_image_is_left_to_the_inspection(self, table):
        manifest = table("image,label\na.png,x\nb.png,y\n")
        assert manifest.problems == ()
        with pytest.raises(DataError, match=r"a\.png: no such file"):
            manifest.images.read(0)


class TestGroupsSplitsAndRepeats:
    @pytest.mark.parametrize("group", ["", "nan"])
    def test_no_group(self, table, group):
        problem = only_problem(table(f"image,label,g\na,x,1\nb,y,{group}\n", group_column="g"))
        assert (problem.kind, problem.rows, problem.fatal) == ("no group", (1,), True)
        assert problem.message == f"labels.csv line 3: expected a group, got {group!r}"

    def test_the_usual_names_of_the_parts(self, table):
        names = ["train", "Training", "val", "VALID", "validation", "dev", "test", "Testing"]
        rows = "".join(f"{i},{i % 2},{name}\n" for i, name in enumerate(names))
        manifest = table("image,label,split\n" + rows, split_column="split")
        assert manifest.split.tolist() == ["train"] * 2 + ["val"] * 4 + ["test"] * 2

    def test_an_unknown_part(self, table):
        problem = only_problem(table("image,label,split\na,x,train\nb,y,Public\n", split_column="split"))
        assert (problem.kind, problem.rows, problem.fatal) == ("unknown split", (1,), True)
        assert problem.message == "labels.csv line 3: expected train, val or test, got 'Public'"

    def test_a_repeated_row(self, table):
        problem = only_problem(table("image,label\na,x\nb,y\n./a,x\n"))
        assert (problem.kind, problem.rows, problem.fatal) == ("repeated image", (2,), True)
        assert problem.message == "labels.csv line 4: a again, as in labels.csv line 2"

    def test_a_repeated_row_that_differs(self, table):
        problem = only_problem(table("image,label,g\na,x,1\nb,y,2\na,y,2\n", group_column="g"))
        assert problem.rows == (0, 2)
        assert problem.message == (
            "labels.csv line 4: a again with label 'y', group '2'; labels.csv line 2 has it with label 'x', group '1'"
        )

    def test_an_image_in_many_rows_is_one_problem(self, table):
        problem = only_problem(table("image,label\na,x\nb,y\n" + "a,x\n" * 4 + "a,y\n"))
        assert problem.rows == (0, 2, 3, 4, 5, 6)
        assert problem.message == (
            "labels.csv line 8: a again with label 'y'; labels.csv line 2 has it with label 'x', and in 4 more rows"
        )
        problem = only_problem(table("image,label\na,x\nb,y\n" + "a,x\n" * 4))
        assert problem.rows == (2, 3, 4, 5)
        assert problem.message == "labels.csv line 4: a again, as in labels.csv line 2, and in 3 more rows"


class TestPublishedLabelFiles:
    def test_eyepacs(self, published_labels, tmp_path):
        path = published_labels / "eyepacs_trainLabels.csv"
        settings = {"label_column": "level", "ordinal": True, "group_pattern": "([^/]+)_(left|right)"}
        manifest = load(DataSettings(data=str(path), images=tmp_path, **settings))
        assert manifest.counts().tolist() == [25810, 2443, 5292, 873, 708]
        assert len(set(manifest.groups.tolist())) == 17563
        assert manifest.problems == ()

    def test_hyperkvasir(self, published_labels, tmp_path):
        settings = {"image_column": "Video file", "label_column": "Finding", "group_column": "Organ"}
        manifest = load(DataSettings(data=str(published_labels / "hyperkvasir_image-labels.csv"), images=tmp_path, **settings))
        assert (len(manifest), len(manifest.classes)) == (10662, 23)
        assert (manifest.counts().max(), manifest.counts().min()) == (1148, 6)
        assert manifest.problems == ()

    def test_hyperkvasir_folds_with_semicolons(self, published_labels, tmp_path):
        settings = {"image_column": "file-name", "label_column": "class-name", "group_column": "split-index"}
        manifest = load(DataSettings(data=str(published_labels / "hyperkvasir_5_fold_split.csv"), images=tmp_path, **settings))
        assert len(manifest) == 10662
        assert len(Counter(manifest.groups.tolist())) == 5

    def test_messidor2_has_images_without_a_grade(self, published_labels, tmp_path):
        settings = {"image_column": "id_code", "label_column": "diagnosis"}
        manifest = load(DataSettings(data=str(published_labels / "messidor2_messidor_data.csv"), images=tmp_path, **settings))
        assert manifest.counts().tolist() == [1017, 270, 347, 75, 35]
        assert len(messages(manifest, "no label")) == len(manifest) - 1744

    def test_the_usage_column_of_eyepacs_is_no_split(self, published_labels, tmp_path):
        settings = {"images": tmp_path, "label_column": "level", "split_column": "Usage"}
        manifest = load(DataSettings(data=str(published_labels / "eyepacs_retinopathy_solution.csv"), **settings))
        assert len(messages(manifest, "unknown split")) == len(manifest) == 53576
