"""Greyscale of more than 8 bits is scaled by its stated bit depth, and what leaves most grey levels unused is said."""

import io

import numpy as np
import pytest
from PIL import Image
from raw_files import png, tiff

from balanced_mixup.data.decoding import AS_FILES_SAY, Decoding
from balanced_mixup.data.images import FileImages, load_rgb
from balanced_mixup.data.inspection import inspect
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.errors import DataError

TWELVE = Decoding(bit_depth=12)


def grey(data, decoding=AS_FILES_SAY):
    """Return the grey values of a file."""
    pixels = load_rgb(io.BytesIO(data), decoding=decoding)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].tolist()


def sixteen(*values):
    return tiff(len(values), 1, np.array(values, "<u2").tobytes(), bits=16)


class TestScaling:
    def test_by_the_given_depth(self):
        assert grey(sixteen(0, 8, 9, 2048, 4095), TWELVE) == [[0, 0, 1, 128, 255]]
        rows = b"\0" + np.array([0, 4095], ">u2").tobytes()
        assert grey(png(2, 1, rows, bits=16), TWELVE) == [[0, 255]]
        assert grey(sixteen(0, 4095)) == [[0, 16]]

    def test_by_the_depth_that_a_tiff_states(self):
        packed = bytes.fromhex("000fff800fff")  # 0, 4095, 2048, 4095
        assert grey(tiff(2, 2, packed, bits=12)) == [[0, 255], [128, 255]]
        assert grey(tiff(2, 2, packed, bits=12), Decoding(bit_depth=10)) == [[0, 255], [128, 255]]

    def test_zero_is_white(self):
        values = np.array([0, 257, 65535], "<u2").tobytes()
        assert grey(tiff(3, 1, values, bits=16, white_is_zero=True)) == [[255, 254, 0]]
        assert grey(tiff(3, 1, bytes([0, 1, 255]), bits=8, white_is_zero=True)) == [[255, 254, 0]]
        twelve = np.array([0, 4095], "<u2").tobytes()
        assert grey(tiff(2, 1, twelve, bits=16, white_is_zero=True), TWELVE) == [[255, 0]]

    def test_a_pgm_states_its_own_depth(self):
        assert grey(b"P5 1 1 4095\n" + (4095).to_bytes(2, "big"), TWELVE) == [[255]]

    def test_eight_bits_are_not_changed(self):
        assert grey(tiff(2, 1, bytes([7, 200]), bits=8), TWELVE) == [[7, 200]]

    def test_a_value_beyond_the_depth(self):
        with pytest.raises(
            DataError,
            match=r"beyond the bit depth[\s\S]*expected values below 4,096 with a bit depth of 12, got 5,000[\s\S]*--bit-depth",
        ):
            grey(sixteen(0, 5000), TWELVE)

    def test_colour_cannot_be_scaled(self):
        data = png(1, 1, bytes(7), colour=2, bits=16)
        assert load_rgb(io.BytesIO(data)).shape == (1, 1, 3)
        with pytest.raises(DataError, match=r"expected greyscale with a bit depth of 12, got 16-bit colour"):
            load_rgb(io.BytesIO(data), decoding=TWELVE)

    def test_another_depth_is_another_image(self, tmp_path):
        (tmp_path / "a.tif").write_bytes(sixteen(0, 4095))
        images = FileImages(tmp_path, ["a.tif"])
        deep = images.decoded_by(TWELVE)
        assert images.digest(0) != deep.digest(0) == deep.scan(0, 4).digest
        assert images.stamp(0).fingerprint != deep.stamp(0).fingerprint
        assert deep.decoded_by(Decoding()).digest(0) == images.digest(0)
        assert images.decoded_by(Decoding(50)).stamp(0).fingerprint == images.stamp(0).fingerprint


class TestWarning:
    def remarks(self, tmp_path, *files, decoding=AS_FILES_SAY):
        for number, data in enumerate(files):
            (tmp_path / f"{number}.tif").write_bytes(data)
        images = FileImages(tmp_path, [f"{number}.tif" for number in range(len(files))], decoding=decoding)
        inspection = inspect(Manifest(images, np.zeros(len(files), np.int64), ("a",)), None)
        return [problem for problem in inspection.problems if problem.kind == "unused bits"]

    def test_unused_bits_are_said(self, tmp_path):
        eight = tiff(1, 1, b"\7", bits=8)
        (problem,) = self.remarks(tmp_path, sixteen(4095, 3), sixteen(2000, 1), eight)
        assert not problem.fatal
        assert problem.message == (
            "2 of 3 files looked at have 16 bits, but values up to 4,095 only, which leave 17 of 256 grey levels"
        )
        assert "say so with --bit-depth 12" in problem.remedy

    def test_not_where_the_bits_are_used_stated_or_there_are_none(self, tmp_path):
        assert self.remarks(tmp_path, sixteen(4095), sixteen(20_000)) == []
        assert self.remarks(tmp_path, sixteen(4095), decoding=TWELVE) == []
        assert self.remarks(tmp_path, tiff(1, 1, b"\7", bits=8)) == []
        assert self.remarks(tmp_path, tiff(2, 1, b"\0\x0f\xff", bits=12)) == []

    def test_colour_and_damage(self, tmp_path):
        (problem,) = self.remarks(tmp_path, png(1, 1, b"\0" + b"\x0f\xff" * 3, colour=2, bits=16), b"no image", b"")
        assert "1 of 3 files looked at have 16 bits, but values up to 3,855 only" in problem.message

    def test_many_files_are_sampled(self, tmp_path, monkeypatch):
        opened = []
        real = Image.open
        monkeypatch.setattr(Image, "open", lambda file, **options: opened.append(file) or real(file, **options))
        images = FileImages(tmp_path, [f"{number}.tif" for number in range(500)])
        assert images.remarks() == ()
        assert len(set(opened)) == 16
