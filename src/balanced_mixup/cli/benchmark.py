"""`bmixup benchmark`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape

from balanced_mixup.cli.console import Console
from balanced_mixup.training.recipe import Placement

if TYPE_CHECKING:
    from balanced_mixup.benchmark.engine import BenchmarkOutcome


def benchmark(
    plan: Path,
    /,
    *,
    out: Path | None = None,
    jobs: int | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    report: bool = True,
    keep_weights: bool | None = None,
    placement: Annotated[Placement | None, Parameter(name="*")] = None,
) -> int:
    """Compare methods: data sets x methods x backbones x folds x seeds, each a run folder, all on the same folds.

    Run it again to resume after an interruption or to extend the plan: finished runs are recognised by their content and kept.
    A run that fails is recorded with its reason; the others continue. Several machines that share a folder can work on one
    benchmark. `bmixup table OUT` summarises the results.

    ```yaml
    data:                         # paths relative to the plan; keys as for bmixup train
      skin: {data: labels.csv, label_column: dx, group_column: lesion_id}
    methods: [instance, class, {method: balanced-mixup, alpha: [0.1, 0.2, 0.3]}]
    backbones: [tf_efficientnet_lite0]
    folds: 5                      # where the data have no test split
    seeds: [0]                    # several where they have one: a single training of each method compares no methods
    protocol: honest              # or paper: as published, see bmixup list protocols
    settings: {size: 64, epochs: 6}
    baseline: instance
    margin: 1                     # methods that differ by at most so many percentage points are equivalent
    ```

    Parameters
    ----------
    plan
        YAML file.
    out
        Folder of the benchmark; `runs/NAME` for a plan NAME.yaml if not given.
    jobs
        Number of parallel runs; if not given one on each core (with `--threads` on so many), as far as memory allows, or one on
        each GPU. It does not change the results.
    dry_run
        Only scan the data and print the number of runs and the estimated time of the whole benchmark, as busy as the machine is
        now; writes nothing to the folder.
    report
        Write report.html to the folder.
    keep_weights
        Keep the weights of finished runs, for `bmixup predict` and for Grad-CAM in their reports; without them a run takes
        little space. If not given as before in this folder; a new benchmark deletes them as soon as no other run starts from
        them.
    """
    from balanced_mixup.benchmark.plan import load_plan

    comparison = load_plan(plan)
    from balanced_mixup.benchmark.engine import run_benchmark
    from balanced_mixup.cli.report import write_final_report

    where = {} if placement is None else placement.model_dump(exclude_unset=True)
    folder = out or Path("runs") / plan.stem
    outcome = run_benchmark(comparison, folder, where, jobs, dry_run=dry_run, keep_weights=keep_weights)
    if report and outcome.finished and not dry_run:
        write_final_report(folder)
    return print_outcome(outcome, folder)


def print_outcome(outcome: "BenchmarkOutcome", folder: Path) -> int:
    """Print the outcome of a benchmark; returns the exit status."""
    console = Console()
    for run, reason in outcome.failed:
        console.print(f"[bold red]Failed:[/] {escape(run.title)}\n{escape(reason)}\n", highlight=False, soft_wrap=True)
    console.print(f"{outcome.finished} of {outcome.planned} runs are finished, {len(outcome.failed)} failed.", highlight=False)
    if outcome.finished:
        console.print(f"Summary: bmixup table {escape(str(folder))}", highlight=False, soft_wrap=True)
    return 1 if outcome.failed else 0
