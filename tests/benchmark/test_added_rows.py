"""Predictions of another program as a row of a benchmark: the same images in every fold, tests as for any method."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef

from balanced_mixup.benchmark.added_rows import add_predictions
from balanced_mixup.benchmark.benchmark_folder import BENCHMARK_FILE, BenchmarkFolder, Index, PlannedRun
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.benchmark.summary import summarise
from balanced_mixup.benchmark.tables import make_tables, table
from balanced_mixup.cli import run as command
from balanced_mixup.errors import DataError, UsageError
from balanced_mixup.report.write import write_report
from balanced_mixup.runs.formats import METRICS_FILE, write_file
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import Scores
from balanced_mixup.training.recipe import make_recipe

CLASSES = ("a", "b", "c")
FOLDS = ("r0f0", "r0f1", "r0f2")


def write_runs(folder, folds=FOLDS, share=0.5, seeds=(0, 1), backbones=("net",), repeat=False):
    """Write a benchmark of two methods as far as tables and reports read it: 30 images a fold, no training."""
    runs = []
    for fold, method, seed, backbone in itertools.product(folds, ("instance", "class"), seeds, backbones):
        rng = np.random.default_rng(len(runs))
        first = 0 if repeat else 30 * folds.index(fold)
        labels = np.arange(30) % 3
        p = rng.dirichlet(np.ones(3), 30) * 0.6 + 0.4 * np.eye(3)[labels]
        names = tuple(f"x/{first + row:03}.png" for row in range(30))
        found = Predictions(names, labels, p.astype(np.float32), CLASSES, None, np.full(30, "test"))
        own = RunFolder(folder / "runs" / f"{method}-{fold}-{seed}-{backbone}")
        own.path.mkdir(parents=True)
        found.write(own.predictions)
        write_file(own.metrics, {"test": Scores.of(found, replicates=20).to_dict()}, METRICS_FILE)
        card = {"backbone": "net", "ordinal": False, "size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3}
        ModelCard(classes=CLASSES, head={"name": "softmax"}, **card).write(own.model)
        own.recipe.write_text(make_recipe({"data": "x.csv"}).to_yaml())
        images = {"image": ["t1", "t2", *names], "label": ["a", "b", *np.array(CLASSES)[labels]]}
        pd.DataFrame({**images, "group": "", "split": ["train"] * 2 + ["test"] * 30, "digest": "0"}).to_csv(
            own.manifest, index=False
        )
        where = str(own.path.relative_to(folder))
        runs.append(
            PlannedRun("cells", method, backbone, fold, seed, "test", share, {}, where, f"d-{fold}", where, None, {}, {})
        )
    write_file(BenchmarkFolder(folder).index, asdict(Index(runs, "instance", ("mcc",), "honest")), BENCHMARK_FILE)
    return folder


@pytest.fixture
def benchmark(tmp_path):
    return write_runs(tmp_path / "plan")


def table_of_others(images=90, seed=5):
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    p = rng.dirichlet(np.ones(3), images) * 0.65 + 0.35 * np.eye(3)[labels]
    return pd.DataFrame({"image": [f"{row:03}" for row in range(images)], **dict(zip(CLASSES, p.T, strict=True))})


@pytest.fixture
def theirs(tmp_path):
    table_of_others().to_csv(tmp_path / "theirs.csv", index=False)
    return tmp_path / "theirs.csv"


class TestRow:
    def test_is_scored_fold_by_fold(self, benchmark, theirs):
        add_predictions(benchmark, theirs)
        found = read_results(benchmark)
        assert (found.methods, found.added) == (("instance", "class", "theirs"), ("theirs",))
        others = table_of_others()
        predicted, labels = others[list(CLASSES)].to_numpy().argmax(1), np.arange(90) % 3
        by_hand = [matthews_corrcoef(labels[k : k + 30], predicted[k : k + 30]) for k in (0, 30, 60)]
        own = found.scores[found.scores["method"] == "theirs"]
        assert own["mcc"].tolist() == pytest.approx(by_hand)
        assert (own["test_share"] == 0.5).all()
        entries = {entry.method: entry for entry in summarise(found, ["mcc"])}
        entry = entries["theirs"]
        assert (entry.folds, entry.divisions, entry.pairs) == (3, 3, 3)
        # The other side of the difference is the mean over the seeds.
        instance = found.scores[found.scores["method"] == "instance"].groupby("fold")["mcc"].mean().to_numpy()
        assert entry.difference.mean == pytest.approx(np.mean(by_hand) - instance.mean())
        assert {entry.rank for entry in entries.values()} == {1, 2, 3}

    def test_does_not_change_the_others(self, benchmark, theirs):
        before = {entry.method: entry for entry in summarise(read_results(benchmark), ["mcc"])}
        add_predictions(benchmark, theirs)
        for entry in summarise(read_results(benchmark), ["mcc"])[:2]:
            other = before[entry.method]
            assert (entry.median, entry.difference.mean, entry.difference.p) == pytest.approx(
                (other.median, other.difference.mean, other.difference.p), nan_ok=True
            )

    def test_stands_beside_every_backbone(self, tmp_path, theirs):
        folder = write_runs(tmp_path / "two", backbones=("net", "large"))
        add_predictions(folder, theirs)
        entries = summarise(read_results(folder), ["mcc"])
        own = [entry for entry in entries if entry.method == "theirs"]
        assert [entry.backbone for entry in own] == ["net", "large"]
        assert own[0].median == own[1].median

    def test_in_tables_and_report(self, benchmark, theirs):
        add_predictions(benchmark, theirs, "their net")
        text = make_tables(read_results(benchmark), (), "md")
        assert text.count("| their net |") == 3
        assert "their net: predictions of another program on the same images of cells." in text
        runs = make_tables(read_results(benchmark), (), "runs").splitlines()
        assert sum(line.startswith("cells,,their net,r0f") for line in runs) == 3
        page = write_report(benchmark).read_text(encoding="utf-8")
        assert "3 methods on cells" in page and "their net" in page
        recall = pd.read_csv(benchmark / "report-figures" / "rarity-1.csv")
        assert "their net" in recall["method"].tolist()

    def test_in_the_data_frame_of_the_table(self, benchmark, theirs):
        add_predictions(benchmark, theirs)
        found = table(benchmark, ["mcc", "accuracy"])
        assert found["method"].tolist() == ["instance", "class", "theirs"] * 2
        assert table(benchmark, form="md") == make_tables(read_results(benchmark), (), "md")
        with pytest.raises(UsageError, match=r"Expected a metric among .*, but got 'kapa'"):
            table(benchmark, ["kapa"])

    def test_can_be_the_baseline(self, benchmark, theirs):
        add_predictions(benchmark, theirs)
        assert "Difference to theirs on cells" in make_tables(read_results(benchmark, "theirs"), (), "md")

    def test_on_a_given_test_split(self, tmp_path, theirs):
        folder = write_runs(tmp_path / "given", ("r0",), None)
        add_predictions(folder, theirs)
        entry = summarise(read_results(folder), ["mcc"])[2]
        assert not entry.in_folds and entry.mean.low < entry.mean.mean < entry.mean.high
        assert entry.difference.low < entry.difference.high

    def test_of_class_answers(self, tmp_path):
        folder = write_runs(tmp_path / "given", ("r0",), None)
        answers = pd.DataFrame({"image": [f"{row:03}" for row in range(30)], "prediction": ["a", "b", "c"] * 9 + ["a"] * 3})
        answers.to_csv(tmp_path / "answers.csv", index=False)
        add_predictions(folder, tmp_path / "answers.csv")
        auc, mcc = summarise(read_results(folder), ["macro_auc"])[2], summarise(read_results(folder), ["mcc"])[2]
        assert np.isnan(auc.mean.mean) and np.isnan(auc.difference.mean)
        assert mcc.mean.mean > 0.8


class TestFolds:
    def repeated(self, tmp_path):
        """Return a benchmark whose two folds have the same images, as repeats do, with another prediction in each."""
        folder = write_runs(tmp_path / "repeats", ("r0f0", "r1f0"), repeat=True)
        return folder, [table_of_others(30, seed) for seed in (1, 2)]

    def test_are_named_by_a_column(self, tmp_path):
        folder, tables = self.repeated(tmp_path)
        both = pd.concat([tables[0].assign(part="r0f0"), tables[1].assign(part="r1f0")])
        add_predictions(folder, both, "theirs", fold_column="part")
        own = read_results(folder).scores.query("method == 'theirs'")["mcc"]
        assert own.nunique() == 2
        with pytest.raises(DataError, match="image predicted twice"):
            add_predictions(folder, both, "again")  # the column is not named

    def test_are_named_by_files(self, tmp_path):
        folder, tables = self.repeated(tmp_path)
        (tmp_path / "files").mkdir()
        tables[0].to_csv(tmp_path / "files/r0f0.csv", index=False)
        with pytest.raises(UsageError, match=r"one table for the fold r1f0 in .*such as r1f0\.csv, but found none"):
            add_predictions(folder, tmp_path / "files")
        tables[1].to_csv(tmp_path / "files/r1f0.csv", index=False)
        assert add_predictions(folder, tmp_path / "files").folds == {"r0f0": "d-r0f0", "r1f0": "d-r1f0"}

    def test_are_numbers_of_a_single_repeat(self, benchmark):
        table = table_of_others().assign(fold=np.repeat([0, 1, 2], 30))
        assert list(add_predictions(benchmark, table, "theirs").folds) == list(FOLDS)
        with pytest.raises(UsageError, match="predictions for the fold r0f2, but the column with the fold has only: 0, 1"):
            add_predictions(benchmark, table[table["fold"] < 2], "again")


class TestRefused:
    def test_missing_images(self, benchmark, theirs):
        with pytest.raises(DataError, match=r"(?s)image without a prediction \(2\)\n  - r0f1: x/040\.png: not among"):
            add_predictions(benchmark, table_of_others().drop(index=[40, 41]), "theirs")
        assert not (benchmark / "predictions").exists()

    def test_names_that_are_taken(self, benchmark, theirs):
        with pytest.raises(UsageError, match="a `name` that no method of the benchmark has, but got 'class'"):
            add_predictions(benchmark, theirs, "class")
        add_predictions(benchmark, theirs)
        with pytest.raises(UsageError, match=r"has a row 'theirs' for cells already.*--overwrite"):
            add_predictions(benchmark, theirs)
        better = table_of_others()
        better[list(CLASSES)] = np.eye(3)[np.arange(90) % 3]
        add_predictions(benchmark, better, "theirs", overwrite=True)
        assert (read_results(benchmark).scores.query("method == 'theirs'")["mcc"] == 1).all()

    def test_classes_that_the_benchmark_lacks(self, benchmark):
        table = table_of_others()[["image"]].assign(prediction="d")
        with pytest.raises(DataError, match="the predictions have the class 'd', which --classes lacks"):
            add_predictions(benchmark, table, "theirs")

    def test_folds_without_a_finished_run(self, benchmark, theirs):
        for path in (benchmark / "runs").glob("*-r0f1-*"):
            (path / "metrics.json").unlink()
        with pytest.raises(UsageError, match="a finished run in every fold, but there is none in r0f1"):
            add_predictions(benchmark, theirs)

    def test_other_data(self, benchmark, theirs):
        with pytest.raises(UsageError, match=r"one of the data sets of the benchmark \(cells\), but got 'cell'\. Did you mean"):
            add_predictions(benchmark, theirs, data="cell")

    def test_folds_that_have_changed_since(self, benchmark, theirs):
        add_predictions(benchmark, theirs)
        index = json.loads((benchmark / "benchmark.json").read_text())
        for run in index["runs"]:
            run["data_fingerprint"] += "-new"
        (benchmark / "benchmark.json").write_text(json.dumps(index))
        found = read_results(benchmark)
        assert found.added == ()
        text = make_tables(found, (), "md")
        assert "theirs is not shown: the folds of cells have changed since it was added. Add it again." in text


def test_command(benchmark, theirs, capsys):
    arguments = ["evaluate", str(benchmark), "--predictions", str(theirs), "--name", "their net"]
    assert command(arguments) == 0
    assert f"their net is scored in 3 folds of cells. Table: bmixup table {benchmark}" in capsys.readouterr().out
    assert command(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command(["table", str(benchmark)]) == 0
    assert "| their net |" in capsys.readouterr().out


def test_nothing_is_said_of_the_images_of_other_folds(benchmark, theirs, caplog):
    add_predictions(benchmark, theirs)
    assert "image without a label" not in caplog.text
