"""An interrupted or damaged file is an error where its format makes it possible to notice, and an intact one never is."""

import io

import numpy as np
import pytest
from PIL import Image
from raw_files import png, png_chunk

from balanced_mixup.data.images import load_rgb
from balanced_mixup.errors import DataError


def picture(seed, side=64):
    """Return an image that compresses like a photograph: smooth areas and some noise."""
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(smooth) + rng.integers(-6, 7, (side, side, 3)), 0, 255).astype(np.uint8))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def load(data):
    return load_rgb(io.BytesIO(data))


def count_accepted(decode, files):
    accepted = 0
    for data in files:
        try:
            decode(data)
        except (DataError, OSError, SyntaxError):
            continue
        accepted += 1
    return accepted


def pillow(data):
    Image.open(io.BytesIO(data)).load()


def zeros_from(data, start, stop=None):
    """Return a file of which a part was reserved but never written."""
    stop = len(data) if stop is None else stop
    return data[:start] + bytes(stop - start) + data[stop:]


class TestPng:
    def test_half_zeroed(self):
        files = [encoded(picture(seed), "PNG") for seed in range(40)]
        zeroed = [zeros_from(data, len(data) // 2) for data in files]
        assert count_accepted(pillow, zeroed) > 10
        assert count_accepted(load, zeroed) == 0
        assert count_accepted(load, files) == 40

    def test_a_changed_byte_is_named(self):
        data = bytearray(encoded(Image.new("RGB", (9, 9)), "PNG"))
        data[data.index(b"IDAT") + 8] ^= 1
        with pytest.raises(
            DataError, match=r"image: truncated or damaged \(the checksum of its chunk 'IDAT' at byte 33 is wrong"
        ):
            load(bytes(data))

    def test_cut_after_the_pixels(self):
        data = encoded(picture(0), "PNG")
        pillow(data[:-6])
        with pytest.raises(DataError, match=r"truncated or damaged \(it ends before its last chunk"):
            load(data[:-6])

    def test_what_follows_the_last_chunk_is_ignored(self):
        assert load(encoded(picture(0), "PNG") + bytes(100)).shape == (64, 64, 3)

    def test_every_chunk_counts(self):
        chunk = png_chunk(b"tEXt", b"comment\0hello")
        whole = png(1, 2, b"\0\x07" * 2, chunks=[(b"tEXt", b"comment\0hello")])
        assert load(whole).shape == (2, 1, 3)
        with pytest.raises(DataError, match="the checksum of its chunk 'tEXt' at byte 33 is wrong"):
            load(whole.replace(chunk, chunk[:-1] + bytes([chunk[-1] ^ 1])))


class TestJpeg:
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
    def test_zeros_in_the_middle(self, options):
        files = [encoded(picture(seed, 160), "JPEG", quality=90, **options) for seed in range(20)]
        zeroed = [zeros_from(data, len(data) // 2, len(data) - 40) for data in files]
        assert count_accepted(pillow, zeroed) == 20
        assert count_accepted(load, zeroed) == 0
        assert count_accepted(load, files) == 20

    def test_ten_bytes_missing(self):
        files = [encoded(picture(seed), "JPEG", quality=90) for seed in range(40)]
        shorter = [data[: len(data) // 2] + data[len(data) // 2 + 10 :] for data in files]
        assert count_accepted(pillow, shorter) == 40
        assert count_accepted(load, shorter) < 32  # the rest decodes to its end by chance

    def test_the_decoders_words_are_in_the_message(self):
        data = encoded(picture(0), "JPEG", quality=90)
        with pytest.raises(DataError, match=r"image: truncated or damaged \(Corrupt JPEG data: .*\)[\s\S]*Restore the file"):
            load(zeros_from(data, len(data) // 2, len(data) - 40))

    def test_damaged_cmyk(self):
        data = encoded(picture(0).convert("CMYK"), "JPEG", quality=90)
        pillow(zeros_from(data, len(data) // 2, len(data) - 40))
        with pytest.raises(DataError, match="truncated or damaged"):
            load(zeros_from(data, len(data) // 2, len(data) - 40))

    def test_what_follows_the_end_is_ignored(self):
        data = encoded(picture(0), "JPEG")
        np.testing.assert_array_equal(load(data + bytes(512)), load(data))
        np.testing.assert_array_equal(load(data + data), load(data))

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize(
        "options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"restart_marker_blocks": 3}], ids=str
    )
    @pytest.mark.parametrize("size", [None, 8, 32])
    def test_the_pixels_are_those_of_pillow(self, mode, options, size):
        data = encoded(picture(1, 301).resize((301, 255)).convert(mode), "JPEG", **options)
        image = Image.open(io.BytesIO(data))
        if size is not None:
            image.draft(None, (2 * size, 2 * size))
        expected = image.convert("RGB")
        if size is not None:
            expected = expected.resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(load_rgb(io.BytesIO(data), size), np.asarray(expected))

    def test_subsampling_that_turbojpeg_does_not_support_is_left_to_pillow(self):
        data = bytearray(encoded(Image.new("RGB", (48, 48), (90, 90, 90)), "JPEG", subsampling=0))
        frame = data.index(b"\xff\xc0")
        data[frame + 11] = 0x31  # luma three times as wide as colour
        image = Image.open(io.BytesIO(bytes(data)))
        np.testing.assert_array_equal(load(bytes(data)), np.asarray(image.convert("RGB")))


def same_as_pillow(paths):
    """Check that each image is accepted and has the pixels that Pillow gives."""
    for path in paths:
        np.testing.assert_array_equal(load_rgb(path), np.asarray(Image.open(path).convert("RGB")), err_msg=str(path))


def test_photographs_as_cameras_write_them(test_data):
    same_as_pillow(sorted(test_data("eyepacs-fullres", "images").iterdir())[:3])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ham10000-128", "eyepacs-160", "chula-rbc12-64"])
def test_no_image_of_the_real_data_is_refused(real_data, name):
    paths = sorted(real_data(name).rglob("*.jpg"))
    assert len(paths) > 4000
    same_as_pillow(paths)
