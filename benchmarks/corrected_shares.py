"""Score runs of a benchmark again, their probabilities corrected to equal shares of the classes; nothing is trained.

python benchmarks/corrected_shares.py runs/ham10000 --csv benchmarks/results/ham10000-corrected.csv

The correction is that of `bmixup evaluate RUN --prior uniform`: the temperature of the run and Bayes' rule, both fitted on its
validation split (Saerens et al. 2002; in training it is called logit adjustment, Menon et al. 2021).
"""

import argparse
from pathlib import Path

import pandas as pd

from balanced_mixup import evaluate
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.benchmark.results import read_results


def corrected(path: Path, method: str) -> pd.DataFrame:
    """Return the scores of a method's runs, as `Results.scores`, those of the corrected probabilities in place of their own."""
    folder = BenchmarkFolder(path)
    rows = read_results(path).scores.set_index(["data", "backbone", "method", "fold", "seed"]).sort_index()
    runs = [run for run in folder.read().runs if run.method == method]
    for run in runs:
        scores = evaluate(folder.run(run).path, prior="uniform").scores.metrics
        key = (run.data, run.backbone, run.method, run.fold, run.seed)
        rows.loc[key, list(scores)] = [score.value for score in scores.values()]
    own = rows.reset_index()
    own = own[own["method"] == method].assign(method=f"{method}, equal shares")
    return own.drop(columns=["scored", "predictions"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", type=Path, help="folder of the benchmark")
    parser.add_argument("--methods", nargs="+", default=["instance"], help="whose runs (instance)")
    parser.add_argument("--csv", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    pd.concat([corrected(arguments.benchmark, method) for method in arguments.methods]).to_csv(arguments.csv, index=False)
