"""The npz format of MedMNIST, and every way in which such a file can be wrong."""

import io
import tracemalloc
import zipfile

import numpy as np
import psutil
import pytest

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError


def images(n, *shape):
    return (np.arange(n * np.prod(shape)) % 256).astype(np.uint8).reshape(n, *shape)


GOOD = {
    "train_images": images(3, 4, 5),
    "train_labels": np.array([[0], [2], [1]], np.uint8),
    "val_images": images(2, 4, 5),
    "val_labels": np.array([[1], [0]], np.uint8),
}


def read(tmp_path, arrays, **settings):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    return load(DataSettings(data=str(path), **settings))


class TestGood:
    def test_parts_names_and_labels(self, tmp_path):
        manifest = read(tmp_path, GOOD)
        assert list(manifest.images.names) == ["train_00000", "train_00001", "train_00002", "val_00000", "val_00001"]
        assert manifest.split.tolist() == ["train"] * 3 + ["val"] * 2
        assert manifest.labels.tolist() == [0, 2, 1, 1, 0]
        assert manifest.classes == ("0", "1", "2")
        assert manifest.problems == ()
        np.testing.assert_array_equal(manifest.images.read(3)[..., 1], GOOD["val_images"][0])

    def test_colour_and_flat_labels(self, tmp_path):
        arrays = {"test_images": images(2, 4, 5, 3), "test_labels": np.array([0, 1])}
        manifest = read(tmp_path, arrays)
        assert manifest.split.tolist() == ["test"] * 2
        np.testing.assert_array_equal(manifest.images.read(1), arrays["test_images"][1])

    def test_a_label_in_between_that_does_not_occur_is_a_class(self, tmp_path):
        manifest = read(tmp_path, {"train_images": images(2, 4, 5), "train_labels": np.array([0, 2])})
        assert manifest.classes == ("0", "1", "2")

    def test_declared_names_are_counted_from_zero(self, tmp_path):
        manifest = read(tmp_path, GOOD, classes="a,b,c")
        assert manifest.classes == ("a", "b", "c")
        assert manifest.labels.tolist() == [0, 2, 1, 1, 0]

    def test_declared_numbers_are_meant_as_they_are(self, tmp_path):
        assert read(tmp_path, GOOD, classes="2,1,0").labels.tolist() == [2, 0, 1, 1, 2]

    def test_label_map(self, tmp_path):
        manifest = read(tmp_path, GOOD, label_map={"0": "healthy", "1": "ill", "2": "ill"}, classes="ill,healthy")
        assert manifest.labels.tolist() == [1, 0, 0, 0, 1]
        assert read(tmp_path, GOOD, label_map={"0": "healthy", "1": "ill", "2": "ill"}).classes == ("healthy", "ill")

    def test_pneumoniamnist(self, test_data):
        path = test_data("pneumoniamnist-28", "pneumoniamnist_modified.npz")
        manifest = load(DataSettings(data=str(path), classes="normal,pneumonia"))
        assert [len(manifest.rows(part)) for part in ("train", "val", "test")] == [3882, 524, 624]
        assert manifest.images.read(5000).shape == (28, 28, 3)
        assert manifest.problems == ()


class TestBad:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"val_labels": None}, "expected val_labels to go with val_images, got none"),
            ({"train_images": None}, "expected train_images to go with train_labels, got none"),
            ({"train_images": images(3, 4, 5).astype(np.float32)}, "expected train_images of uint8, got float32"),
            ({"train_images": images(3, 4, 5, 4)}, r"train_images \(N,H,W\) or \(N,H,W,3\), got \(3, 4, 5, 4\)"),
            ({"train_images": images(3, 4)}, r"train_images \(N,H,W\) or \(N,H,W,3\), got \(3, 4\)"),
            ({"train_images": images(4, 4, 5)}, r"as many train_images as train_labels, got \(4, 4, 5\) and \(3, 1\)"),
            ({"val_images": images(2, 6, 6)}, "expected images of one size in all splits, got"),
            ({"train_labels": np.zeros((3, 14), int)}, r"several labels per image[\s\S]*\(N,\) or \(N,1\), got \(3, 14\)"),
            ({"train_labels": np.zeros((3, 1, 1), int)}, r"train_labels \(N,\) or \(N,1\), got \(3, 1, 1\)"),
            ({"train_labels": np.int64(3)}, r"train_labels \(N,\) or \(N,1\), got \(\)"),
            ({"train_labels": np.array([0.0, 1.0, 2.0])}, "expected train_labels of integers, got float64"),
            ({"train_labels": np.array([0, None, 1], object)}, "expected train_labels of integers, got object"),
            ({"train_images": images(3, 0, 5)}, r"expected train_images of at least one pixel, got \(3, 0, 5\)"),
        ],
    )
    def test_wrong_arrays(self, tmp_path, change, message):
        arrays = {key: value for key, value in (GOOD | change).items() if value is not None}
        with pytest.raises(DataError, match=message):
            read(tmp_path, arrays)

    def test_several_faults_are_named_together(self, tmp_path):
        with pytest.raises(DataError) as error:
            read(tmp_path, GOOD | {"train_images": images(3, 4, 5).astype(float), "val_labels": np.array([0.5, 1])})
        assert {problem.kind for problem in error.value.problems} == {"wrong pixel type", "wrong label type"}

    def test_other_arrays(self, tmp_path):
        with pytest.raises(DataError, match=r"its arrays are x, y[\s\S]*Expected <split>_images"):
            read(tmp_path, {"x": np.zeros(2), "y": np.zeros(2)})

    def test_no_images(self, tmp_path):
        with pytest.raises(DataError, match="arrays of length 0"):
            read(tmp_path, {"train_images": images(0, 4, 5), "train_labels": np.zeros(0, int)})

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and then nothing"])
    def test_no_npz(self, tmp_path, content):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz: cannot be read as npz"):
            load(DataSettings(data=str(tmp_path / "a.npz")))

    def test_truncated(self, tmp_path):
        read(tmp_path, GOOD)
        data = (tmp_path / "a.npz").read_bytes()
        (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match="cannot be read as npz"):
            load(DataSettings(data=str(tmp_path / "a.npz")))

    def test_more_labels_than_declared_classes(self, tmp_path):
        (problem,) = read(tmp_path, GOOD, classes="a,b").problems
        assert (problem.kind, problem.rows) == ("unknown label", (1,))
        assert problem.message == "train_00001: expected one of a, b; got '2'."


