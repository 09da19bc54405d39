"""How often are the comparisons of methods wrong? Simulated benchmarks in which the truth is known.

python benchmarks/comparisons.py --csv benchmarks/results/comparisons.csv

**One test part** (`statistics.two_way_bootstrap`). Classifiers of five classes (60, 20, 10, 6, 4 %) are drawn: every image is
harder or easier for all, every method finds some images easier than others do, and every training has a bias for each class, as
other seeds do. Of each pair of methods, equal in truth, the first 2, 3 and 5 trainings are compared by balanced accuracy. With
"same seeds", half of the variance of the biases is that of the seed, for both methods alike.

**Folds** (the marks of the tables: `benchmark.summary`). Nearest-centroid classifiers are trained and tested by five-fold
cross-validation on drawn data, in which each method has features of its own, all alike in distribution: the methods are equal
in truth. Half of the methods are then made worse by exactly the margin, so that every `=` between the halves is wrong.

A true difference is an amount added to the scores of one method. So the power at any difference is known from the same pairs,
and with it the difference that is found with 80 % power, which `detectable_difference` has to show.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.benchmark.results import Results
from balanced_mixup.benchmark.summary import EQUIVALENT, LEVEL, summarise
from balanced_mixup.progress import progress_bar
from balanced_mixup.statistics.bootstrap import replicate, units_of
from balanced_mixup.statistics.correlated_t_test import chances
from balanced_mixup.statistics.detectable_difference import POWER, detectable_difference
from balanced_mixup.statistics.paired_tests import Comparison, corrected_resampled_t
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings

METRIC = "balanced_accuracy"
SHARES = (0.60, 0.20, 0.10, 0.06, 0.04)
TRAININGS = (1, 2, 3, 5)
DRAWS = 200  # bootstrap draws; their variance is all that is used
BIAS = 0.45  # standard deviation of the logits that a training adds to a class
METHODS = 4
SHARE = 0.25  # scored over training images
FEATURES = 12
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """What was found in one scenario, as proportions and percentage points.

    images_alone: Pairs called different where images alone are resampled, as earlier versions did. different: Pairs of equal
    methods that are called different. equivalent_wrongly: Pairs that differ by the margin and are called equivalent.
    equivalent_rightly: Pairs of equal methods that are. shown, true: The detectable difference, the mean shown and the
    simulated one.
    """

    scenario: str
    trainings: int
    pairs: int
    margin: float
    images_alone: float
    different: float
    equivalent_wrongly: float
    equivalent_rightly: float
    shown: float
    true: float


def trained(
    rng: np.random.Generator, labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], *, same_seeds: bool
) -> list[list[Array]]:
    """Return the probabilities (N, K) of the trainings of two methods that are equal in truth."""
    count, classes = len(labels), len(SHARES)
    common = 2.0 * np.eye(classes)[labels] + rng.normal(size=(count, classes))
    common += rng.normal(size=(groups.max() + 1, classes))[groups]
    of_seed = rng.normal(size=(max(TRAININGS), classes))
    found = []
    for _ in range(2):
        own = common + 0.3 * rng.normal(size=(count, classes))
        bias = rng.normal(size=(max(TRAININGS), classes))
        bias = (of_seed + bias) / np.sqrt(2) if same_seeds else bias
        logits = (own + BIAS * each + 0.4 * rng.normal(size=(count, classes)) for each in bias)
        found.append([softmax(each) for each in logits])
    return found


def softmax(logits: Array) -> Array:
    """Return probabilities (N, K)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Array = powers / powers.sum(1, keepdims=True)
    return probabilities


