"""`bmixup prepare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from balanced_mixup.datasets.prepare import Outcome


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
    """Make a published data set ready for training: `bmixup prepare eyepacs --root RAW --out DIR --size 512`.

    Reads the label files as they were published, crops photographs of the retina to the disc, resizes, and writes images,
    labels.csv and dataset.yaml to DIR, which `--data` then takes. Compares with the published counts and says what is missing,
    left over, unreadable or in the wrong folder; all of it is in DIR/problems.csv. Missing images do not stop it. Killed and
    given again, it goes on where it was.

    Parameters
    ----------
    name
        The data set; `bmixup list sources` names them, `bmixup list sources NAME` says where to get one.
    out
        Folder for the result: new, empty, or begun before with the same settings.
    root
        Folder with the raw files as they were published. For a MedMNIST data set its npz or the folder with it; downloaded if
        not given.
    size
        Side of the square images in pixels; 512 as in the paper, for MedMNIST the published size 28 (64, 128, 224).
    image_format
        jpg or png; png for MedMNIST, else jpg, if not given.
    jobs
        Processes; one a core if not given.
    json
        Print one JSON object.
    """
    from balanced_mixup.cli.show import print_json
    from balanced_mixup.datasets.prepare import prepare_dataset

    outcome = prepare_dataset(name, root, out, size=size, image_format=image_format, jobs=jobs)
    if json:
        print_json(outcome.to_dict())
    else:
        _show(outcome, Console())


def _show(outcome: "Outcome", console: Console) -> None:
    """Print the classes with their counts, the sums beside the published ones, and how many findings there are of each kind."""
    from balanced_mixup.datasets.prepared_folder import PROBLEMS

    parts = list(outcome.labelled)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for part in parts:
        table.add_column("images" if part == "all" else part, justify="right")
        table.add_column("labelled", justify="right", style="dim")
    for name, title in outcome.card.classes.items():
        counts = ((f"{outcome.prepared[part][name]:,}", f"{outcome.labelled[part][name]:,}") for part in parts)
        table.add_row(escape(name if name == title else f"{name} ({title})"), *(cell for pair in counts for cell in pair))
    console.print(table, "")
    for part, published in outcome.card.published.items():
        there = outcome.prepared[part].total() if part in outcome.prepared else 0
        what = "images" if part == "all" else f"images of the {part} part"
        console.print(f"{there:,} of {published:,} published {what}", highlight=False)
    for folder, count in outcome.skipped.items():
        console.print(f"passed over: {escape(folder)}, {count:,} files", highlight=False, soft_wrap=True)
    for kind, count in outcome.kinds.items():
        console.print(f"[bold yellow]{kind}[/]: {count:,}", highlight=False)
    for finding in outcome.findings:
        if not finding.image:  # what concerns no single image are few, and weigh most
            console.print(f"  - {escape(finding.message)}", highlight=False, soft_wrap=True)
    path = outcome.folder.path
    if outcome.findings:
        console.print(f"Each of them is in {escape(str(path / PROBLEMS))}", highlight=False, soft_wrap=True)
    console.print(f"\nReady: `--data {escape(str(path))}`", highlight=False, soft_wrap=True)