class TestSizes:
    """What is in an npz is compared with what it says and with the memory before it is unpacked."""

    def load(self, path, **settings):
        tracemalloc.start()
        try:
            return load(DataSettings(data=str(path), **settings))
        finally:
            self.peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    def written(self, tmp_path, **members):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(f"{name}.npy", content)
        return tmp_path / "a.npz"

    def npy(self, shape, content, kind="|u1"):
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
        return file.getvalue() + content

    @pytest.mark.parametrize("content", [b"hello", b"", b"\x93NUMPY\x09\x00 of the future", b"\x93NUMPY\x01\x00\xff\xff{"])
    def test_a_member_that_is_no_array(self, tmp_path, content):
        path = self.written(tmp_path, train_images=content, train_labels=self.npy((1,), b"0"))
        with pytest.raises(DataError, match=r"unreadable npz[\s\S]*a\.npz: train_images\.npy cannot be read as npz \("):
            self.load(path)

    def test_an_array_that_says_more_than_it_has(self, tmp_path):
        path = self.written(tmp_path, train_images=self.npy((10**9, 9, 9), b"few"), train_labels=self.npy((10**9,), b"few"))
        with pytest.raises(DataError, match=r"its header says 81,000,000,000 bytes, but it has 3"):
            self.load(path)
        assert self.peak < 5e6

    def test_a_small_file_that_unpacks_to_a_large_array(self, tmp_path):
        n = 10**5
        path = self.written(tmp_path, train_images=self.npy((n, 16, 16), bytes(n * 256)), train_labels=self.npy((n,), bytes(n)))
        assert path.stat().st_size < 30_000
        with pytest.raises(
            DataError, match=r"suspicious compression[\s\S]*train_images unpacks from .* KiB to 24\.4 MiB[\s\S]*numpy\.savez"
        ):
            self.load(path)
        assert self.peak < 5e6

    def test_more_than_the_memory(self, tmp_path, monkeypatch):
        read(tmp_path, GOOD)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 100}))
        with pytest.raises(DataError, match=r"its arrays need 210 bytes, but 100 bytes of memory are free"):
            load(DataSettings(data=str(tmp_path / "a.npz")))

    def test_labels_far_apart_are_not_class_numbers(self, tmp_path):
        arrays = {"train_images": images(3, 4, 5), "train_labels": np.array([0, 1, 10**9])}
        with pytest.raises(
            DataError,
            match=r"labels far apart[\s\S]*count classes from 0, got 1000000000 among 3 different ones[\s\S]*--classes",
        ):
            read(tmp_path, arrays)
        np.savez(tmp_path / "b.npz", **arrays)
        assert self.load(tmp_path / "b.npz", classes="0,1,1000000000").labels.tolist() == [0, 1, 2]
        assert self.peak < 5e6
        assert len(read(tmp_path, arrays | {"train_labels": np.array([0, 1, 999])}).classes) == 1000

    def test_many_classes_may_have_gaps(self, tmp_path):
        labels = np.arange(0, 2000, 2)
        assert len(read(tmp_path, {"train_images": images(1000, 1, 1), "train_labels": labels}).classes) == 1999

    def test_large_images(self, tmp_path):
        with pytest.raises(DataError, match=r"a\.npz: expected at most 1e-05 megapixels, got 20 pixels"):
            read(tmp_path, GOOD, max_megapixels=1e-5)
        long = {"train_images": images(2, 1, 65_536), "train_labels": np.array([0, 1])}
        with pytest.raises(DataError, match=r"a\.npz: expected sides of at most 65,535 pixels, got 65,536 x 1"):
            read(tmp_path, long)
