"""What an image may need: its size is known before anything is decoded, and all threads together stay below a limit."""

import io
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from raw_files import gif, png

from balanced_mixup.data import images as images_module
from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.images import FileImages, load_rgb
from balanced_mixup.data.inspection import exclude, inspect
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.pixel_budget import PixelBudget, budget
from balanced_mixup.data.store_format import pixel_file
from balanced_mixup.data.store_writer import decode_into
from balanced_mixup.errors import DataError

LONG = png(178_000_000, 1, b"")  # what is in it is never looked at


class TestSize:
    @pytest.mark.parametrize(
        ("data", "pixels"),
        [
            (LONG, "178,000,000 pixels"),
            (gif(20_000, 20_000), "400,000,000 pixels"),
            (png(11_000, 11_000, b""), "121,000,000 pixels"),
        ],
        ids=["long", "gif", "png"],
    )
    def test_too_many_pixels(self, data, pixels):
        tracemalloc.start()
        with pytest.raises(
            DataError,
            match=rf"image too large[\s\S]*image: expected at most 100 megapixels, got {pixels}[\s\S]*--max-megapixels",
        ):
            load_rgb(io.BytesIO(data), 32)
        assert tracemalloc.get_traced_memory()[1] < 5e6
        tracemalloc.stop()

    def test_the_limit_can_be_set_lower_and_higher_than_that_of_pillow(self):
        data = png(300, 200, bytes(301 * 200))
        assert load_rgb(io.BytesIO(data), 32, decoding=Decoding(0.06)).shape == (32, 32, 3)
        with pytest.raises(DataError, match=r"expected at most 0\.059 megapixels, got 60,000 pixels"):
            load_rgb(io.BytesIO(data), 32, decoding=Decoding(0.059))
        with pytest.raises(DataError, match="sides of at most 65,535 pixels, got 178,000,000 x 1"):
            load_rgb(io.BytesIO(LONG), 32, decoding=Decoding(1000))
        assert Image.MAX_IMAGE_PIXELS == 89478485

    def test_a_long_image_within_the_limit_would_need_much_memory_to_resize(self):
        with pytest.raises(DataError, match=r"expected sides of at most 65,535 pixels, got 70,000 x 1[\s\S]*Cut it into tiles"):
            load_rgb(io.BytesIO(png(70_000, 1, bytes(70_001))), 32)
        assert load_rgb(io.BytesIO(png(65_535, 1, bytes(65_536))), 32).shape == (32, 32, 3)

    def test_a_frame_that_is_larger_than_its_gif(self):
        data = bytearray(gif(1, 1))
        data[data.index(b",") + 5 : data.index(b",") + 9] = b"\xff\xff\xff\xff"
        with pytest.raises(DataError, match=r"expected at most 100 megapixels, got 4,294,836,225 pixels"):
            load_rgb(io.BytesIO(bytes(data)), 32)

    def test_a_large_file_is_not_read(self, tmp_path):
        with (tmp_path / "a.png").open("wb") as file:
            file.truncate(1601 * 10**6)  # takes no space
        with pytest.raises(DataError, match=r"a\.png: expected a file of at most 1\.5 GiB, got 1\.5 GiB"):
            load_rgb(tmp_path / "a.png")

    def test_no_memory_is_the_problem_of_an_image(self, tmp_path, monkeypatch):
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

        def no_memory(*_):
            raise MemoryError

        monkeypatch.setattr(Image.Image, "resize", no_memory)
        with pytest.raises(DataError, match=r"image too large[\s\S]*a\.png: not enough memory to decode it"):
            load_rgb(tmp_path / "a.png", 32)


class TestWholeDataSet:
    @pytest.fixture
    def manifest(self, tmp_path):
        names = [f"{number}.png" for number in range(20)]
        for number, name in enumerate(names):
            Image.new("RGB", (5, 5), (number, 0, 0)).save(tmp_path / name)
        (tmp_path / "7.png").write_bytes(LONG)
        return Manifest(FileImages(tmp_path, names), np.arange(20) % 2, ("a", "b"))

    def test_a_178_million_pixel_row_is_one_problem_and_can_be_excluded(self, manifest):
        inspection = inspect(manifest, 0.2, 0.2)
        (problem,) = inspection.fatal
        assert (problem.kind, problem.rows) == ("image too large", (7,))
        assert problem.message == "7.png: expected at most 100 megapixels, got 178,000,000 pixels"
        rest, rows = exclude(inspection)
        assert rows.tolist() == [7]
        assert rest.fatal == ()

    def test_no_memory_for_one_image(self, manifest):
        def scan(row):
            if row == 3:
                raise MemoryError
            return manifest.images.scan(0 if row == 7 else row, 4)

        problem, *_ = inspect(manifest, 0.2, 0.2, scan=scan).fatal
        assert (problem.rows, problem.message) == ((3,), "3.png: not enough memory to read it")


class TestBudget:
    def test_threads_wait_for_each_other(self):
        shared, at_once, now, lock = PixelBudget(), [], [0], threading.Lock()

        def decode(pixels):
            with shared.reserve(pixels, 100):
                with lock:
                    now[0] += pixels
                    at_once.append(now[0])
                threading.Event().wait(0.001)
                with lock:
                    now[0] -= pixels

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(decode, [30, 60, 100, 5, 45] * 8))
        assert len(at_once) == 40
        assert max(at_once) <= 100

    def test_a_larger_image_is_decoded_alone(self):
        shared, started = PixelBudget(), threading.Event()

        def decode():
            with shared.reserve(500, 100):
                started.set()

        with shared.reserve(1, 100):
            thread = threading.Thread(target=decode)
            thread.start()
            assert not started.wait(0.05)
        thread.join()
        assert started.is_set()

    def test_a_process_of_a_store_leaves_large_images_to_its_parent(self, tmp_path):
        for name, side in (("small.png", 30), ("large.png", 90)):
            Image.new("RGB", (side, side)).save(tmp_path / name)
        images = FileImages(tmp_path, ["small.png", "large.png"], decoding=Decoding(0.009))
        pixel_file(tmp_path, "a").touch()
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("balanced_mixup.data.store_writer.cpu_count", lambda: 2)
                small, large = decode_into(tmp_path, "a", images, 8, [0, 1])
        finally:
            budget.share_with(1)
        assert (small.height, large) == (30, None)
        assert images.scan(1, 8).height == 90


def test_a_reduced_jpeg_counts_as_what_is_decoded_of_it(tmp_path, monkeypatch):
    reserved = []
    real = budget.reserve

    def reserve(pixels, total):
        reserved.append(pixels)
        return real(pixels, total)

    monkeypatch.setattr(budget, "reserve", reserve)
    for options in ({}, {"progressive": True}):
        Image.new("RGB", (512, 512)).save(tmp_path / "a.jpg", **options)
        images_module.load_rgb(tmp_path / "a.jpg", 32)
    assert reserved == [64 * 64, 512 * 512]
