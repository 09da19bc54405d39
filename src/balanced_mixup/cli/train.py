"""`bmixup train`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from balanced_mixup.cli.flags import Flags
from balanced_mixup.settings_file import load_yaml


def train(
    *,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]  # made from the methods' fields
    config: Path | None = None,
    out: Path | None = None,
    base: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    report: bool = True,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a classifier and score it on held-out images.

    The data are split into training, validation (which chooses the epoch) and test (scored once, at the end), stratified by
    class; images of one group stay together. Where the data give a split, it is kept.

    Parameters
    ----------
    config
        YAML file with any of these settings (keys with underscores); flags take precedence.
    out
        Run folder; a new one under `runs` if not given.
    base
        Run folder whose first stage is reused, for methods with several stages.
    resume
        Resume the interrupted run in `--out`; its settings need not be given again.
    report
        Write report.html to the run folder.
    json
        Print the scores as one JSON object.
    """
    from balanced_mixup.training.processes import check_variables

    check_variables()  # Lightning, imported next, fails on bad ones
    from balanced_mixup.cli import show
    from balanced_mixup.cli.report import write_final_report
    from balanced_mixup.evaluation.experiment import train as run_experiment

    layers = [load_yaml(config)] if config is not None else []
    if flags is not None:
        layers.append(flags.model_dump(exclude_unset=True))
    experiment = run_experiment(*layers, out=out, resume=resume, base=base)
    if not experiment.scores:
        return  # one of several processes; only the first prints
    if json:
        ordinal, warnings = experiment.run.ordinal, show.experiment_warnings(experiment)
        parts = experiment.scores.items()
        scores = {split: show.scores_content(scores.to_dict(), scores, ordinal=ordinal) for split, scores in parts}
        show.print_json({"run": str(experiment.folder.path), **scores, "warnings": warnings})
        show.log_warnings(warnings)
    else:
        show.print_experiment(experiment)
    if report:
        write_final_report(experiment.folder.path)
