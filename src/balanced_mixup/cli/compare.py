"""`bmixup compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from balanced_mixup.evaluation.compare import Difference

_More = Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=True)]


def compare(
    a: Path,
    b: Path,
    /,
    *,
    also_a: _More = (),
    also_b: _More = (),
    split: str = "test",
    margin: float = 1.0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Compare two models on the same images, or two methods by several trainings of each.

    Of one training each: the difference of each score of these two trained models, with a 95 % interval over the images. That
    says nothing about two methods: with another seed the same method gives another model, and so another difference. From two
    trainings of each on: differences of the means, with intervals and p-values over trainings and images (two-way bootstrap);
    how probable it is that a is better, equivalent or worse; the smallest difference that could be found. `bmixup benchmark`
    trains and compares methods.

    ```
    bmixup compare runs/mine runs/other
    bmixup compare runs/mine runs/other --also-a runs/mine-seed1 --also-b runs/other-seed1
    bmixup evaluate runs/mine --predictions theirs.csv                   # another program, on the same images
    bmixup compare runs/mine runs/mine/evaluations/theirs-test
    ```

    Parameters
    ----------
    a, b
        Folders of runs or of evaluations.
    also_a, also_b
        Further trainings of the same method with other seeds.
    split
        Split of a run that is compared; an evaluation has the images that it scored.
    margin
        Methods whose scores differ by at most this many percentage points are equivalent.
    json
        Print one JSON object.
    """
    from rich.table import Table

    from balanced_mixup.cli.console import Console
    from balanced_mixup.cli.show import interval, print_json, print_warnings
    from balanced_mixup.evaluation.compare import compare as compare_models
    from balanced_mixup.metrics import METRICS

    differences = compare_models([a, *also_a], [b, *also_b], split, margin=margin)
    if json:
        print_json({name: _content(each) for name, each in differences.items()})
        return
    console = Console()
    names = "\n".join(f"{side}: {', '.join(map(str, of))}" for side, of in (("a", (a, *also_a)), ("b", (b, *also_b))))
    console.print(f"{names}\n{differences.images:,} images\n", soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("a - b [95 % interval]", justify="right")
    if differences.of_methods:
        for heading in ("p", "a better / equivalent / worse", "detectable"):
            table.add_column(heading, justify="right")
    for name, each in differences.applicable().items():
        test = _test(each) if differences.of_methods else ()
        table.add_row(METRICS[name].label, interval(each.interval, "+.3f", "+.3f"), *test)
    console.print(table, "", highlight=False)
    print_warnings(console, (each.interval for each in differences.applicable().values()))
    console.print(differences.meaning(), soft_wrap=True, highlight=False)
    if differences.of_methods:
        console.print(
            f"Probabilities in per cent; equivalent: the methods differ by at most {margin:g} points of a score. Detectable: "
            "the smallest true difference that this comparison finds in 80 % of experiments (5 %).",
            soft_wrap=True,
            highlight=False,
        )


def _test(difference: "Difference") -> tuple[str, str, str]:
    """Return the cells of a difference of methods."""
    from math import isnan

    from balanced_mixup.words import p_value, percentage

    if isnan(difference.p):
        return "–", "–", "–"
    found = difference.chances
    shares = " / ".join(map(percentage, (found.better, found.equivalent, found.worse)))
    return p_value(difference.p), shares, f"{difference.detectable:.3f}"


def _content(difference: "Difference") -> dict[str, object]:
    """Return a difference for JSON, with None for what is undefined."""
    from math import isnan

    found = difference.chances
    numbers = {
        "p": difference.p,
        "better": found.better,
        "equivalent": found.equivalent,
        "worse": found.worse,
        "detectable": difference.detectable,
    }
    others = {name: None if isnan(number) else number for name, number in numbers.items()}
    return {**difference.interval.to_dict(), "winner": difference.winner, **others}
