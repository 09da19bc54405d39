"""Twenty and more kinds of bad data: each named with its remedy, exit status 2, no traceback; `check` lists all in one go."""

import io

import numpy as np
import pytest
from PIL import Image

from balanced_mixup.cli import run


def picture(seed):
    """Return the bytes of a small image that no other seed has."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Dataset:
    """A good table of 24 images in two classes, twelve patients, with a split; tests spoil it."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {f"{i:02}.png": picture(i) for i in range(24)}
        splits = ["train"] * 16 + ["val"] * 4 + ["test"] * 4
        self.rows = [[f"{i:02}.png", "ab"[i % 2], f"p{i // 2}", splits[i]] for i in range(24)]
        self.header = "image,label,patient,part"

    def write(self):
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)
        lines = [self.header, *(",".join(row) for row in self.rows)]
        (self.folder / "labels.csv").write_text("\n".join(lines) + "\n")
        return ["--data", str(self.folder / "labels.csv"), "--group-column", "patient", "--split-column", "part"]


def missing(d):
    del d.files["03.png"]


def zero_byte(d):
    d.files["03.png"] = b""


def truncated(d):
    d.files["03.png"] = picture(3)[:400]


def unreadable(d):
    d.files["03.png"] = b"this is no image"


def float_image(d):
    buffer = io.BytesIO()
    Image.fromarray(np.ones((9, 9), np.float32)).save(buffer, "TIFF")
    d.files["03.png"] = buffer.getvalue()


def empty_label(d):
    d.rows[3][1] = ""


def nan_label(d):
    d.rows[3][1] = "NaN"


def fractional_label(d):
    d.rows[3][1] = "1.5"


def duplicate_row(d):
    d.rows.append(list(d.rows[3]))


def duplicate_row_other_label(d):
    d.rows.append([d.rows[3][0], "a", d.rows[3][2], d.rows[3][3]])


def same_image_other_label(d):
    d.files["03.png"] = d.files["02.png"]


def same_image_other_part(d):
    d.files["21.png"] = d.files["03.png"]


def group_on_two_sides(d):
    d.rows[21][2] = "p1"


def empty_group(d):
    d.rows[3][2] = ""


def unknown_part(d):
    d.rows[3][3] = "trian"


def leaves_the_root(d):
    d.rows[3][0] = "../../03.png"


def absolute_path(d):
    d.rows[3][0] = "/etc/passwd"


def empty_path(d):
    d.rows[3][0] = ""


def one_class(d):
    for row in d.rows:
        row[1] = "a"


def no_rows(d):
    d.rows.clear()


def no_such_column(d):
    d.header = "image,lable,patient,part"


def two_columns_of_a_name(d):
    d.header = "image,label,label,part"


def broken_quotes(d):
    d.rows[3][1] = '"a'


KINDS = {
    missing: "03.png",
    zero_byte: "empty file",
    truncated: "truncated",
    unreadable: "not an image",
    float_image: "mode F",
    empty_label: "line 5",
    nan_label: "'NaN'",
    fractional_label: "'1.5'",
    duplicate_row: "03.png",
    duplicate_row_other_label: "03.png",
    same_image_other_label: "identical images with different labels",
    same_image_other_part: "identical images in different splits",
    group_on_two_sides: "p1",
    empty_group: "group",
    unknown_part: "'trian'",
    leaves_the_root: "leave the image root",
    absolute_path: "leave the image root",
    empty_path: "line 5",
    one_class: "at least two classes",
    no_rows: "no rows",
    no_such_column: "Did you mean 'lable'?",
    two_columns_of_a_name: "more than one column 'label'",
    broken_quotes: "quotes",
}


@pytest.mark.parametrize("spoil", KINDS, ids=lambda spoil: spoil.__name__)
def test_each_is_named_by_check_and_refused_by_train(spoil, tmp_path, capsys):
    dataset = Dataset(tmp_path)
    spoil(dataset)
    arguments = dataset.write()
    assert run(["check", *arguments]) == 2
    checked = " ".join("".join(capsys.readouterr()).split())
    training = ["--backbone", "test_efficientnet", "--weights", "none", "--out", str(tmp_path / "run")]
    assert run(["train", *arguments, *training]) == 2
    captured = capsys.readouterr()
    trained = " ".join(captured.err.split())
    assert captured.out == ""
    for text in (checked, trained):
        assert KINDS[spoil] in text
        assert "Traceback" not in text
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_the_good_data_are_good(tmp_path, capsys):
    assert run(["check", *Dataset(tmp_path).write()]) == 0
    assert "no problems" in capsys.readouterr().out


def test_all_at_once(tmp_path, capsys):
    """Everything that concerns a row is listed together, each on a row of its own."""
    dataset = Dataset(tmp_path)
    spoils = {
        missing: 0, zero_byte: 1, truncated: 4, unreadable: 5, float_image: 6, empty_label: 7, nan_label: 8,
        fractional_label: 9, duplicate_row: 10, leaves_the_root: 11, empty_path: 12, unknown_part: 13, empty_group: 14,
        group_on_two_sides: 21,
    }  # fmt: skip
    template = Dataset(tmp_path)
    for spoil, row in spoils.items():
        if spoil is group_on_two_sides:
            dataset.rows[row][2] = "p1"
            continue
        fresh = Dataset(tmp_path)
        spoil(fresh)
        name = f"{row:02}.png"
        if fresh.files.get("03.png") != template.files["03.png"]:
            dataset.files.pop(name)
            if "03.png" in fresh.files:
                dataset.files[name] = fresh.files["03.png"]
        for column in range(4):
            if fresh.rows[3][column] != template.rows[3][column]:
                dataset.rows[row][column] = fresh.rows[3][column]
        if len(fresh.rows) > 24:
            dataset.rows.append(list(dataset.rows[row]))
    assert run(["check", *dataset.write(), "--json"]) == 2
    report = capsys.readouterr().out
    for spoil in (*spoils,):
        expected = KINDS[spoil] if "line 5" not in KINDS[spoil] else f"line {spoils[spoil] + 2}"
        expected = f"{spoils[spoil]:02}.png" if expected == "03.png" else expected
        assert expected in report, spoil.__name__


def test_rows_with_problems_can_be_left_out_and_are_listed(tmp_path, capsys):
    dataset = Dataset(tmp_path)
    missing(dataset)
    dataset.rows[8][1] = ""
    arguments = dataset.write()
    training = ["--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--epochs", "1", "--no-report"]
    assert run(["train", *arguments, *training, "--exclude-bad", "--out", str(tmp_path / "run")]) == 0
    excluded = (tmp_path / "run/excluded.csv").read_text()
    assert "03.png" in excluded and "08.png" in excluded
    assert len((tmp_path / "run/manifest.csv").read_text().splitlines()) == 1 + 22
    assert "Excluded 2 of 24 images" in capsys.readouterr().err


def test_a_class_with_one_image_crashes_nothing(tmp_path, capsys):
    dataset = Dataset(tmp_path)
    dataset.rows[0][1] = "rare"
    arguments = dataset.write()[:4]
    training = ["--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--epochs", "1", "--no-report"]
    assert run(["train", *arguments, *training, "--out", str(tmp_path / "run")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "'rare' has 1 image" in said
    assert "goes to training" in said


def test_a_machine_without_a_gpu_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    training = ["--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--accelerator", "gpu"]
    assert run(["train", *Dataset(tmp_path).write(), *training, "--out", str(tmp_path / "run")]) == 2
    assert "This machine cannot compute with `accelerator` 'gpu'" in " ".join(capsys.readouterr().err.split())
