"""`bmixup compare`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def compare(a: Path, b: Path, /, *, split: str = "test", json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Compare two models on the same images: the difference of each score, with a 95 % interval (paired bootstrap).

    An interval that excludes 0 means that the two models differ on images like these. It says nothing about two methods, whose
    trainings differ too: `bmixup benchmark` compares methods.

    ```
    bmixup compare runs/mine runs/other
    bmixup evaluate runs/mine --predictions theirs.csv                   # another program, on the same images
    bmixup compare runs/mine runs/mine/evaluations/theirs-test
    ```

    Parameters
    ----------
    a, b
        Folders of runs or of evaluations.
    split
        Split of a run that is compared; an evaluation has the images that it scored.
    json
        Print one JSON object.
    """
    from rich.table import Table

    from balanced_mixup.cli.console import Console
    from balanced_mixup.cli.show import interval, print_json, print_warnings
    from balanced_mixup.evaluation.compare import compare as compare_models
    from balanced_mixup.metrics import METRICS

    differences = compare_models(a, b, split)
    if json:
        print_json({name: {**each.interval.to_dict(), "winner": each.winner} for name, each in differences.items()})
        return
    console = Console()
    console.print(f"a: {a}\nb: {b}\n{differences.images:,} images\n", soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("a - b [95 % interval]", justify="right")
    table.add_column("better")
    for name, each in differences.applicable().items():
        table.add_row(METRICS[name].label, interval(each.interval, "+.3f", "+.3f"), each.winner or "")
    console.print(table)
    print_warnings(console, (each.interval for each in differences.applicable().values()))
