"""How near a training step comes to the speed of the model alone, and to the published pipeline; see README.md here.

python benchmarks/throughput.py                 # the cases of the table, under ten minutes on two cores
python benchmarks/throughput.py --quick         # the rates of one case, about a minute
python benchmarks/throughput.py --case resnetv2_50x1_bit,512,64,bf16,device --json out.json
"""

import argparse
import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import psutil
import torch
from joblib import Parallel, cpu_count, delayed
from modules import first_module
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from zipped_pil import Files, mixed_batches

from balanced_mixup.data.preparation import Cache, Prepared, prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.datasets.synthetic import synthetic_fundus
from balanced_mixup.methods import BalancedMixUp, Instance
from balanced_mixup.training.backbones import create
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.module import ClassifierModule
from balanced_mixup.training.recipe import Recipe, make_recipe
from balanced_mixup.training.trainer import make_trainer, precision_of, quiet_lightning

CLASSES = 5
GPU = [torch.device("cuda", 0)] if torch.cuda.is_available() else []
WARM_UP = 3  # steps of each turn that are not counted
PREFETCHED = 2  # batches that each worker of a DataLoader makes ahead


class Case(NamedTuple):
    """One line of the table."""

    backbone: str
    size: int
    batch: int
    precision: str
    cache: str

    @classmethod
    def parse(cls, text: str) -> "Case":
        backbone, size, batch, precision, cache = text.split(",")
        return cls(backbone, int(size), int(batch), precision, cache)


ON_CPU = (
    Case("mobilenetv2_100", 64, 32, "32", "disk"),
    Case("mobilenetv2_100", 128, 8, "32", "disk"),
    Case("tf_efficientnet_lite0", 128, 32, "32", "disk"),
)
ON_GPU = tuple(
    Case(backbone, 512, 64, "bf16", cache)
    for backbone in ("mobilenetv2_100", "resnetv2_50x1_bit")
    for cache in ("ram", "device")
)


