"""`bmixup prepare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.words import counted

if TYPE_CHECKING:
    from balanced_mixup.datasets.prepare import PreparedDataset


def prepare(
    name: str,
    /,
    *,
    out: Path,
    root: Path | None = None,
    size: int | None = None,
    image_format: Annotated[str | None, Parameter(name="--format")] = None,
    jobs: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Prepare a published data set for training: `bmixup prepare eyepacs --root RAW --out DIR --size 512`.

    Reads the published label files, crops fundus photographs to the visible disc, resizes, and writes images, labels.csv and
    dataset.yaml to DIR, for `--data DIR`. Compares with the published counts and reports images that are missing, unlabelled,
    unreadable or in the wrong folder; DIR/problems.csv lists all of them. Missing images do not stop it. Run it again to resume
    after an interruption.

    Parameters
    ----------
    name
        The data set; `bmixup list sources` lists them, `bmixup list sources NAME` shows where to get one.
    out
        Output folder: new, empty, or of an interrupted run with the same settings.
    root
        Folder with the raw files as published. For a MedMNIST data set its npz file or the folder with it; downloaded if not
        given.
    size
        Side of the square images in pixels; if not given 512 as in the paper, or 28 for MedMNIST (also 64, 128, 224).
    image_format
        jpg or png; if not given png for MedMNIST, otherwise jpg.
    jobs
        Number of processes; one per core if not given.
    json
        Print one JSON object.
    """
    from balanced_mixup.cli.show import print_json
    from balanced_mixup.datasets.prepare import prepare_dataset

    prepared = prepare_dataset(name, root, out, size=size, image_format=image_format, jobs=jobs)
    if json:
        print_json(prepared.to_dict())
    else:
        _show(prepared, Console())


def _show(found: "PreparedDataset", console: Console) -> None:
    """Print the classes with their counts, the totals beside the published ones, and the number of problems of each kind."""
    from balanced_mixup.data.sources.prepared import PROBLEMS

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for split in found.labelled:
        table.add_column("images" if split == "all" else split, justify="right")
        table.add_column("labelled", justify="right", style="dim")
    for name, title in found.card.classes.items():
        counts = [
            f"{by_class[name]:,}" for split in found.labelled for by_class in (found.prepared[split], found.labelled[split])
        ]
        table.add_row(escape(name if name == title else f"{name} ({title})"), *counts)
    console.print(table, "")

    def line(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    for split, published in found.card.published.items():
        images = found.prepared[split].total() if split in found.prepared else 0
        line(f"{images:,} of {published:,} published images" + ("" if split == "all" else f" of the {split} split"))
    for folder, files in found.skipped.items():
        line(f"skipped: {escape(folder)}, {counted(files, 'file')}")
    for kind, number in found.kinds.items():
        line(f"[bold yellow]{kind}[/]: {number:,}")
    for wrong in found.discrepancies:
        if not wrong.image:  # those that concern no single image are few, and matter most
            line(f"  - {escape(wrong.message)}")
    if found.discrepancies:
        line(f"All of them are in {escape(str(found.folder.path / PROBLEMS))}")
    line(f"\nReady: `--data {escape(str(found.folder.path))}`")
