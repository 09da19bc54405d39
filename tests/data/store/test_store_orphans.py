"""Worker processes whose parent is killed: they end, and what they still write spoils no image."""

import multiprocessing
import os
import random
import signal
import time

import numpy as np
import psutil
import pytest
from PIL import Image
from watched import SIZE, fork, fresh, places, read, store_of, wait_until, write

from balanced_mixup import workers
from balanced_mixup.data import store as store_module
from balanced_mixup.data.cached_stores import damaged_images
from balanced_mixup.data.images import FileImages
from balanced_mixup.datasets import pictures

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:resource_tracker")


def lives(process):
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def ends(process, seconds):
    until = time.monotonic() + seconds
    while lives(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not lives(process)


class Held:
    """Images that workers begin to decode, and go on with when the test lets them."""

    def __init__(self, folder, names):
        class HeldImages(FileImages):  # a worker gets its code: it need not import this file and what that imports
            def scan(self, index, size=None):
                (folder / f"held-by-{os.getpid()}").touch()
                while not (folder / "go").exists():
                    time.sleep(0.01)
                (folder / f"decoded-{self.names[index]}").touch()
                return super().scan(index, size)

        self.folder, self.images = folder, HeldImages(folder / "images", names)

    def by(self):
        """Return the ids of the workers that hold images."""
        return [int(path.name.split("-")[-1]) for path in self.folder.glob("held-by-*")]

    def let_go(self):
        (self.folder / "go").touch()

    def decoded(self):
        return len(list(self.folder.glob("decoded-*")))


@pytest.fixture
def held(tmp_path, monkeypatch):
    """Forty images, which count as many."""
    for module in (store_module, pictures):
        monkeypatch.setattr(module, "_CHUNK", 8)
        monkeypatch.setattr(module, "cpu_count", lambda: 2)
    monkeypatch.setattr(store_module, "_MANY", 20)
    (tmp_path / "images").mkdir()
    return Held(tmp_path, [write(tmp_path / "images" / f"{row:02}.bmp", row).name for row in range(40)])


def kill_while_held(held, work, *arguments):
    """Run `work` in a process, kill that while two workers hold an image each, and return their ids."""
    process = fork.Process(target=work, args=arguments)
    process.start()
    wait_until(lambda: len(held.by()) == 2 or process.exitcode is not None)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return held.by()


def prepare(held, out):
    targets = [out / f"{name}.png" for name in held.images.names]
    pictures.write_images(held.images, targets, pictures.ImageFormat(SIZE, "png", False), 2, lambda done: None)


@pytest.mark.parametrize("work", ["store", "prepare"])
def test_workers_end_when_their_parent_is_killed(held, cache, tmp_path, work):
    arguments = (read, held.images, cache) if work == "store" else (prepare, held, tmp_path)
    for process in kill_while_held(held, *arguments):
        assert ends(process, seconds=60)


def test_a_worker_that_outlives_its_parent_spoils_no_image(held, cache, later, monkeypatch):
    """Another training builds the same store from other rows, while such a worker still holds its image."""
    images = FileImages(held.folder / "images", held.images.names)
    read(images.subset(np.arange(35, 40)), cache)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "end_with", lambda parent: None)
        orphans = kill_while_held(held, read, held.images, cache)
    try:
        others = images.subset(np.arange(40)[::-1])
        np.testing.assert_array_equal(read(others, cache), fresh(others))
        before = places(others, cache)
        held.let_go()
        wait_until(lambda: held.decoded() >= 16)  # two chunks
        assert all(map(lives, orphans))
    finally:
        for process in orphans:
            os.kill(process, signal.SIGKILL)
    store = store_of(others, cache)
    assert damaged_images(store.folder, store.index()) == set()
    assert places(others, cache) == before
    for some in (images, images.subset(np.array([7, 3, 20]))):
        np.testing.assert_array_equal(read(some, cache), fresh(some))


# ---- the same with slow images, at random moments ----

N, SLOW, SIDE = 1400, 24, 12


def colours(names):
    rows = np.array([int(name[:4]) for name in names])
    return np.stack([rows % 251, rows // 251 * 40, 7 * rows % 251], 1)[:, None, None]


def order_of_first(random, names):
    """Return the names in an order in which workers soon hold slow images, with others behind them."""
    slow, small = names[:SLOW], random.sample(names[SLOW:], N - SLOW)
    order, small = small[:128], small[128:]
    for start in range(0, SLOW, 6):
        order += slow[start : start + 6] + small[:58]
        small = small[58:]
    return order + small


def wrong(images, cache):
    """Return how many of the small images hold other pixels than their own."""
    got = read(images, cache, SIDE)
    small = np.array([int(name[:4]) >= SLOW for name in images.names])
    return int((got != colours(images.names))[small].any((1, 2, 3)).sum())


def processor_time(process):
    """Return the seconds that the busiest child has computed: a second is needed to start, more are spent on slow images."""
    return max((sum(child.cpu_times()[:2]) for child in psutil.Process(process.pid).children()), default=0)


def send_wrong(images, cache, pipe):
    pipe.send(wrong(images, cache))


@pytest.mark.slow
def test_trainings_that_are_killed_and_followed_by_others_at_once(tmp_path):
    """20 times: no image has another's pixels, and no process is left."""
    folder, moments = tmp_path / "images", random.Random(0)
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (4500, 4500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "slow.png", compress_level=1)
    names = [f"{row:04}.png" for row in range(N)]
    for name in names[:SLOW]:
        (folder / name).hardlink_to(tmp_path / "slow.png")
    for name, colour in zip(names[SLOW:], colours(names[SLOW:])[:, 0, 0].tolist(), strict=True):
        Image.new("RGB", (SIDE, SIDE), tuple(colour)).save(folder / name)
    found = []
    for number in range(20):
        cache = tmp_path / f"cache{number}"
        first = fork.Process(target=read, args=(FileImages(folder, order_of_first(moments, names)), cache, SIDE))
        first.start()
        needs = moments.uniform(1.5, 4)
        wait_until(lambda first=first, needs=needs: first.exitcode is not None or processor_time(first) > needs)
        started = [process.pid for process in psutil.Process(first.pid).children(recursive=True)]
        first.kill()
        first.join()
        ours, theirs = multiprocessing.Pipe(duplex=False)
        other = FileImages(folder, moments.sample(names[SLOW:], 1200))
        second = fork.Process(target=send_wrong, args=(other, cache, theirs))
        second.start()
        assert all(ends(process, seconds=60) for process in started)  # a busy machine may need longer than the usual second
        found.append((ours.recv(), wrong(FileImages(folder, names), cache)))
        second.join()
    assert found == [(0, 0)] * 20
