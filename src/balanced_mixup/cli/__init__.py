"""The command line: `bmixup COMMAND ...`. Each command is a thin file that parses, calls one function and prints.

Exit status: 0, 1 (the run failed), 2 (bad use or bad data). Results go to standard output, all else to standard error.
"""

import io
import logging
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group, ValidationError
from rich.logging import RichHandler

from balanced_mixup.cli.console import Console, open_closed_streams
from balanced_mixup.errors import BalancedMixupError

_HELP = """Image classification with rare classes: Balanced-MixUp, the baselines of its paper, and scores with intervals.

```
bmixup check --data labels.csv --images photos --label-column diagnosis
bmixup train --data labels.csv --images photos --label-column diagnosis --out runs/mine
bmixup evaluate runs/mine
bmixup predict runs/mine new_photos --out predictions.csv
```

`bmixup demo` runs everything on built-in data in a few minutes.
"""


def make_app(command: str = "") -> App:
    """Return the program; a command is imported when it runs, or when it is `command`, whose full help is needed."""
    from importlib.metadata import version

    app = App(
        name="bmixup",
        help=_HELP,
        version=version("balanced-mixup"),
        help_format="markdown",
        suppress_keyboard_interrupt=False,
    )
    app["--help"].group = app["--version"].group = Group("Other")
    for name, summary in _COMMANDS.items():
        module = "listing" if name == "list" else name  # a module `list` would hide the built-in type
        app.command(
            f"balanced_mixup.cli.{module}:{module}",
            name=name,
            help=None if name == command else summary,  # None: its full docstring
            sort_key=list(_COMMANDS).index(name),
        )
    return app


_COMMANDS = {
    "demo": "Train and compare two methods on built-in data in a few minutes.",
    "prepare": "Prepare a published data set (EyePACS, HyperKvasir, HAM10000, MedMNIST ...) for training.",
    "check": "Check a data set: class counts, groups, image sizes, the split, and every problem at once.",
    "train": "Train a classifier and score it on held-out images.",
    "evaluate": "Score a run, or predictions of another program, on labelled images, with confidence intervals.",
    "compare": "Compare two models on the same images: the difference of each score, with an interval.",
    "predict": "Predict the class of images without labels.",
    "explain": "Show which regions of an image a prediction rests on (Grad-CAM).",
    "report": "Write the report of a run or a benchmark: HTML, PDF or Markdown.",
    "choose": "Find out which method to use for a data set, within a budget of time.",
    "benchmark": "Compare methods on the same folds: data sets x methods x backbones x folds x seeds.",
    "table": "Summarise a benchmark: scores, paired differences, ranks.",
    "reproduce": "Reproduce the tables and figures of the paper, beside the published ones.",
    "cache": "Show, verify and delete the decoded images that are cached on disk.",
    "list": "List methods, recipes, data sources, metrics, protocols and backbones.",
}


_OLD_FLAGS = {
    "--weight-average": "--ema-decay",
    "--focal-gamma": "--gamma",
    "--cb-beta": "--beta",
    "--pocket": "--quick",
}


def _with_current_flags(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with flags of older versions renamed."""
    split = (argument.partition("=") for argument in arguments)
    return [_OLD_FLAGS.get(flag, flag) + equals + value for flag, equals, value in split]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit status."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode gets question marks, not a traceback
    console = Console(stderr=True)
    _log_to(console)
    try:
        status = make_app(arguments[0] if arguments else "")(
            _with_current_flags(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except (BalancedMixupError, CycloptsError) as error:
        _say(console, f"[bold red]Error:[/] {_escape(_message(error))}")
        return error.exit_status if isinstance(error, BalancedMixupError) else 2
    except KeyboardInterrupt:
        _say(console, "Interrupted. Run the same command again to resume (`bmixup train` with `--resume`).")
        return 1
    except BrokenPipeError:
        # The reader of standard output (head, less) has closed it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say(console, f"[bold red]Error:[/] {_escape(str(error))}")
        return 1
    return status or 0


def _say(console: Console, text: str) -> None:
    """Print to standard error, if that can be written to."""
    try:
        console.print(text, highlight=False, soft_wrap=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _message(error: Exception) -> str:
    from pydantic import ValidationError as FieldError

    if isinstance(error, ValidationError) and isinstance(error.__cause__, FieldError):
        from balanced_mixup.training.recipe import explain

        return explain(error.__cause__)
    return str(error)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _log_to(console: Console) -> None:
    log = logging.getLogger("balanced_mixup")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, RichHandler) for handler in log.handlers):
        handler = RichHandler(
            console=console, show_time=False, show_level=False, show_path=False, markup=False, highlighter=None
        )
        log.addHandler(handler)
