"""Tables: their numbers are recomputed by hand from the predictions of the runs."""

import io
import itertools
import re
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import matthews_corrcoef

from balanced_mixup.benchmark import summary
from balanced_mixup.benchmark.benchmark_folder import BENCHMARK_FILE, BenchmarkFolder, Index, PlannedRun
from balanced_mixup.benchmark.results import Results, RunCollapse, read_results
from balanced_mixup.benchmark.summary import mean_ranks, summarise
from balanced_mixup.benchmark.tables import grids, latex, make_tables, markdown
from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.collapse import Collapse
from balanced_mixup.runs.formats import METRICS_FILE, write_file
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.bootstrap import paired_difference


def results(scores, baseline="plain", **settings):
    """Return results with these MCCs: {(data, method): [a score for each fold]}."""
    rows = [
        {"data": data, "backbone": "net", "method": method, "fold": f"r0f{fold}", "seed": 0, "test_share": 0.25, "mcc": value}
        for (data, method), values in scores.items()
        for fold, value in enumerate(values)
    ]
    methods = tuple(dict.fromkeys(method for _, method in scores))
    values = {
        "metrics": ("mcc",),
        "protocol": "honest",
        "ordinal": (),
        "planned": len(rows),
        "finished": len(rows),
        "failed": (),
    }
    return Results(scores=pd.DataFrame(rows), methods=methods, baseline=baseline, **{**values, **settings})


A, B, C = [0.60, 0.62, 0.58, 0.64, 0.61], [0.64, 0.67, 0.61, 0.69, 0.66], [0.50, 0.62, 0.55, 0.70, 0.57]


class TestSummary:
    def test_by_hand(self):
        entries = summarise(results({("skin", "plain"): A, ("skin", "good"): B, ("skin", "wild"): C}), ["mcc"])
        plain, good, wild = entries
        assert (good.median, good.lowest, good.highest, good.folds) == (0.66, 0.61, 0.69, 5)
        d = np.array(B) - np.array(A)
        error = np.sqrt((1 / 5 + 1 / 4) * d.var(ddof=1))
        p = 2 * stats.t.sf(d.mean() / error, 4)
        assert good.difference.mean == pytest.approx(0.044)
        assert good.difference.p == pytest.approx(p)
        # Two comparisons with the baseline; the other one's p is larger.
        assert wild.difference.p > p
        assert good.p_corrected == pytest.approx(2 * p)
        assert wild.p_corrected == pytest.approx(max(2 * p, wild.difference.p))
        assert np.isnan(plain.difference.mean) and np.isnan(plain.p_corrected)
        assert [entry.rank for entry in entries] == [2, 1, 3]
        # The plain method is worse than the best; the wild one varies too much to tell.
        assert [entry.among_best for entry in entries] == [False, True, True]

    def test_seeds_are_averaged_within_a_fold(self):
        found = results({("skin", "plain"): A})
        again = found.scores.assign(seed=1, mcc=found.scores["mcc"] + 0.1)
        both = results({("skin", "plain"): A})
        both.scores.loc[len(both.scores) :] = None
        table = pd.concat([found.scores, again], ignore_index=True)
        (entry,) = summarise(Results(**{**vars(found), "scores": table}), ["mcc"])
        assert entry.folds == 5
        assert entry.median == pytest.approx(np.median(A) + 0.05)

    def test_folds_that_only_one_method_has_are_not_paired(self):
        entries = summarise(results({("skin", "plain"): A, ("skin", "good"): B[:3]}), ["mcc"])
        assert entries[1].folds == 3
        assert entries[1].difference.mean == pytest.approx(np.mean(B[:3]) - np.mean(A[:3]))

    def test_a_method_with_few_folds_is_neither_ranked_nor_best(self):
        scores = {
            ("skin", "plain"): [0.9, 0.5, 0.5, 0.5, 0.5],
            ("skin", "good"): [0.95, 0.55, 0.56, 0.54, 0.55],
            ("skin", "hare"): [0.97],
        }
        plain, good, hare = summarise(results(scores), ["mcc"])
        assert np.isnan(hare.rank) and not hare.among_best
        assert (good.rank, good.among_best) == (1, True)
        assert (plain.rank, plain.among_best) == (2, False)

    def test_differences_are_paired_by_seed(self):
        found = results({("skin", "plain"): A, ("skin", "good"): B})
        more = found.scores[found.scores["method"] == "plain"].assign(seed=1, mcc=0.99)
        table = pd.concat([found.scores, more], ignore_index=True)
        entries = summarise(Results(**{**vars(found), "scores": table}), ["mcc"])
        assert entries[1].difference.mean == pytest.approx(0.044)

    def test_equal_means_share_a_rank_whatever_rounding_does(self):
        entries = summarise(results({("skin", "plain"): [0.1, 0.2, 0.3], ("skin", "good"): [0.3, 0.2, 0.1]}), ["mcc"])
        assert [entry.rank for entry in entries] == [1.5, 1.5]

    def test_an_undefined_score_is_left_out(self):
        (entry,) = summarise(results({("skin", "plain"): [0.5, np.nan, 0.7]}), ["mcc"])
        assert (entry.folds, entry.median) == (2, 0.6)
        (entry,) = summarise(results({("skin", "plain"): [np.nan, np.nan]}), ["mcc"])
        assert entry.folds == 0 and np.isnan(entry.mean.mean) and not entry.among_best
        text = make_tables(results({("skin", "plain"): [np.nan] * 3, ("skin", "good"): [np.nan] * 3}), (), "md")
        assert "nan" not in text and "–=" not in text

    def test_mean_ranks(self):
        scores = {
            ("skin", "plain"): A,
            ("skin", "good"): B,
            ("eye", "plain"): B,
            ("eye", "good"): A,
            ("cell", "plain"): A,
            ("cell", "good"): B,
        }
        ranks = mean_ranks(summarise(results(scores), ["mcc"]))
        assert ranks["mcc"].to_dict() == pytest.approx({"plain": 5 / 3, "good": 4 / 3})


