"""Every kind of file that Pillow can open becomes RGB in the way the module's docstring says; pixel values by hand."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.images import ArrayImages, FileImages, load_rgb
from balanced_mixup.errors import DataError, Problem


def reload(image, kind="PNG", **options):
    """Write an image to memory and read it as the package does."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return load_rgb(file)


def pixel(image, kind="PNG", **options):
    return tuple(int(value) for value in reload(image, kind, **options)[0, 0])


def gradient(height=6, width=10):
    return (np.arange(height * width * 3) % 251).astype(np.uint8).reshape(height, width, 3)


def write(path, pixels=None, **options):
    Image.fromarray(gradient() if pixels is None else pixels).save(path, **options)
    return path


class TestModes:
    def test_rgb_is_unchanged(self):
        np.testing.assert_array_equal(reload(Image.fromarray(gradient())), gradient())

    def test_greyscale_is_replicated(self):
        assert pixel(Image.new("L", (2, 2), 77)) == (77, 77, 77)

    @pytest.mark.parametrize(("bit", "value"), [(0, 0), (1, 255)])
    def test_one_bit_becomes_black_and_white(self, bit, value):
        assert pixel(Image.new("1", (2, 2), bit)) == (value, value, value)

    def test_palette(self):
        image = Image.new("P", (2, 2), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        assert pixel(image) == (10, 20, 30)
        assert pixel(image, "GIF") == (10, 20, 30)

    def test_transparent_palette_entry_is_black(self):
        image = Image.new("P", (2, 2), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        assert pixel(image, transparency=1) == (0, 0, 0)
        assert pixel(image, transparency=bytes([255, 255])) == (10, 20, 30)

    def test_transparent_colour_is_black(self):
        assert pixel(Image.new("RGB", (2, 2), (9, 8, 7)), transparency=(9, 8, 7)) == (0, 0, 0)
        assert pixel(Image.new("RGB", (2, 2), (9, 8, 7)), transparency=(1, 1, 1)) == (9, 8, 7)

    def test_alpha_is_composited_over_black(self):
        assert pixel(Image.new("RGBA", (2, 2), (200, 100, 50, 0))) == (0, 0, 0)
        assert pixel(Image.new("RGBA", (2, 2), (200, 100, 50, 51))) == (40, 20, 10)
        assert pixel(Image.new("RGBA", (2, 2), (200, 100, 50, 255))) == (200, 100, 50)
        assert pixel(Image.new("LA", (2, 2), (200, 51))) == (40, 40, 40)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    @pytest.mark.parametrize(("value", "grey"), [(0, 0), (257, 1), (128, 0), (129, 1), (32896, 128), (4095, 16), (65535, 255)])
    def test_sixteen_bits_are_scaled_from_their_whole_range(self, kind, value, grey):
        assert pixel(Image.fromarray(np.full((2, 2), value, np.uint16)), kind) == (grey, grey, grey)

    def test_sixteen_bits_are_not_stretched_by_image(self):
        dark = reload(Image.fromarray(np.array([[0, 2570], [5140, 7710]], np.uint16)))
        np.testing.assert_array_equal(dark[..., 0], [[0, 10], [20, 30]])

    def test_sixteen_bits_of_the_other_byte_order(self):
        assert pixel(Image.fromarray(np.full((2, 2), 2570, ">u2")), "TIFF") == (10, 10, 10)

    def test_sixteen_bit_pgm(self):
        assert load_rgb(io.BytesIO(b"P5 1 1 65535\n" + (2570).to_bytes(2, "big"))).tolist() == [[[10, 10, 10]]]

    def test_integers_of_32_bits_within_16(self):
        assert pixel(Image.fromarray(np.full((2, 2), 65535, np.int32)), "TIFF") == (255, 255, 255)

    @pytest.mark.parametrize("value", [-1, 65536])
    def test_integers_of_32_bits_beyond_16(self, value):
        with pytest.raises(DataError, match=r"at most 16 bits a channel, got pixel mode I with values (-1|65536) to"):
            reload(Image.fromarray(np.full((2, 2), value, np.int32)), "TIFF")

    def test_floating_point(self):
        with pytest.raises(
            DataError, match=r"pixel mode F with values 0\.5 to 0\.5[\s\S]*Save it as 8-bit or 16-bit greyscale"
        ):
            reload(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF")

    def test_cmyk(self):
        assert pixel(Image.new("CMYK", (2, 2), (0, 0, 0, 0)), "TIFF") == (255, 255, 255)
        assert pixel(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "TIFF") == (0, 255, 255)
        np.testing.assert_allclose(
            pixel(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95), (255, 0, 0), atol=4
        )

    def test_ycbcr_and_lab(self):
        assert pixel(Image.new("YCbCr", (2, 2), (128, 128, 128)), "TIFF") == (128, 128, 128)
        np.testing.assert_allclose(pixel(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF"), (255, 255, 255), atol=2)


class TestFrameAndOrientation:
    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_the_first_frame_of_an_animation(self, kind):
        frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
        options = {"lossless": True} if kind == "WEBP" else {}
        assert pixel(frames[0], kind, save_all=True, append_images=frames[1:], **options) == (250, 0, 0)

    @pytest.mark.parametrize(
        ("orientation", "turned"),
        [
            (1, lambda a: a),
            (2, lambda a: a[:, ::-1]),
            (3, lambda a: a[::-1, ::-1]),
            (4, lambda a: a[::-1]),
            (5, lambda a: a.transpose(1, 0, 2)),
            (6, lambda a: np.rot90(a, -1)),
            (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
            (8, lambda a: np.rot90(a)),
            (9, lambda a: a),
        ],
    )
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_exif_orientation(self, tmp_path, orientation, turned, kind):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"a.{kind.lower()}"
        options = {"lossless": True} if kind == "WEBP" else {}
        Image.fromarray(gradient()).save(path, kind, exif=exif, **options)
        expected = turned(gradient())
        np.testing.assert_array_equal(load_rgb(path), expected)
        scan = FileImages(tmp_path, [path.name]).scan(0, size=4)
        assert (scan.height, scan.width) == expected.shape[:2]

    def test_damaged_exif_is_ignored_without_a_warning(self):
        assert reload(Image.fromarray(gradient()), "JPEG", exif=b"Exif\0\0garbagegarbage").shape == (6, 10, 3)


class TestResizing:
    def test_antialiased_to_a_square(self, tmp_path):
        pixels = np.zeros((8, 16, 3), np.uint8)
        pixels[:, ::2] = 200
        resized = load_rgb(write(tmp_path / "a.png", pixels), size=4)
        assert resized.shape == (4, 4, 3)
        assert abs(resized[:, 1:-1].astype(int) - 100).max() <= 10  # the mean of the stripes, no stripe of its own

    def test_a_large_jpeg_keeps_its_content(self, tmp_path):
        ramp = np.broadcast_to(np.arange(512, dtype=np.uint16)[None, :, None] // 2, (512, 512, 3)).astype(np.uint8)
        path = write(tmp_path / "a.jpg", ramp, quality=95)
        small = load_rgb(path, size=32)
        exact = np.array(Image.fromarray(load_rgb(path)).resize((32, 32), Image.Resampling.BILINEAR))
        assert abs(small.astype(int) - exact).max() <= 3
        np.testing.assert_array_equal(small, load_rgb(path, size=32))

    def test_the_stored_size_is_reported_beside_the_resized_pixels(self, tmp_path):
        write(tmp_path / "a.jpg", np.zeros((300, 500, 3), np.uint8))
        scan = FileImages(tmp_path, ["a.jpg"]).scan(0, size=16)
        assert (scan.height, scan.width, scan.pixels.shape) == (300, 500, (16, 16, 3))


class TestFileImages:
    def test_contract(self, tmp_path):
        write(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
        write(tmp_path / "c.png", gradient()[::-1])
        images = FileImages(tmp_path, ["x", "y", "z"], ["a.png", "b.png", "c.png"])
        assert len(images) == 3
        assert list(images.names) == ["x", "y", "z"]
        np.testing.assert_array_equal(images.read(0), gradient())
        assert images.digest(0) == images.digest(1) != images.digest(2)
        scan = images.scan(2, size=5)
        np.testing.assert_array_equal(scan.pixels, images.read(2, size=5))
        assert scan.digest == images.digest(2)

    def test_a_problem_in_place_of_a_file(self, tmp_path):
        images = FileImages(tmp_path, ["x"], [Problem("no image path", "line 2: nothing", "Fill it in.")])
        with pytest.raises(DataError, match="line 2: nothing"):
            images.read(0)


@pytest.mark.parametrize("shape", [(3, 4, 6), (3, 4, 6, 3)])
def test_array_images(shape):
    pixels = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    images = ArrayImages(["a", "b", "c"], pixels)
    expected = np.repeat(pixels[1][..., None], 3, axis=2) if len(shape) == 3 else pixels[1]
    np.testing.assert_array_equal(images.read(1), expected)
    scan = images.scan(1, size=2)
    assert (scan.height, scan.width, scan.pixels.shape, scan.digest) == (4, 6, (2, 2, 3), images.digest(1))
    assert len(images) == 3
    assert images.digest(0) != images.digest(1)


class TestBadFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match=r"missing file[\s\S]*gone\.png: no such file \(.*gone\.png\)[\s\S]*--images"):
            FileImages(tmp_path, ["gone.png"]).read(0)

    def test_a_name_that_no_file_can_have(self, tmp_path):
        with pytest.raises(DataError, match=r"(missing|unreadable) file"):
            FileImages(tmp_path, ["a" * 5000]).read(0)
        with pytest.raises(DataError, match=r"(missing|unreadable) file"):
            FileImages(tmp_path, ["a\0b"]).read(0)

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.png").mkdir()
        with pytest.raises(DataError, match=r"a\.png: expected an image file, got a folder"):
            FileImages(tmp_path, ["a.png"]).digest(0)

    def test_zero_bytes(self, tmp_path):
        (tmp_path / "a.png").touch()
        with pytest.raises(DataError, match=r"empty file[\s\S]*a\.png: the file has 0 bytes"):
            load_rgb(tmp_path / "a.png")

    def test_not_an_image(self, tmp_path):
        (tmp_path / "a.png").write_text("hello")
        with pytest.raises(DataError, match=r"a\.png: not an image, or cut off[\s\S]*BMP, GIF, JPEG"):
            load_rgb(tmp_path / "a.png")

    def test_postscript_is_not_run(self):
        with pytest.raises(DataError, match="not an image"):
            load_rgb(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"))

    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.bmp", "a.webp"])
    @pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
    def test_truncated(self, tmp_path, name, share):
        path = write(tmp_path / name, np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(DataError, match=rf"{name}: (truncated or damaged|not an image, or cut off)"):
            load_rgb(path, size=8)

    def test_a_link_that_leads_nowhere_or_back(self, tmp_path):
        (tmp_path / "gone.png").symlink_to("other.png")
        (tmp_path / "loop.png").symlink_to("loop.png")
        for name, to in (("gone.png", "other.png"), ("loop.png", "loop.png")):
            with pytest.raises(
                DataError, match=rf"(missing|unreadable) file[\s\S]*{name}: (a link that leads to no file \({to}\)|.*loop)"
            ):
                FileImages(tmp_path, [name]).read(0)

    def test_rather_large_is_read_without_a_warning(self, tmp_path):
        assert load_rgb(write(tmp_path / "a.png"), decoding=Decoding(60e-6)).shape == (6, 10, 3)


def test_threads_leak_no_warning_and_leave_pillow_as_it_was(tmp_path):
    path = write(tmp_path / "a.png")
    before, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda number: load_rgb(path, decoding=Decoding(60e-6 + number % 2)), range(200)))
    assert len(read) == 200
    assert warnings.filters == before
    assert limit == Image.MAX_IMAGE_PIXELS
