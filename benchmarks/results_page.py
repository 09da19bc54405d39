"""Put the tables of the recorded benchmarks into docs/results.md.

python benchmarks/results_page.py

benchmarks/results/NAME-runs.csv is what `bmixup table --format runs` says of the benchmark of plans/NAME.yaml. Its tables stand
between `<!-- NAME -->` and `<!-- end -->`.
"""

import re
from pathlib import Path

import pandas as pd

from balanced_mixup.benchmark.cells import method_cells
from balanced_mixup.benchmark.plan import load_plan
from balanced_mixup.benchmark.results import Results
from balanced_mixup.benchmark.summary import summarise
from balanced_mixup.benchmark.tables import metrics_of, render

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs/results.md"


def tables(name: str) -> str:
    """Return the tables of a recorded benchmark in Markdown."""
    plan = load_plan(HERE / f"plans/{name}.yaml")
    scores = pd.read_csv(HERE / f"results/{name}-runs.csv").assign(scored="test", predictions="")
    methods = tuple(cell.label for cell in method_cells(plan.methods))
    planned = len(methods) * plan.folds * plan.repeats * len(plan.seeds) * len(plan.backbones) * len(plan.data)
    ordinal = all(data.ordinal for data in plan.data.values())
    results = Results(scores, methods, plan.baseline, plan.metrics, plan.protocol, ordinal, planned, len(scores), ())
    return render(results, summarise(results, metrics_of(results)), "md")


def page(text: str) -> str:
    """Return the page with its tables made again."""
    return re.sub(
        r"<!-- (\w+) -->\n.*?<!-- end -->",
        lambda found: f"<!-- {found[1]} -->\n{tables(found[1])}<!-- end -->",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