def write_images(folder: Path, n: int, size: int) -> Path:
    """Write n JPEG photographs in five classes, as rare as in EyePACS, and return the table of their labels."""
    drawn = synthetic_fundus(n=min(n, 256), size=96, seed=0)
    # As much grain as makes the files as large as real photographs are: 2 bits a pixel (HAM10000 1.9, EyePACS 2.7).
    grain = np.random.default_rng(0).normal(0, 7, (size, size, 3))

    def write(row: int) -> None:
        # A few hundred drawings, each time enlarged from another cut.
        cut = row // 256 % 8
        image = Image.fromarray(drawn.images.read(row % 256)).crop((cut, cut, 96 - cut, 96 - cut)).resize((size, size))
        pixels = (np.asarray(image) + np.roll(grain, (row, row // size), axis=(0, 1))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{row:06}.jpg", quality=90)

    Parallel(cpu_count(), prefer="threads")(delayed(write)(row) for row in range(n))
    lines = [f"{row:06}.jpg,{drawn.labels[row % 256]},{'val' if row % 5 == 4 else 'train'}" for row in range(n)]
    table = folder / "labels.csv"
    table.write_text("\n".join(["image,label,split", *lines]) + "\n", encoding="utf-8")
    return table


class Bench:
    """A case with all that is measured on it; every block starts from the same kind of state."""

    def __init__(self, case: Case, table: Path, cache_dir: Path, accelerator: str, workers: int) -> None:
        self.case, self.workers = case, workers
        self.made_from = case, table, cache_dir, accelerator, workers
        settings = {
            "data": str(table),
            "split_column": "split",
            "backbone": case.backbone,
            "weights": "none",
            "size": case.size,
            "batch_size": case.batch,
            "precision": case.precision,
            "cache": case.cache,
            "cache_dir": str(cache_dir),
            "accelerator": accelerator,
            "augmentation": "paper",
            "epochs": 1,
        }
        self.recipes = {
            method.name: make_recipe(settings, {"method": method}) for method in (BalancedMixUp(alpha=0.2), Instance())
        }
        self.recipe = self.recipes["balanced-mixup"]
        self.device = torch.device("cuda" if on_gpu(self.recipe) else "cpu")
        start = time.perf_counter()
        self.prepared = self.prepare()
        self.first_batch_s = time.perf_counter() - start
        manifest = self.prepared.manifest
        self.files = [table.parent / name for name in manifest.images.names]

    def prepare(self) -> Prepared:
        return prepare(
            load(DataSettings(data=self.recipe.data, split_column="split")),
            self.case.size,
            cache=Cache(self.recipe.cache, self.recipe.cache_dir),
            val_fraction=0.1,
        )

    def module(self, recipe: Recipe) -> ClassifierModule:
        manifest = self.prepared.manifest
        data = TrainingData(self.prepared.pixels, manifest.labels, manifest.rows("train"), manifest.rows("val"), CLASSES)
        backbone = create(self.case.backbone, CLASSES, self.case.size, "none", 0)
        return first_module(recipe, backbone, data)

    def ready_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches that lie on the device already."""
        shape = (self.case.batch, 3, self.case.size, self.case.size)
        images = torch.randn(shape).to(self.device, memory_format=torch.channels_last)
        targets = torch.eye(CLASSES)[torch.arange(self.case.batch) % CLASSES].to(self.device)
        return itertools.repeat((images, targets))

    def zipped_batches(self, steps: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield that many steps of the published pipeline."""
        rows = self.prepared.manifest.rows("train")
        labels = self.prepared.manifest.labels[rows].tolist()
        data = Files([self.files[row] for row in rows], labels, self.case.size, train=True)
        return mixed_batches(data, self.case.batch, self.workers, CLASSES, 0.2, self.device, steps)

    def limit_loop(self, steps: int) -> float:
        """Train on tensors that are already there, by nothing but the model and our optimiser."""
        module = self.module(self.recipe).to(self.device)
        return self.plain_loop(module, self.ready_batches(), module.configure_optimizers(), WARM_UP, steps)

    def published_loop(self, steps: int) -> float:
        """Train as the published code does: two zipped loaders, SGD as torch has it by default, the loss read at every step."""
        module = self.module(self.recipe).to(self.device, memory_format=torch.contiguous_format)
        optimizer = torch.optim.SGD(module.model.parameters(), lr=0.01)
        # Its workers start with as many batches as they make ahead, all at once. They are in their stride when as many are
        # taken, and stay in it, as there are as many again when the clock stops. Whole rounds of the workers are timed.
        ahead = PREFETCHED * self.workers
        timed = self.workers * -(-max(steps, 3 * ahead) // self.workers)
        with contextlib.closing(self.zipped_batches(ahead + timed + ahead)) as batches:  # its processes have ended
            return self.plain_loop(module, batches, optimizer, ahead, timed, read_loss=True)

    def plain_loop(
        self,
        module: ClassifierModule,
        batches: Iterable[tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        warm_up: int,
        steps: int,
        *,
        read_loss: bool = False,
    ) -> float:
        """Train by a plain loop: forward, loss, backward, optimiser. Returns the mean seconds of a step."""
        loss_function = module.losses[0]
        half = precision_of(self.recipe) == "bf16-mixed"
        start = self.now()
        for number, (images, targets) in enumerate(itertools.islice(batches, warm_up + steps), 1):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                loss = loss_function(module.model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if read_loss:
                loss.item()
            if number == warm_up:
                start = self.now()
        return (self.now() - start) / steps

    def our_loop(self, recipe: Recipe, steps: int) -> float:
        """Train by the product's own loop: everything of a `bmixup train` but validation and checkpoint."""
        module = self.module(recipe)
        clock = StepClock(self, steps)
        with quiet_lightning(), torch.random.fork_rng(GPU):
            make_trainer(recipe, epochs=1, callbacks=[clock]).fit(module)
        return (clock.end - clock.start) / steps

    def loops(self, steps: int) -> dict[str, Callable[[], float]]:
        """Return what is compared, by the names of the JSON."""
        return {
            "model_only": lambda: self.limit_loop(steps),
            "balanced_mixup": lambda: self.our_loop(self.recipe, steps),
            "cross_entropy": lambda: self.our_loop(self.recipes["instance"], steps),
            "zipped_pil": lambda: self.published_loop(steps),
        }

    def peak_memory(self, loop: str) -> float:
        """Return the peak in MiB of the memory that a loop adds, in a process that has run no other before."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__"])
        with ProcessPoolExecutor(1, context) as process:
            return process.submit(peak_of, self.made_from, loop).result()

    def now(self) -> float:
        """Return the time in seconds at which all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def epoch_with_validation(self) -> float:
        """Return the seconds of a whole epoch of the product's loop, from the start of the trainer."""
        with quiet_lightning(), torch.random.fork_rng(GPU):
            start = time.perf_counter()
            make_trainer(self.recipe, epochs=1).fit(self.module(self.recipe))
            return time.perf_counter() - start

    def first_zipped_batch(self) -> float:
        start = time.perf_counter()
        with contextlib.closing(self.zipped_batches(2 * PREFETCHED * self.workers)) as batches:
            next(batches)
            return time.perf_counter() - start


class StepClock(L.Callback):
    """Keeps the time over a number of steps, and ends the training after them."""

    def __init__(self, bench: Bench, steps: int) -> None:
        self.bench, self.steps = bench, steps
        self.start = self.end = 0.0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == WARM_UP:
            self.start = self.bench.now()
        if trainer.global_step == WARM_UP + self.steps:
            self.end = self.bench.now()
            trainer.should_stop = True


def on_gpu(recipe: Recipe) -> bool:
    """Return whether the recipe computes on a GPU of this machine."""
    return recipe.accelerator in ("auto", "gpu") and torch.cuda.is_available()


def peak_of(made_from: tuple[Any, ...], loop: str) -> float:
    """Run a loop, and return the peak of the memory that this process and its children take for it, in MiB."""
    logging.getLogger("balanced_mixup").setLevel(logging.ERROR)
    multiprocessing.set_start_method(None, force=True)  # the loaders start their processes as they would anywhere
    bench = Bench(*made_from)
    before, stop = memory_mib(), threading.Event()
    peaks = [before]

    def watch() -> None:
        while not stop.wait(0.2):
            peaks.append(memory_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    bench.loops(steps=1)[loop]()
    stop.set()
    thread.join()
    return max(peaks) - before


def memory_mib() -> float:
    """Return the memory of this process and its children in MiB; what several share is counted once (Linux: PSS)."""
    total = 0
    process = psutil.Process()
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def measure(bench: Bench, rounds: int, steps: int, *, only_rates: bool = False) -> dict[str, Any]:
    """Run the loops in turn, so that whatever else the machine does meets all of them, and return a line of the table."""
    loops = bench.loops(steps)
    turns: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            turns[name].append(bench.case.batch / loop())
    row: dict[str, Any] = {**bench.case._asdict(), **summary(turns), "turns": turns}
    if only_rates:
        return row
    for name in ("balanced_mixup", "zipped_pil"):
        row[f"peak_mib_{name}"] = bench.peak_memory(name)
    row["first_batch_s_cold"] = bench.first_batch_s
    start = time.perf_counter()
    bench.prepared = bench.prepare()
    bench.module(bench.recipe).batches(0).step(0)
    row["first_batch_s_stored"] = time.perf_counter() - start
    row["first_batch_s_zipped_pil"] = bench.first_zipped_batch()
    row["epoch_s"] = bench.epoch_with_validation()
    row["epoch_images"] = {part: len(bench.prepared.manifest.rows(part)) for part in ("train", "val")}
    return row


def summary(turns: dict[str, list[float]]) -> dict[str, float]:
    """Return the median rate of each loop, and of our rate to another's in the same round."""
    rates = {name: statistics.median(values) for name, values in turns.items()}
    ratios = {
        f"ratio_to_{other}": statistics.median(a / b for a, b in zip(turns["balanced_mixup"], turns[other], strict=True))
        for other in ("model_only", "zipped_pil")
    }
    return rates | ratios


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title="images per second (medians)", title_justify="left", box=None, pad_edge=False)
    for heading in (
        "case",
        "model only",
        "Bal-MixUp",
        "plain CE",
        "zipped PIL",
        "of model",
        "x PIL",
        "MiB",
        "PIL MiB",
        "epoch s",
    ):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for row in rows:
        table.add_row(
            f"{row['backbone']} {row['size']} px b{row['batch']} {row['precision']} {row['cache']}",
            *(f"{row[name]:.0f}" for name in ("model_only", "balanced_mixup", "cross_entropy", "zipped_pil")),
            f"{row['ratio_to_model_only']:.2f}",
            f"{row['ratio_to_zipped_pil']:.1f}",
            *(f"{row[name]:.0f}" if name in row else "" for name in ("peak_mib_balanced_mixup", "peak_mib_zipped_pil")),
            f"{row['epoch_s']:.1f}" if "epoch_s" in row else "",
        )
    Console(width=160).print(table)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the rates of one case, in fewer and shorter turns")
    parser.add_argument("--case", action="append", type=Case.parse, help="BACKBONE,SIZE,BATCH,PRECISION,CACHE; can be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="how often the loops take turns")
    parser.add_argument("--steps", type=int, default=10, help="steps of each turn")
    parser.add_argument("--images", type=int, default=1280, help="number of JPEG files")
    parser.add_argument("--source-size", type=int, default=1024, help="side of the JPEG files")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(8, cpu_count()),
        help="of each of the two zipped loaders; one for each core, at most 8, which is the published default",
    )
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu"))
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    logging.getLogger("balanced_mixup").setLevel(logging.ERROR)
    cases = arguments.case or (ON_GPU if arguments.accelerator != "cpu" and torch.cuda.is_available() else ON_CPU)
    if arguments.quick:
        cases, arguments.rounds, arguments.steps, arguments.images = cases[:1], 3, 6, 0
    # An epoch is longer than a turn; a fifth of the images are for validation.
    needed = max(case.batch for case in cases) * (WARM_UP + arguments.steps + 1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        table = write_images(images, max(arguments.images, needed * 5 // 4), arguments.source_size)
        for number, case in enumerate(cases):
            bench = Bench(case, table, Path(folder) / f"cache{number}", arguments.accelerator, arguments.workers)
            rows.append(measure(bench, arguments.rounds, arguments.steps, only_rates=arguments.quick))
            show(rows)
    if arguments.json:
        text = json.dumps(
            {
                "machine": machine(),
                "source_px": arguments.source_size,
                "workers": arguments.workers,
                "steps": arguments.steps,
                "rows": rows,
            },
            indent=2,
        )
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
