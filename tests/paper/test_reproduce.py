"""The paper's tables made again: the plans are its settings, and ours stand beside what it printed."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml

from balanced_mixup.benchmark.results import Results, read_results
from balanced_mixup.benchmark.summary import summarise
from balanced_mixup.benchmark.variants import method_variants
from balanced_mixup.cli import run
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.paper.published import published_table
from balanced_mixup.paper.reproduce import TABLES, Quick, find_data, paper_plan, with_published
from balanced_mixup.training.recipe import make_recipe


def prepared(folder, blobs, name):
    """Write the blobs as `bmixup prepare` leaves a data set of that name."""
    folder.mkdir(parents=True)
    (folder / "images").symlink_to(blobs)
    lines = (blobs / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join(["image,label,group", *("images/" + line for line in lines[1:])]))
    about = {
        "name": name,
        "title": name,
        "classes": ["red", "green", "blue"],
        "ordinal": False,
        "columns": {"image": "image", "label": "label", "group": "group"},
    }
    (folder / "prepare.yaml").write_text("{}")
    (folder / "dataset.yaml").write_text(yaml.safe_dump(about))
    return folder


class TestPlans:
    def test_the_papers_settings(self, blobs, tmp_path):
        prepared(tmp_path / "hyperkvasir", blobs, "hyperkvasir")
        plan = paper_plan(TABLES["table3"], tmp_path, None, "paper")
        assert plan.backbones == ["mobilenetv2_100", "resnetv2_50x1_bit.goog_in21k"]
        assert (plan.folds, plan.protocol, plan.metrics) == (5, "paper", ["mcc", "balanced_accuracy", "macro_f1"])
        labels = [variant.label for variant in method_variants(plan.methods)]
        assert labels == [
            "class",
            "instance",
            "sqrt",
            "focal",
            "cb-loss",
            *(f"balanced-mixup alpha={a}" for a in (0.1, 0.2, 0.3)),
        ]
        recipe = make_recipe(plan.settings)
        assert (recipe.size, recipe.batch_size, recipe.optimizer, recipe.method.weight_per) == (512, 8, "sgd", "batch")
        assert plan.data["hyperkvasir"].scheme == "folds"

    def test_messidor_is_scored_without_training(self, blobs, tmp_path):
        for name in ("eyepacs", "messidor2"):
            prepared(tmp_path / name, blobs, name)
        plan = paper_plan(TABLES["table2"], tmp_path, None, "paper")
        assert plan.data["eyepacs"].scheme == "given"
        assert plan.data["eyepacs"].external["messidor2"].data == str(tmp_path / "messidor2")

    def test_quick_takes_any_prepared_data(self, blobs, tmp_path):
        folder = prepared(tmp_path / "mine", blobs, "aptos2019")
        plan = paper_plan(TABLES["table1"], folder, Quick(images=50, epochs=2), "honest")
        assert (plan.folds, plan.protocol, plan.backbones) == (5, "honest", ["tf_efficientnet_lite0"])
        assert plan.data["aptos2019"].images_at_most == 50
        with pytest.raises(UsageError, match=r"Expected the prepared data set eyepacs in .*`bmixup prepare eyepacs --root RAW"):
            paper_plan(TABLES["table1"], folder, None, "paper")

    def test_damaged(self, tmp_path):
        (tmp_path / "dataset.yaml").write_text("- no\n- mapping\n")
        with pytest.raises(UsageError, match="to describe a prepared data set, but"):
            find_data(tmp_path, "eyepacs")
        with pytest.raises(UsageError, match=r"to be a folder made by `bmixup prepare`"):
            find_data(tmp_path / "none", None)


def test_beside_the_published_on_the_same_data():
    rows = [
        {"data": "hyperkvasir", "backbone": backbone, "method": method, "fold": f"r0f{fold}", "seed": 0, "test_share": 0.25}
        | dict.fromkeys(METRICS, 0.9 + fold / 100)
        for backbone in ("mobilenetv2_100", "resnetv2_50x1_bit.goog_in21k")
        for method in ("instance", "mixup", "balanced-mixup alpha=0.2")
        for fold in range(5)
    ]
    found = Results(
        pd.DataFrame(rows), ("instance", "mixup", "balanced-mixup alpha=0.2"), "instance", (), "paper", (), 30, 30, ()
    )
    (grid,) = with_published(TABLES["table3"], summarise(found, TABLES["table3"].metrics))
    assert grid.header[:4] == ("method", "MCC, MobileNet V2: ours", "published", "difference")
    assert len(grid.header) == 1 + 2 * 3 * 3
    table = published_table(3)
    printed = table[(table["alpha"] == 0.2) & (table["metric"] == "macro_f1")]["value"].tolist()
    last = grid.rows[2]
    assert last[0] == "balanced-mixup alpha=0.2"
    assert last[7:10] == ("92.0 [90.0, 94.0]", f"{100 * printed[0]:.1f}", f"{92 - 100 * printed[0]:+.1f}")
    assert last[16:19] == ("92.0 [90.0, 94.0]", f"{100 * printed[1]:.1f}", f"{92 - 100 * printed[1]:+.1f}")
    assert grid.rows[1][1:4] == ("92.0 [90.0, 94.0]", "–", "–")  # the paper has no MixUp


@pytest.mark.slow
def test_quick_from_the_command_to_the_table(blobs, tmp_path, capsys):
    """Its medians, spreads and published figures are recomputed from the predictions and the paper."""
    folder = prepared(tmp_path / "mine", blobs, "ham10000")
    flags = ["--quick", "--data", str(folder), "--out", str(tmp_path / "out"), "--size", "32", "--epochs", "1", "--jobs", "2"]
    assert run(["reproduce", "table3", *flags, "--accelerator", "cpu"]) == 0
    text = (tmp_path / "out/table3.md").read_text()
    assert "cannot be compared" in text and "so scores are optimistic" in text
    found = read_results(tmp_path / "out/quick")
    assert len(found.scores) == 8 * 5
    published = published_table(3)
    for method, runs in found.scores.groupby("method"):
        scores = []
        for path in runs["predictions"]:
            table = pd.read_parquet(path).query("split == 'val'")
            recalls = [(part["prediction"] == part["label"]).mean() for _, part in table.groupby("label")]
            scores.append(100 * np.mean(recalls))
        cell = f"{np.median(scores):.1f} [{min(scores):.1f}, {max(scores):.1f}]"
        name, _, alpha = method.partition(" alpha=")
        theirs = published[(published["method"] == name) & (published["backbone"] == "mobilenetv2_100")]
        theirs = theirs[theirs["metric"] == "balanced_accuracy"]
        if alpha:
            theirs = theirs[theirs["alpha"] == float(alpha)]
        assert re.search(
            rf"\| {re.escape(method)} \|[^\n]*\| {re.escape(cell)} \| {100 * theirs['value'].iloc[0]:.1f} \|", text
        )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["table1"], "Expected --data with table1"),
        (["table1", "--data", ".", "--images", "10"], "Expected --images only with --quick"),
        (["table9"], "Invalid value"),
        (["figure1", "--jobs", "2", "--quick"], "Expected --quick, --jobs only with tables, but got figure1"),
        (["figure2", "--protocol", "paper", "--accelerator", "cpu"], "Expected --protocol, --accelerator only with tables"),
        (["figure2", "--dry-run"], "Expected --dry-run only with tables"),
        (["figure3", "--data", "."], "Expected --data only with tables, but got figure3"),
    ],
)
def test_bad_use(arguments, message, capsys):
    assert run(["reproduce", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_dry_run_of_all_writes_nothing(blobs, tmp_path, capsys):
    folder = prepared(tmp_path / "mine", blobs, "ham10000")
    flags = ["--quick", "--data", str(folder), "--out", str(tmp_path / "out"), "--size", "32", "--accelerator", "cpu"]
    assert run(["reproduce", "all", "--dry-run", *flags]) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [1, 3])  # 2, which trains, is slow (below), and tested as a function
def test_figures(number, tmp_path, capsys):
    assert run(["reproduce", f"figure{number}", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"figure{number}.{kind}" for kind in ("svg", "png", "csv")}


@pytest.mark.slow
def test_figures_of_data(blobs, tmp_path, capsys):
    folder = prepared(tmp_path / "mine", blobs, "aptos2019")
    for number in (1, 2):
        assert run(["reproduce", f"figure{number}", "--data", str(folder), "--out", str(tmp_path / "out")]) == 0
    counts = pd.read_csv(tmp_path / "out/figure1.csv")
    assert sorted(counts["count"]) == [10, 20, 60]
