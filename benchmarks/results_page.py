"""Put the recorded tables into docs/results.md and docs/comparisons.md, between `<!-- KIND of NAME -->` and `<!-- end -->`.

python benchmarks/results_page.py

What is recorded of the benchmark of plans/NAME.yaml: results/NAME-runs.csv, which is what `bmixup table --format runs` says;
results/NAME-recalls.csv, which is the rarity-1.csv among the figures of `bmixup report`; and results/NAME-corrected.csv, which
corrected_shares.py makes. Of simulations: results/comparisons.csv, which comparisons.py makes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from comparisons import as_markdown

from balanced_mixup.benchmark.grids import Grid, difference_grids, rank_grid, score_grid
from balanced_mixup.benchmark.plan import load_plan
from balanced_mixup.benchmark.results import Results
from balanced_mixup.benchmark.summary import summarise
from balanced_mixup.benchmark.tables import markdown, metrics_of, render
from balanced_mixup.benchmark.variants import method_variants

HERE = Path(__file__).resolve().parent
PAGES = tuple(HERE.parent / f"docs/{name}.md" for name in ("results", "comparisons"))
ALPHA = "balanced-mixup alpha=0.2"
CORRECTED = "instance, equal shares"
RAREST = 4


def recorded(name: str) -> Results:
    """Return what a benchmark found."""
    plan = load_plan(HERE / f"plans/{name}.yaml")
    scores = pd.read_csv(HERE / f"results/{name}-runs.csv").assign(scored="test", predictions="")
    methods = tuple(variant.label for variant in method_variants(plan.methods))
    planned = len(methods) * plan.folds * plan.repeats * len(plan.seeds) * len(plan.backbones) * len(plan.data)
    ordinal = tuple(name for name, data in plan.data.items() if data.ordinal)
    return Results(scores, methods, plan.baseline, plan.metrics, plan.protocol, ordinal, planned, len(scores), ())


def of(results: Results, methods: tuple[str, ...]) -> Results:
    """Return the results of some methods alone."""
    return replace(results, methods=methods, scores=results.scores[results.scores["method"].isin(methods)])


def tables(name: str) -> str:
    """Return the tables of `bmixup table`."""
    results = recorded(name)
    return render(results, summarise(results, metrics_of(results)), "md")


def recalls(name: str) -> str:
    """Return how much of the rarest classes each method finds."""
    table = pd.read_csv(HERE / f"results/{name}-recalls.csv")
    images = table.groupby("class")["images"].mean().sort_values(kind="stable").head(RAREST)
    cells = {
        (row["method"], row["class"]): f"{100 * row['recall']:.0f} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
        for _, row in table.iterrows()
    }
    methods = [method for method in recorded(name).methods if (method, images.index[0]) in cells]
    rows = tuple((method, *(cells[method, rare] for rare in images.index)) for method in methods)
    header = ("method", *(f"{rare} ({count:,.0f})" for rare, count in images.items()))
    note = "Recall, median over 5 folds [lowest, highest], per cent; in brackets the images in training."
    return markdown(Grid(f"The {RAREST} rarest classes of {name}", header, rows, note))


def alphas(name: str) -> str:
    """Return how Balanced-MixUp changes with alpha and with the weight per batch."""
    results = recorded(name)
    own = replace(
        of(results, tuple(method for method in results.methods if method.startswith("balanced-mixup"))), baseline=ALPHA
    )
    return "\n".join(map(markdown, difference_grids(name, summarise(own, metrics_of(results)), ALPHA, own.margin)))


def corrected(name: str) -> str:
    """Return how runs whose probabilities are corrected to equal shares compare with class sampling."""
    results = recorded(name)
    scores = pd.read_csv(HERE / f"results/{name}-corrected.csv").assign(scored="test", predictions="")
    methods = (*dict.fromkeys(scores["method"]), "class")
    both = replace(results, scores=pd.concat([scores, results.scores]), methods=methods, baseline=CORRECTED)
    entries = summarise(of(both, methods), metrics_of(results))
    scored = replace(score_grid(name, entries, both.margin), title=f"Corrected to equal shares of the classes, on {name}")
    return "\n".join(map(markdown, [scored, *difference_grids(name, entries, CORRECTED, both.margin)]))


def ranks(names: str) -> str:
    """Return the mean ranks of the methods that several benchmarks have, by the scores that all have."""
    found = [recorded(name) for name in names.split(", ")]
    methods = tuple(method for method in found[0].methods if all(method in other.methods for other in found))
    of_each = [names for one in found for names in metrics_of(one).values()]
    metrics = [metric for metric in of_each[0] if all(metric in names for names in of_each)]
    return markdown(rank_grid([entry for one in found for entry in summarise(of(one, methods), metrics)]))


def simulations(name: str) -> str:
    """Return how often comparisons are wrong."""
    return as_markdown(pd.read_csv(HERE / f"results/{name}.csv"))


KINDS: Mapping[str, Callable[[str], str]] = {
    "tables": tables, "recalls": recalls, "alphas": alphas, "corrected": corrected, "ranks": ranks,
    "simulations": simulations,
}  # fmt: skip


def page(text: str) -> str:
    """Return the page with its tables made again."""
    return re.sub(
        rf"(<!-- ({'|'.join(KINDS)}) of ([\w, ]+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{KINDS[found[2]](found[3]).rstrip()}\n{found[4]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
