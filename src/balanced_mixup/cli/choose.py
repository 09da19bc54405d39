"""`bmixup choose`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.cli.flags import RecipeFlags
from balanced_mixup.settings_file import load_yaml

if TYPE_CHECKING:
    from balanced_mixup.choose.record import Choice


def choose(
    *,
    flags: Annotated[RecipeFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]  # made from the recipe's fields
    config: Path | None = None,
    budget: str = "20m",
    out: Path | None = None,
    metric: str | None = None,
    methods: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    prior: Literal["uniform", "train", "none"] = "uniform",
    report: bool = True,
) -> None:
    """Find out which method to use for a data set, within a budget of time.

    ```
    bmixup choose --data labels.csv --images photos --label-column dx --group-column patient --budget 20m --out runs/choice
    bmixup train --config runs/choice/recipe.yaml --epochs 30 --out runs/mine
    ```

    1. All methods train the head alone on frozen features of the pretrained backbone, in three inner folds of the training
    part.

    2. Plain training, then the better half of the others, are trained in full on the first inner fold, by successive halving:
    what falls behind is dropped. How many epochs they have follows from the budget.

    3. Of the candidates that cannot be told from the best the simplest is the answer. It and plain training are trained on the
    whole training part and compared on the test split, which is opened then for the first time.

    Plain training corrected to another class prior is always a candidate: it costs nothing. The folder has choice.json,
    report.html with everything that was tried and dropped, and recipe.yaml of the answer. Run it again to resume it.

    Parameters
    ----------
    config
        YAML file with any of these settings (keys with underscores); flags take precedence.
    budget
        Time for all of it, such as 20m or 1h30m.
    out
        Folder; `runs/choice-DATA` if not given.
    metric
        Score that decides (`bmixup list metrics`); quadratic_kappa for ordinal classes, else balanced_accuracy.
    methods
        Methods to choose from, beside plain training; all that fit the classes if not given (`bmixup list methods`).
    prior
        Class prior that predictions are corrected to, for the candidates that are corrected.
    report
        Write report.html to the folder.
    """
    from balanced_mixup.choose.engine import choose as run_choice
    from balanced_mixup.choose.engine import folder_of
    from balanced_mixup.cli.report import write_final_report

    layers = [load_yaml(config)] if config is not None else []
    if flags is not None:
        layers.append(flags.model_dump(exclude_unset=True))
    folder = folder_of(out, layers)
    choice = run_choice(*layers, budget=budget, out=folder, metric=metric, methods=methods or (), prior=prior)
    print_choice(choice, folder)
    if report:
        write_final_report(folder)


def print_choice(choice: "Choice", folder: Path) -> None:
    """Print the answer, what it is worth on the held-out part, and what to do with it."""
    from balanced_mixup.choose.words import answer, cost, held_out_cells

    console = Console()
    for sentence in answer(choice):
        console.print(sentence, highlight=False, markup=False)
    console.print()
    table = Table(box=None, pad_edge=False)
    header, rows = held_out_cells(choice)
    for number, heading in enumerate(header):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table, "")
    console.print(cost(choice), highlight=False, markup=False)
    command = f"Train: bmixup train --config {folder / 'recipe.yaml'} --out runs/mine"
    console.print(command, highlight=False, markup=False, soft_wrap=True)
