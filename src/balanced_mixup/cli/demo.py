"""`bmixup demo`."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from balanced_mixup.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from balanced_mixup.evaluation.compare import Difference
    from balanced_mixup.evaluation.experiment import Experiment
    from balanced_mixup.runs.scores import Scores

_METHODS = ("balanced-mixup", "instance")
_METRICS = ("quadratic_kappa", "mcc", "kendall_tau", "balanced_accuracy", "macro_f1", "accuracy")
_ONE_SEED = (
    "With another seed each method gives another model, so this says nothing about the two methods: `bmixup benchmark` "
    "compares methods, over folds and several seeds."
)
_SETTINGS = {"data": "synthetic-fundus", "size": 64, "epochs": 4}


def demo(*, out: Path = Path("demo"), seed: int = 0) -> None:
    """Try it on built-in data: train without and with Balanced-MixUp, score both, and compare them.

    3,000 drawn photographs of the retina, five grades, as imbalanced as in a screening programme. A few minutes on two cores.

    Parameters
    ----------
    out
        Folder for the two runs. Finished runs in it are reused.
    seed
        Seed of the split and of all randomness in training.
    """
    from balanced_mixup.cli.show import interval, print_warnings
    from balanced_mixup.evaluation.compare import compare
    from balanced_mixup.evaluation.experiment import train
    from balanced_mixup.metrics import METRICS

    console = Console()
    experiments: list[Experiment] = []
    for number, method in enumerate(_METHODS, start=1):
        console.rule(f"{number} of {len(_METHODS)}: {method}", align="left")
        folder = out / (method if seed == 0 else f"{method}-seed{seed}")
        experiments.append(train(_SETTINGS, method=method, seed=seed, out=folder, resume=True))
    differences = compare(experiments[0].folder.path, experiments[1].folder.path)
    tests = [experiment.scores["test"] for experiment in experiments]
    console.rule("Scores on the held-out test split", align="left")
    console.print(f"{tests[0].n:,} images of {tests[0].groups:,} patients, none of them seen in training.\n")
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    for heading in (*_METHODS, "difference"):
        table.add_column(f"{heading}\n[95 % interval]", justify="right")
    for name in _METRICS:
        values = (interval(test.metrics[name]) for test in tests)
        table.add_row(METRICS[name].label, *values, interval(differences[name].interval, "+.3f"))
    console.print(table, "")
    print_warnings(console, (score for test in tests for score in (test.metrics[name] for name in _METRICS)))
    _print_classes(console, tests)
    console.print(verdict(differences["quadratic_kappa"]), verdict(differences["balanced_accuracy"]), _ONE_SEED, "", sep="\n")
    _print_folders(console, experiments)


def verdict(difference: "Difference") -> str:
    """Return which of the two trained models is ahead by a score, and what that does not say."""
    from balanced_mixup.metrics import METRICS

    label, d = METRICS[difference.metric].label, difference.interval
    ahead = _METHODS[0] if d.value > 0 else _METHODS[1]
    text = f"By {label}, of these two trained models the one of {ahead} is ahead by {abs(d.value):.3f}"
    if d.low <= 0 <= d.high:
        return f"{text}, but other images could turn that round: the interval of the difference includes 0."
    return f"{text}, also on other images of this kind: the interval of the difference excludes 0."


def _print_classes(console: Console, tests: "Sequence[Scores]") -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("grade", "images", *(f"recognised by {method}" for method in _METHODS)):
        table.add_column(heading, justify="left" if heading == "grade" else "right")
    for name, row in tests[0].per_class.items():
        recognised = (round(test.per_class[name].recall.value * row.support) for test in tests)
        table.add_row(name, str(row.support), *(str(count) for count in recognised))
    console.print(table, "")


def _print_folders(console: Console, experiments: "Sequence[Experiment]") -> None:
    from balanced_mixup.cli.report import write_final_report

    for experiment in experiments:
        write_final_report(experiment.folder.path)
        console.print(f"Run folder: {experiment.folder.path}", soft_wrap=True)
    console.print(
        "Each contains report.html (open it in a browser), metrics.json (scores), predictions.parquet (class probabilities of "
        "each image), history.csv, recipe.yaml, weights.safetensors, manifest.csv (which image was in which split).\n\n"
        "With your own images: bmixup check --data labels.csv --images photos --label-column diagnosis --group-column patient",
        soft_wrap=True,
    )