class TestText:
    @pytest.fixture
    def found(self):
        return results({("skin & co", "plain"): A, ("skin & co", "good"): B, ("skin & co", "wild"): C})

    def test_markdown(self, found):
        text = make_tables(found, (), "md")
        assert "### Scores on skin & co" in text
        assert "| plain | 61.0 [58.0, 64.0] |" in text
        assert "| good | 66.0 [61.0, 69.0]= |" in text
        assert "| wild | 57.0 [50.0, 70.0]= |" in text
        assert re.search(r"\| good \| \+4\.4 \[2\.\d, 6\.\d\] p=0\.00\d \|", text)
        assert "Mean ranks" not in text  # over one data set they would say nothing new
        for grid in text.split("### ")[1:]:
            widths = {line.count("|") for line in grid.splitlines() if line.startswith("|")}
            assert len(widths) == 1

    def test_a_very_small_p(self):
        steady = [value + 0.2 + 1e-4 * fold for fold, value in enumerate(A)]
        text = make_tables(results({("skin", "plain"): A, ("skin", "good"): steady}), ("mcc",), "md")
        assert re.search(r"\| good \| \+20\.0 \[20\.0, 20\.0\] p<0\.001 \|", text)

    def test_mean_ranks_of_several_data_sets(self):
        found = results({("skin", "plain"): A, ("skin", "good"): B, ("eye", "plain"): A, ("eye", "good"): B})
        text = make_tables(found, ("mcc",), "md").split("### Mean ranks")[1]
        assert "| plain | 2.0 |" in text and "| good | 1.0 |" in text
        assert "over 2 combinations of data set and backbone" in text

    def test_latex_is_escaped_and_balanced(self, found):
        text = make_tables(found, (), "latex")
        assert r"Scores on skin \& co" in text
        assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
        assert not re.search(r"(?<!\\)[%_#]", text)
        failing = results({("skin", "plain"): A}, finished=5, planned=9, failed=(("skin · good", "50% & $x_1"),))
        assert "% Failed: skin · good: 50% & $x_1" in make_tables(failing, (), "latex").splitlines()

    def test_csv_has_all_numbers(self, found):
        table = pd.read_csv(io.StringIO(make_tables(found, (), "csv")))
        assert table["method"].tolist() == ["plain", "good", "wild"]
        assert table.loc[1, "difference"] == pytest.approx(0.044)
        assert table["among_best"].tolist() == [False, True, True]

    def test_what_is_missing_is_said(self):
        found = results(
            {("skin", "plain"): A},
            finished=5,
            planned=9,
            failed=(("skin · good", "Traceback\nRunError: diverged"),),
            protocol="paper",
        )
        text = make_tables(found, (), "md")
        assert "5 of 9 runs are finished" in text
        assert "Failed: skin · good: RunError: diverged" in text
        assert "the epoch was chosen on the fold that is scored, so scores are optimistic" in text

    def test_a_number_over_fewer_folds_says_so(self):
        collapsed = [np.nan, 0.6, np.nan, 0.7, 0.5]
        found = results({("skin", "plain"): A, ("skin", "good"): collapsed})
        text = make_tables(found, (), "md")
        assert "| plain | 61.0 [58.0, 64.0]= |" in text
        assert "| good | 60.0 [50.0, 70.0] (3 of 5) |" in text
        assert re.search(r"\| good \| .* p=0\.\d+ \(3 of 5\) \|", text)
        assert text.count("(n of m): over n of the m folds, as the score is undefined or missing in the others") == 2
        assert "(n of m)" not in make_tables(results({("skin", "plain"): A, ("skin", "good"): B}), (), "md")
        # Also where no method has all of them.
        assert "(3 of 5)" in make_tables(results({("skin", "plain"): collapsed}), (), "md")
        table = pd.read_csv(io.StringIO(make_tables(found, (), "csv")))
        assert table.loc[1, ["divisions", "folds", "pairs"]].tolist() == [5, 3, 3]

    def test_one_fold_has_no_p(self):
        text = make_tables(results({("skin", "plain"): A[:1], ("skin", "good"): B[:1]}), (), "md")
        assert "p=" not in text
        assert "nan" not in text

    def test_each_data_set_has_the_scores_that_apply_to_it(self):
        """Quadratic kappa of an ordinal data set stays, though the plan has a nominal one, too."""
        scores = results({(data, method): A for data in ("grades", "skin") for method in ("plain", "good")}).scores
        table = scores.assign(**dict.fromkeys(("quadratic_kappa", "kendall_tau", "balanced_accuracy", "macro_f1"), 0.5))
        found = replace(
            results({("skin", "plain"): A}, ordinal={"grades"}, metrics=()), scores=table, methods=("plain", "good")
        )
        heads = dict(re.findall(r"### Scores on (\w+)\n\n\| method \| (.*?) \|\n", make_tables(found, (), "md")))
        assert heads == {"grades": "quadratic kappa | MCC | Kendall tau-b", "skin": "MCC | balanced accuracy | macro-F1"}
        heads = re.findall(r"\| method \| (.*?) \|\n", make_tables(found, ("mcc", "quadratic_kappa"), "md"))
        assert heads == [*["MCC | quadratic kappa"] * 2, *["MCC"] * 2, "MCC | quadratic kappa"]
        assert "over 1 to 2 combinations" in make_tables(found, ("mcc", "quadratic_kappa"), "md")

    def test_collapsed_methods_are_marked_and_named(self):
        places = [("skin", "plain"), ("skin", "good"), ("eye", "plain")]
        kinds = {
            ("skin", "plain"): [Collapse(only="nv")] * 3 + [Collapse(), Collapse(chance="No better than chance.")],
            ("skin", "good"): [Collapse(never={"df": 3}), Collapse(missed={"df": 2}, never={"bcc": 1})]
            + [Collapse(only="4")] * 3,
            ("eye", "plain"): [Collapse(never={"2": 1}), Collapse(), Collapse(), Collapse(), Collapse()],
        }
        runs = [RunCollapse(data, "net", method, each) for (data, method), own in kinds.items() for each in own]
        text = make_tables(results(dict(zip(places, (A, B, A), strict=True)), collapses=runs), (), "md")
        skin, eye = text.split("### Scores on ")[1:]
        assert "| plain | 61.0 [58.0, 64.0]† |" in skin and "| good | 66.0 [61.0, 69.0]=† |" in skin
        assert "| plain | 61.0 [58.0, 64.0]= |" in eye
        assert text.count("†: some runs predict one class only or are not better than chance, see the notes.") == 1
        assert text.splitlines()[-2:] == [
            "† skin: plain predicts one class only in 3 of 5 runs (nv); plain is not better than chance in 1 of 5 runs; "
            "good predicts one class only in 3 of 5 runs (class 4).",
            "skin: no image found in any run: df (by good).",
        ]
        assert r"\dag{}" in make_tables(results(dict(zip(places, (A, B, A), strict=True)), collapses=runs), (), "latex")

    def test_unknown_metric(self, found):
        with pytest.raises(UsageError, match=r"Expected a metric among .*, but got 'kapa'"):
            make_tables(found, ("kapa",), "md")