def one_test_part(scenario: str, pairs: int, images: int, per_group: int, margin: float, *, same_seeds: bool) -> Iterator[Row]:
    """Yield what is found of pairs of methods on one test part, for each number of trainings."""
    found: dict[int, list[Comparison]] = {count: [] for count in TRAININGS}
    alone: dict[int, list[bool]] = {count: [] for count in TRAININGS}
    groups = np.arange(images) // per_group
    units = int(units_of(images, groups.astype(str)).max()) + 1
    with progress_bar(scenario, pairs) as advance:
        for pair in range(pairs):
            rng = np.random.default_rng([len(scenario), images, pair])
            labels = rng.choice(len(SHARES), images, p=SHARES)
            models = trained(rng, labels, groups, same_seeds=same_seeds)
            drawn = replicate(
                labels, [*models[0], *models[1]], groups.astype(str), metrics=[METRIC], replicates=DRAWS, seed=pair
            )
            for count in TRAININGS:
                a, b = drawn[:count], drawn[max(TRAININGS) :][:count]
                found[count].append(difference_over_trainings(a, b, METRIC, units))
                means = np.mean([x.draws[METRIC] - y.draws[METRIC] for x, y in zip(a, b, strict=True)], axis=0)
                low, high = np.nanquantile(means, [LEVEL / 2, 1 - LEVEL / 2])
                alone[count].append(bool(low > 0 or high < 0))
            advance(1)
    for count in TRAININGS:
        yield row(scenario, count, found[count], margin, float(np.mean(alone[count])))


def row(scenario: str, trainings: int, found: Sequence[Comparison], margin: float, images_alone: float) -> Row:
    """Return what comparisons of equal methods say, and what they would say if one were better by the margin."""
    worse = [shifted(each, margin) for each in found]
    shown = [detectable_difference(each.error) for each in found]
    return Row(
        scenario,
        trainings,
        len(found),
        100 * margin,
        images_alone,
        different=float(np.mean([each.p < LEVEL for each in found])),
        equivalent_wrongly=float(np.mean([chances(each, margin).equivalent >= EQUIVALENT for each in worse])),
        equivalent_rightly=float(np.mean([chances(each, margin).equivalent >= EQUIVALENT for each in found])),
        shown=100 * float(np.mean(shown)),
        true=100 * found_with_power(found),
    )


def shifted(comparison: Comparison, difference: float) -> Comparison:
    """Return the comparison of two methods whose true difference is larger by this."""
    mean = comparison.mean + difference
    p = np.nan if comparison.error is None else comparison.error.p_value(abs(mean))
    return Comparison(mean, comparison.low + difference, comparison.high + difference, p, comparison.error)


def found_with_power(found: Sequence[Comparison]) -> float:
    """Return the true difference that is found in 80 % of these pairs; NaN where nothing can be tested."""
    if any(each.error is None for each in found):
        return np.nan
    means = np.array([each.mean for each in found])
    halves = np.array([each.error.half_width(LEVEL) for each in found if each.error is not None])
    needed = np.concatenate([halves - means, halves + means])  # in either direction
    return float(np.quantile(needed, POWER))


def in_folds(scenario: str, pairs: int, tables: int, images: int, margin: float) -> Iterator[Row]:
    """Yield what is found over five folds: of pairs of methods, and of the marks of whole tables."""
    drawn = [cross_validated(np.random.default_rng([images, number]), images) for number in range(pairs)]
    yield row(
        f"{scenario}, two methods", 5, [corrected_resampled_t(scores[0] - scores[1], SHARE) for scores in drawn], margin, np.nan
    )
    halves = np.arange(METHODS) >= METHODS // 2
    equal = [standings(scores, margin) for scores in drawn[:tables]]
    unequal = [standings(scores - margin * halves[:, None], margin) for scores in drawn[:tables]]
    wrong = [(marks == "equivalent") & (halves != halves[marks == "best"]) for marks in unequal]
    yield Row(
        f"{scenario}, tables of {METHODS} methods",
        5,
        tables,
        100 * margin,
        images_alone=np.nan,
        different=float(np.mean([(marks == "worse").any() for marks in equal])),
        equivalent_wrongly=float(np.mean([marks.any() for marks in wrong])),
        equivalent_rightly=float(np.mean([(marks == "equivalent").any() for marks in equal])),
        shown=np.nan,
        true=np.nan,
    )


