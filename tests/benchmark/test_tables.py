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

from balanced_mixup.benchmark import comparisons, summary
from balanced_mixup.benchmark.benchmark_folder import BENCHMARK_FILE, BenchmarkFolder, Index, PlannedRun
from balanced_mixup.benchmark.grids import difference_cell, grids, score_cell
from balanced_mixup.benchmark.results import Results, RunCollapse, read_results
from balanced_mixup.benchmark.summary import mean_ranks, summarise
from balanced_mixup.benchmark.tables import latex, make_tables, markdown
from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.collapse import Collapse
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.formats import METRICS_FILE, write_file
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.bootstrap import paired_difference, replicate
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings


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
        assert [entry.standing for entry in entries] == ["worse", "best", "undecided"]
        # Student's t around the mean difference, of the scale of the test: what is beyond a point, on either side.
        posterior = stats.t(4, d.mean(), error)
        assert (good.chances.better, good.chances.worse) == pytest.approx((posterior.sf(0.01), posterior.cdf(-0.01)))
        assert good.chances.equivalent == pytest.approx(posterior.cdf(0.01) - posterior.cdf(-0.01))
        # That of the noncentral t-distribution with 80 % power; c_4 = 0.94 of four degrees of freedom.
        assert stats.nct.sf(stats.t.ppf(0.975, 4), 4, good.detectable * 0.94 / error) == pytest.approx(0.8, abs=0.01)
        assert np.isnan(plain.detectable) and np.isnan(plain.chances.equivalent)

    def test_equivalent_is_within_the_margin_and_not_just_undecided(self):
        close = [value + step for value, step in zip(A, (0.001, -0.001, 0.002, 0.0, -0.003), strict=True)]
        scores = {("skin", "plain"): A, ("skin", "close"): close, ("skin", "wild"): C}
        assert [entry.standing for entry in summarise(results(scores), ["mcc"])] == ["best", "equivalent", "undecided"]
        entries = summarise(results(scores, margin=0.0005), ["mcc"])
        assert [entry.standing for entry in entries] == ["best", "undecided", "undecided"]
        # A difference that is significant, but smaller than the margin, is one of equivalent methods.
        slightly = [value - 0.005 + step for value, step in zip(A, (1e-4, -1e-4, 2e-4, 0.0, -2e-4), strict=True)]
        entry = summarise(results({("skin", "plain"): A, ("skin", "slightly"): slightly}), ["mcc"])[1]
        assert entry.p_corrected < 0.001 and entry.standing == "equivalent"

    def test_identical_rows_of_collapsed_models_are_no_tie_for_best(self):
        scores = {("skin", name): [0.2] * 5 for name in ("plain", "mixup")} | {("skin", "poor"): [0.1, 0.14, 0.12, 0.11, 0.15]}
        plain, mixup, poor = summarise(results(scores), ["mcc"])
        assert [entry.standing for entry in (plain, mixup, poor)] == ["tied", "tied", "worse"]
        assert mixup.identical and np.isnan([mixup.difference.p, mixup.chances.equivalent, mixup.detectable]).all()
        assert poor.p_corrected == poor.difference.p  # nothing was tested of the other
        text = make_tables(results(scores), (), "md")
        assert "| plain | 20.0 |" in text and "| mixup | 20.0 |" in text and "| mixup | identical |" in text
        assert "or the same score in every fold or training, as collapsed models have" not in text  # there is no mark
        both = results({**scores, ("skin", "other"): [0.21, 0.18, 0.2, 0.19, 0.2]})
        assert "or the same score in every fold or training, as collapsed models have" in make_tables(both, (), "md")

    def test_a_lower_score_that_is_better(self, monkeypatch):
        monkeypatch.setattr(summary, "METRICS", {"mcc": replace(METRICS["mcc"], higher_is_better=False)})
        plain, good = summarise(results({("skin", "plain"): A, ("skin", "good"): B}), ["mcc"])
        assert (plain.standing, good.standing) == ("best", "worse")
        assert good.chances.worse > 0.95

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
        assert np.isnan(hare.rank) and hare.standing == "untested"
        assert (good.rank, good.standing) == (1, "best")
        assert (plain.rank, plain.standing) == (2, "worse")

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
        assert entry.folds == 0 and np.isnan(entry.mean.mean) and entry.standing == "untested"
        text = make_tables(results({("skin", "plain"): [np.nan] * 3, ("skin", "good"): [np.nan] * 3}), (), "md")
        assert "nan" not in text and not re.search(r"–[*=?]", text)

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
        rows = re.findall(r"\| (plain|good|wild) \| (.*) \|", text.split("### ")[1])
        for (name, cell), values, mark in zip(rows, (A, B, C), ("", "*", "?"), strict=True):
            half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 4) * np.var(values, ddof=1))
            ends = ", ".join(f"{100 * end:.1f}" for end in (np.mean(values) - half, np.mean(values) + half))
            assert cell == f"{100 * np.mean(values):.1f} [{ends}]{mark}", name
        assert re.search(r"\| good \| \+4\.4 \[2\.\d, 6\.\d\] p=0\.00\d \|", text)
        assert re.search(r"\| good \| (9\d|>99) / <?\d / <1, \d\.\d \|", text)
        assert "differ by at most 1 point with a probability of 95 %" in text
        assert "differ by at most 2.5 points" in make_tables(replace(found, margin=0.025), (), "md")
        assert "Mean ranks" not in text  # over one data set they would say nothing new
        for grid in text.split("### ")[1:]:
            widths = {line.count("|") for line in grid.splitlines() if line.startswith("|")}
            assert len(widths) == 1

    def test_intervals_end_where_scores_do(self):
        wide = summarise(results({("skin", "plain"): [0.05, 0.9], ("skin", "other"): [0.1, 0.8]}), ["mcc"])[0]
        for metric, lowest in (("mcc", "-100.0"), ("macro_f1", "0.0")):
            assert score_cell(replace(wide, metric=metric)) == f"47.5 [{lowest}, 100.0]"

    def test_a_very_small_p(self):
        steady = [value + 0.2 + 1e-4 * fold for fold, value in enumerate(A)]
        text = make_tables(results({("skin", "plain"): A, ("skin", "good"): steady}), ("mcc",), "md")
        assert re.search(r"\| good \| \+20\.0 \[20\.0, 20\.0\] p<0\.001 \|", text)

    def test_p_has_three_decimals_where_they_decide(self):
        entry = summarise(results({("skin", "plain"): A, ("skin", "good"): B}), ["mcc"])[1]
        shown = {0.0494: "p=0.049", 0.0996: "p=0.100", 0.1234: "p=0.12", 0.0042: "p=0.004", 0.0001: "p<0.001"}
        for p, text in shown.items():
            assert difference_cell(replace(entry, p_corrected=p)).endswith(f" {text}")

    def test_mean_ranks_of_several_data_sets(self):
        found = results({("skin", "plain"): A, ("skin", "good"): B, ("eye", "plain"): A, ("eye", "good"): B})
        text = make_tables(found, ("mcc",), "md").split("### Mean ranks")[1]
        assert "| plain | 2.0 |" in text and "| good | 1.0 |" in text
        assert "over 2 combinations of data set and backbone" in text

    def test_latex_is_escaped_and_balanced(self, found):
        text = make_tables(found, (), "latex")
        assert r"Scores on skin \& co" in text
        assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
        assert not re.search(r"(?<!\\)[%_#]", text)
        failing = results({("skin", "plain"): A}, finished=5, planned=9, failed=(("skin · good", "50% & $x_1"),))
        assert "% Failed: skin · good: 50% & $x_1" in make_tables(failing, (), "latex").splitlines()

    def test_csv_has_all_numbers(self, found):
        table = pd.read_csv(io.StringIO(make_tables(found, (), "csv")))
        assert table["method"].tolist() == ["plain", "good", "wild"]
        assert table.loc[1, "difference"] == pytest.approx(0.044)
        assert table["standing"].tolist() == ["worse", "best", "undecided"]
        assert table.loc[1, ["better", "equivalent", "worse"]].sum() == pytest.approx(1) and table.loc[1, "detectable"] > 0

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
        assert re.search(r"\| plain \| 61\.0 \[.*\]\* \|", text)
        assert re.search(r"\| good \| 60\.0 \[.*\] \(3 of 5\) \|", text)
        assert re.search(r"\| good \| .* p=0\.\d+ \(3 of 5\) \|", text)
        assert text.count("(n of m): over n of the m folds, as the score is undefined or missing in the others") == 2
        assert "(n of m)" not in make_tables(results({("skin", "plain"): A, ("skin", "good"): B}), (), "md")
        # Also where no method has all of them.
        assert "(3 of 5)" in make_tables(results({("skin", "plain"): collapsed}), (), "md")
        table = pd.read_csv(io.StringIO(make_tables(found, (), "csv")))
        assert table.loc[1, ["divisions", "folds", "pairs"]].tolist() == [5, 3, 3]

    def test_one_fold_has_no_p(self):
        text = make_tables(results({("skin", "plain"): A[:1], ("skin", "good"): B[:1]}), (), "md")
        assert "p=" not in text and "Probabilities" not in text
        assert "nan" not in text and "| plain | 60.0 |" in text and "*" not in text

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
        assert re.search(r"\| plain \| 61\.0 \[.*\]† \|", skin) and re.search(r"\| good \| 65\.4 \[.*\]\*† \|", skin)
        assert re.search(r"\| plain \| 61\.0 \[.*\]\* \|", eye)
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
        assert "Score of one training on the test split [95 % bootstrap interval over its images]" in text
        assert "over the images alone (paired bootstrap)" in text
        assert text.count("differences are those of these two trained models, not of two methods: no p-value and no mark") == 2
        assert not re.search(r"p[=<]\d", text) and "]*" not in text and "Probabilities" not in text
        assert {entry.standing for entry in summarise(found, ["mcc"])} == {"untested"}

    def test_each_methods_draws_are_made_once(self, tmp_path, monkeypatch):
        found = self.on_a_given_test_part(tmp_path, ["plain", "good", "wild"])
        drawn, advanced = [], []
        real = comparisons.replicate
        monkeypatch.setattr(comparisons, "replicate", lambda *a, **k: drawn.append(k["metrics"]) or real(*a, **k))

        @contextmanager
        def bar(description, total):
            advanced.append(total)
            yield lambda done: advanced.append(-done)

        monkeypatch.setattr(summary, "progress_bar", bar)
        summarise(found, ["mcc", "accuracy"])
        assert drawn == [["mcc", "accuracy"]] * 3
        assert advanced == [3, -1, -1, -1]

    def test_several_seeds_on_a_given_test_part(self, tmp_path):
        """Over trainings and images, also where a method has fewer seeds, and of one seed without a test."""
        names, strength = ["plain"] * 3 + ["good"] * 2 + ["single"], [0, 0, 0, 0.5, 0.5, 0.2]
        found = self.on_a_given_test_part(tmp_path, names, strength)
        by_method = {name: list(rows["predictions"]) for name, rows in found.scores.groupby("method")}
        files = [*by_method["good"], *by_method["plain"]]
        models = [Predictions.read(Path(path)) for path in files]
        drawn = replicate(models[0].labels, [each.probabilities for each in models], metrics=["mcc"])
        plain, good, single = summarise(found, ["mcc"])
        assert (plain.trainings, good.trainings, single.trainings) == (3, 2, 1)
        reference = difference_over_trainings(drawn[:2], drawn[2:], "mcc", 60)
        assert (good.difference.mean, good.difference.low, good.p_corrected) == pytest.approx(
            (reference.mean, reference.low, reference.p)
        )
        assert (good.standing, single.standing, single.rank) == ("best", "untested", 2)
        assert np.isnan(single.p_corrected) and single.difference.low < single.difference.high
        text = make_tables(found, ("mcc",), "md")
        assert "Mean of 1 to 3 trainings on the test split [95 % interval over trainings and images]" in text
        assert text.count("these two trained models") == 2 and re.search(r"\| good \| .*\]\* \|", text)
        chances = text.split("### Probabilities against plain")[1]
        assert "| single | – |" in chances and "from the same distribution as the intervals" in chances

    def test_methods_on_other_images_are_not_compared(self, tmp_path):
        found = self.on_a_given_test_part(tmp_path, ["plain", "good"])
        path = Path(found.scores["predictions"].iloc[1])
        replace(Predictions.read(path), images=tuple(f"other {n}" for n in range(60))).write(path)
        with pytest.raises(UsageError, match="all methods to be scored on the same images, but 'good' was on others"):
            summarise(found, ["mcc"])

    def on_a_given_test_part(self, folder, methods, strength=None):
        """Return results of runs of these methods, with predictions of 60 images that are as right as `strength` says."""
        rows, names, labels = [], tuple(map(str, range(60))), np.arange(60) % 3
        for number, method in enumerate(methods):
            path = folder / f"{number}.parquet"
            p = np.random.default_rng(number).dirichlet(np.ones(3), 60)
            p = p + (0 if strength is None else strength[number]) * np.eye(3)[labels]
            p = (p / p.sum(1, keepdims=True)).astype(np.float32)
            Predictions(names, labels, p, ("a", "b", "c"), None, np.full(60, "test")).write(path)
            row = {"data": "skin", "backbone": "net", "method": method, "fold": "r0", "seed": methods[:number].count(method)}
            score = matthews_corrcoef(labels, p.argmax(1))
            rows.append({**row, "test_share": None, "scored": "test", "predictions": str(path), "mcc": score, "accuracy": 0.5})
        found = results({("skin", method): [0.5] for method in methods})
        return Results(**{**vars(found), "scores": pd.DataFrame(rows)})


def test_grids_render_alike():
    found = results({("skin", "plain"): A, ("skin", "good"): B})
    for grid in grids(found, summarise(found, ["mcc"])):
        assert all(len(row) == len(grid.header) for row in grid.rows)
        assert markdown(grid).count("\n| ") == len(grid.rows) + 1
        assert latex(grid).count(r" \\") == len(grid.rows) + 1