class TestOfRuns:
    def made(self, folder, folds, test_share):
        """Write the folder of a benchmark of two methods as far as tables read it: random predictions, no training."""
        runs = []
        for method, fold in itertools.product(("instance", "class"), folds):
            rng = np.random.default_rng(len(runs))
            labels, groups = np.arange(60) % 3, np.array([f"p{row // 2}" for row in range(60)])
            p = rng.dirichlet(np.ones(3), 60) * 0.6 + 0.4 * np.eye(3)[labels]
            images = tuple(f"{fold}-{row}.png" for row in range(60))
            predictions = Predictions(images, labels, p.astype(np.float32), ("a", "b", "c"), groups, np.full(60, "test"))
            run = RunFolder(folder / "runs" / f"{method}-{fold}")
            run.path.mkdir(parents=True)
            predictions.write(run.predictions)
            write_file(run.metrics, {"test": Scores.of(predictions, replicates=20).to_dict()}, METRICS_FILE)
            card = {"backbone": "net", "ordinal": False, "size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3}
            ModelCard(classes=predictions.classes, head={"name": "softmax"}, **card).write(run.model)
            where = str(run.path.relative_to(folder))
            runs.append(PlannedRun("blobs", method, "net", fold, 0, "test", test_share, {}, where, "", where, None, {}, {}))
        write_file(BenchmarkFolder(folder).index, asdict(Index(runs, "instance", (), "honest")), BENCHMARK_FILE)
        return read_results(folder)

    def test_over_folds_from_the_predictions(self, tmp_path):
        found = self.made(tmp_path, ("r0f0", "r0f1", "r0f2"), 0.5)
        by_hand = {}
        for _, row in found.scores.iterrows():
            table = pd.read_parquet(row["predictions"]).query("split == 'test'")
            by_hand.setdefault(row["method"], {})[row["fold"]] = matthews_corrcoef(table["label"], table["prediction"])
        for entry in summarise(found, ["mcc"]):
            scores = list(by_hand[entry.method].values())
            assert len(scores) == 3
            assert (entry.median, entry.lowest, entry.highest) == pytest.approx((np.median(scores), min(scores), max(scores)))
        difference = [by_hand["class"][fold] - by_hand["instance"][fold] for fold in by_hand["class"]]
        share = np.mean(found.scores["test_share"])
        half = stats.t.ppf(0.975, 2) * np.sqrt((1 / 3 + share) * np.var(difference, ddof=1))
        assert (entry.difference.mean, entry.difference.low, entry.difference.high) == pytest.approx(
            (np.mean(difference), np.mean(difference) - half, np.mean(difference) + half)
        )

    def test_on_a_given_test_split_by_the_bootstrap(self, tmp_path):
        found = self.made(tmp_path, ("given",), None)
        a, b = (Predictions.read(Path(path)).in_split("test") for path in found.scores["predictions"])
        reference = paired_difference(b.labels, b.probabilities, a.probabilities, b.groups)["mcc"]
        difference = summarise(found, ["mcc"])[1].difference
        assert (difference.mean, difference.low, difference.high) == pytest.approx(
            (reference.value, reference.low, reference.high)
        )
        runs = pd.read_csv(io.StringIO(make_tables(found, (), "runs")))
        assert runs["mcc"].tolist() == pytest.approx(found.scores["mcc"].tolist())
        text = make_tables(found, ("mcc",), "md")
        assert "Score on the test split [95 % bootstrap interval]" in text
        assert "paired bootstrap" in text
        assert text.count("do not include the variation between trainings") == 2

    def test_each_methods_draws_are_made_once(self, tmp_path, monkeypatch):
        found = self.on_a_given_test_part(tmp_path, ["plain", "good", "wild"])
        drawn, advanced = [], []
        real = summary.replicate
        monkeypatch.setattr(summary, "replicate", lambda *a, **k: drawn.append(k["metrics"]) or real(*a, **k))

        @contextmanager
        def bar(description, total):
            advanced.append(total)
            yield lambda done: advanced.append(-done)

        monkeypatch.setattr(summary, "progress_bar", bar)
        summarise(found, ["mcc", "accuracy"])
        assert drawn == [["mcc", "accuracy"]] * 3
        assert advanced == [3, -1, -1, -1]

    def test_methods_on_other_images_are_not_compared(self, tmp_path):
        found = self.on_a_given_test_part(tmp_path, ["plain", "good"])
        path = Path(found.scores["predictions"].iloc[1])
        replace(Predictions.read(path), images=tuple(f"other {n}" for n in range(60))).write(path)
        with pytest.raises(UsageError, match="all methods to be scored on the same images, but 'good' was on others"):
            summarise(found, ["mcc"])

    def on_a_given_test_part(self, folder, methods):
        """Return results of one run a method, predictions of 60 images with it."""
        found = results({("skin", method): [0.5] for method in methods})
        paths, names = [str(folder / f"{method}.parquet") for method in methods], tuple(map(str, range(60)))
        labels = np.arange(60) % 3
        for seed, path in enumerate(paths):
            p = np.random.default_rng(seed).dirichlet(np.ones(3), 60).astype(np.float32)
            Predictions(names, labels, p, ("a", "b", "c"), None, np.full(60, "test")).write(Path(path))
        table = found.scores.assign(test_share=None, scored="test", predictions=paths, accuracy=0.5)
        return Results(**{**vars(found), "scores": table})


def test_grids_render_alike():
    found = results({("skin", "plain"): A, ("skin", "good"): B})
    for grid in grids(found, summarise(found, ["mcc"])):
        assert all(len(row) == len(grid.header) for row in grid.rows)
        assert markdown(grid).count("\n| ") == len(grid.rows) + 1
        assert latex(grid).count(r" \\") == len(grid.rows) + 1
