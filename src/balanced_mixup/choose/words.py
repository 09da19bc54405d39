"""A choice in sentences and tables, for the terminal and the report."""

from balanced_mixup.choose.candidates import PLAIN
from balanced_mixup.choose.record import Choice, method_of
from balanced_mixup.choose.screening import FOLDS
from balanced_mixup.choose.trials import REDUCTION, smallest_rung
from balanced_mixup.errors import human_time
from balanced_mixup.metrics import METRICS
from balanced_mixup.words import counted, listed


def answer(choice: Choice) -> list[str]:
    """Return the answer, what could not be told from it, and how to use it."""
    label = METRICS[choice.metric].label
    finished = [trial for trial in choice.trials if trial.fate == "finished"]
    sentences = [f"The answer: {choice.winner}."]
    others = [name for name in choice.inseparable if name != choice.winner]
    if others:
        sentences.append(
            f"By {label} on the first inner fold it cannot be told from {listed(others)}; of these it is the simplest. More "
            "images or more seeds could tell them apart."
        )
    elif len(choice.rivals) > 1:
        sentences.append(f"By {label} on the first inner fold it is better than all others that were trained in full.")
    if choice.winner != choice.method:
        sentences.append(
            f"That is {choice.method} as it is, its predictions corrected to the {choice.winner.partition(', ')[2]}: give "
            f"`--prior` to `bmixup predict` and `bmixup evaluate`."
        )
    sentences.append(
        f"{counted(len({each.method for each in choice.screened}), 'method')} screened on frozen features, "
        f"{counted(len(choice.trials), 'full training')} begun, {len(finished)} finished ({counted(choice.epochs, 'epoch')})."
    )
    return sentences


def held_out_cells(choice: Choice) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of the held-out part."""
    label = METRICS[choice.metric].label
    header = ["on the held-out part", f"{label} [95 % interval]", f"difference to {PLAIN}"]
    rows = [
        [
            each.label,
            f"{each.score:.3f} [{each.low:.3f}, {each.high:.3f}]",
            "" if each.label == PLAIN else f"{each.difference:+.3f} [{each.difference_low:+.3f}, {each.difference_high:+.3f}]",
        ]
        for each in choice.held_out
    ]
    return header, rows


def cost(choice: Choice) -> str:
    """Return what was spent on what."""
    parts = ", ".join(f"{name} {human_time(seconds)}" for name, seconds in choice.stages.items())
    return f"Spent {human_time(choice.spent)} of {human_time(choice.budget)}: {parts}."


def rule(choice: Choice) -> str:
    """Return the rule by which methods were dropped."""
    rung = smallest_rung(choice.epochs)
    rungs = []
    while rung <= choice.epochs:
        rungs.append(str(rung))
        rung *= REDUCTION
    return (
        f"Screening: mean {METRICS[choice.metric].label} over up to {FOLDS} inner folds of a head that is trained on frozen "
        f"features. Full trainings are on the first inner fold; the better half of the screening comes in the order of its "
        f"scores, after {PLAIN}, then what cannot be screened. By Optuna's successive halving a training goes on after epoch "
        f"{listed(rungs)} only if its validation score is in the better half of those that have come so far. {PLAIN} is never "
        "dropped, nor what starts from it and trains the head alone. Candidates that were trained in full are compared on the "
        "images of the fold that none of them has seen; where the 95 % interval of a difference from the best includes 0, the "
        "two cannot be told apart, and the simplest of all such candidates is the answer."
    )


def fates(choice: Choice) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of everything that was tried."""
    header = ["method", "end", "screening", "epochs in full", "unseen images of the fold", "time"]
    trials = {trial.method: trial for trial in choice.trials}
    screened = {each.label: each.score for each in choice.screened}
    labels = list(dict.fromkeys([*screened, *(label for trial in choice.trials for label in trial.scores), *choice.unscreened]))
    rows = []
    for label in labels:
        trial = trials.get(method_of(label))
        score = None if trial is None else trial.scores.get(label)
        end: str = "screened only" if trial is None else trial.fate
        if label == choice.winner:
            end = "the answer"
        elif label in choice.inseparable:
            end = "not told from the best"
        if trial is None and label in choice.unscreened:
            end = f"not tried: {choice.unscreened[label]}"
        if trial is not None and trial.reason:
            end = f"failed: {trial.reason}"
        own = trial is not None and label == method_of(label)
        rows.append(
            [
                label,
                end,
                f"{screened[label]:.3f}" if label in screened else "–",
                str(len(trial.path)) if own and trial is not None else "",
                "–" if score is None else f"{score:.3f}",
                human_time(trial.seconds) if own and trial is not None else "",
            ]
        )
    return header, rows