def standings(scores: Array, margin: float) -> npt.NDArray[np.str_]:
    """Return the standings (M,) of methods in the table of their scores (M, 5)."""
    names = tuple(f"method {number}" for number in range(len(scores)))
    shared = {"data": "drawn", "backbone": "centroid", "seed": 0, "test_share": SHARE}
    rows = [
        {**shared, "method": name, "fold": f"r0f{fold}", METRIC: value}
        for name, values in zip(names, scores, strict=True)
        for fold, value in enumerate(values)
    ]
    count = len(rows)
    found = Results(pd.DataFrame(rows), names, names[0], (METRIC,), "honest", (), count, count, (), margin=margin)
    return np.array([entry.standing for entry in summarise(found, [METRIC])])


def cross_validated(rng: np.random.Generator, images: int) -> Array:
    """Return the scores (M, 5) of the methods in five folds."""
    labels = np.repeat(np.arange(len(SHARES)), np.round(images * np.array(SHARES)).astype(np.int64))
    images = len(labels)
    centres = rng.normal(size=(len(SHARES), FEATURES)) * 1.1
    common = rng.normal(size=(images, FEATURES)) * 0.8
    folds = np.empty(images, np.int64)
    for k in range(len(SHARES)):  # stratified
        rows = rng.permutation(np.flatnonzero(labels == k))
        folds[rows] = (np.arange(len(rows)) + k) % 5
    scores = np.empty((METHODS, 5))
    for method in range(METHODS):
        x = centres[labels] + common + rng.normal(size=(images, FEATURES)) * 1.5
        for fold in range(5):
            train = folds != fold
            means = np.stack([x[train & (labels == k)].mean(0) for k in range(len(SHARES))])
            predicted = ((x[~train, None] - means) ** 2).sum(-1).argmin(1)
            hits = predicted == labels[~train]
            scores[method, fold] = np.mean([hits[labels[~train] == k].mean() for k in range(len(SHARES))])
    return scores


def simulate(*, quick: bool) -> pd.DataFrame:
    """Return a row for each scenario and number of trainings."""
    pairs, tables, many, few = (20, 10, 500, 300) if quick else (500, 100, 10_000, 1_000)
    rows = [
        *one_test_part(f"{many:,} images, other seeds", pairs, many, 1, 0.03, same_seeds=False),
        *one_test_part(f"{many:,} images, same seeds", pairs, many, 1, 0.03, same_seeds=True),
        *one_test_part(f"{few:,} images in groups of 10", pairs, few, 10, 0.05, same_seeds=False),
        *in_folds(f"five folds of {few:,} images", pairs, tables, few, 0.10),
        *in_folds(f"five folds of {4 * few:,} images", pairs, tables, 4 * few, 0.05),
    ]
    return pd.DataFrame([asdict(each) for each in rows])


def as_markdown(table: pd.DataFrame) -> str:
    """Return the rows as a table of the page."""
    heads = ("scenario", "trainings", "images alone", "called different", "= wrongly", "= rightly", "detectable: shown", "true")
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for each in table.to_dict("records"):
        shares = (each[name] for name in ("images_alone", "different", "equivalent_wrongly", "equivalent_rightly"))
        cells = ["–" if np.isnan(share) else f"{100 * share:.1f} %" for share in shares]
        cells += ["–" if np.isnan(each[name]) else f"{each[name]:.2f}" for name in ("shown", "true")]
        lines.append(f"| {each['scenario']}, ±{each['margin']:g} | {each['trainings']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few small simulations")
    parser.add_argument("--csv", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    found = simulate(quick=arguments.quick)
    print(as_markdown(found))
    if arguments.csv is not None:
        found.to_csv(arguments.csv, index=False, float_format="%.5g")
