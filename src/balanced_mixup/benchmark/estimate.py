"""Estimated time of a benchmark on this machine, from a few steps of each backbone."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import fmean, median
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.runs.run import Run
from balanced_mixup.training.backbones import create
from balanced_mixup.training.recipe import Recipe, make_recipe
from balanced_mixup.training.threads import threads_of
from balanced_mixup.training.trainer import precision_of

log = logging.getLogger("balanced_mixup")

_LONG_SECONDS = 5.0
_STEPS = 5
# Of an idle core:
_START_SECONDS = 5.0  # of a run: its process, reading the data, the backbone
_ONCE_SECONDS = 20.0  # of a benchmark: the program, the process that its runs are forked from, the report


class _Speed(NamedTuple):
    """Seconds of a training step, and of predicting one image; how many times as long as on an idle core work takes."""

    step: float
    image: float
    slowdown: float


def estimate_seconds(
    folder: BenchmarkFolder,
    finished: Sequence[PlannedRun],
    pending: Sequence[PlannedRun],
    placement: Mapping[str, Any],
    jobs: int,
    threads: int,
) -> float:
    """Estimate the seconds that a benchmark takes with its unfinished runs, its start and its report, but without reading.

    Where there are finished runs on the same data with the same backbone their time is used; else a few steps are measured.

    Args:
        folder: Of the benchmark.
        finished, pending: Its runs.
        placement: Fields of `Placement`.
        jobs: Number of parallel runs, at most the number of pending ones.
        threads: CPU threads of each run.
    """
    known = defaultdict(list)
    for run in finished:
        known[run.data, run.backbone].append(Run(folder.run(run)).cost.seconds)
    total, slowdown = 0.0, 1.0
    for run in pending:
        if seconds := known.get((run.data, run.backbone)):
            total += _START_SECONDS + fmean(seconds)
        else:
            recipe = make_recipe(run.settings, placement)
            what = recipe.backbone, recipe.size, recipe.batch_size, precision_of(recipe), recipe.accelerator, threads
            speed = _speed(*what)
            slowdown = max(slowdown, speed.slowdown)
            total += speed.slowdown * _START_SECONDS + _computing(run, recipe, speed)
    return slowdown * _ONCE_SECONDS + total / jobs


def training_seconds(recipe: Recipe, train: float, val: float, epochs: int) -> float:
    """Estimate the seconds of a training of so many images and epochs, without its start, as busy as the machine is now."""
    what = recipe.backbone, recipe.size, recipe.batch_size, precision_of(recipe), recipe.accelerator, threads_of(recipe)
    speed = _speed(*what)
    return epochs * (train / recipe.batch_size * speed.step + val * speed.image)


def _computing(run: PlannedRun, recipe: Recipe, speed: _Speed) -> float:
    """Return the seconds of one run without its start: its epochs, each with validation, and the scoring of other images."""
    images = run.images
    if recipe.train == "head":  # each image and its mirror image once; the epochs take seconds
        return 2 * sum(images.values()) * speed.image
    epoch = images["train"] / recipe.batch_size * speed.step + images["val"] * speed.image
    scoring = 2 * (images["val"] + images["test"] + images.get("external", 0)) * speed.image  # each and its mirror image
    return recipe.epochs * epoch + scoring


@cache
def _speed(backbone: str, size: int, batch: int, precision: str, accelerator: str, threads: int) -> _Speed:
    """Measure the speed; other programs on the machine are the reason where work takes longer than its processor time."""
    log.info("Measuring the speed of %s at %d px.", backbone, size)
    on_gpu = accelerator in ("auto", "gpu") and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    model = create(backbone, 2, size, "none", 0).model.to(memory_format=torch.channels_last).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    images = torch.rand(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.full((batch, 2), 0.5, device=device)

    def train() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = F.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    def predict() -> None:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            model(images)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    start, processor = time.perf_counter(), time.process_time()
    try:
        step, image = _seconds(train, device), _seconds(predict, device) / batch
        slowdown = (time.perf_counter() - start) / max(time.process_time() - processor, 1e-3)
        return _Speed(step, image, max(1.0, slowdown))
    finally:
        torch.set_num_threads(before)


def _seconds(function: Callable[[], None], device: torch.device) -> float:
    """Return the median seconds of several calls after a first one, which is slower; one that takes long is not repeated.

    Where another process takes a core for a moment, threads wait for each other, and a single call takes many times as long.
    """
    found = []
    for _ in range(1 + _STEPS):
        start = time.perf_counter()
        function()
        _wait(device)
        found.append(time.perf_counter() - start)
        if sum(found) > _LONG_SECONDS:
            break
    return median(found[1:] or found)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
