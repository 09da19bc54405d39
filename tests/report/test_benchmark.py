"""The report of a benchmark says what its runs say."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from balanced_mixup import UsageError
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.benchmark.collapses import collapse_notes
from balanced_mixup.benchmark.engine import run_benchmark
from balanced_mixup.benchmark.plan import make_plan
from balanced_mixup.benchmark.results import Results, read_results
from balanced_mixup.benchmark.summary import summarise
from balanced_mixup.benchmark.tables import make_tables
from balanced_mixup.cli import run as command
from balanced_mixup.report import write
from balanced_mixup.report.benchmark_report import _ranking, benchmark_report
from balanced_mixup.report.document import Chart, Document, Listing, Note, Table, Text
from balanced_mixup.report.write import write_report


@pytest.fixture(scope="module")
def benchmark(blobs, tmp_path_factory):
    plan = {
        "data": {"blobs": {"data": str(blobs / "labels.csv"), "group_column": "patient"}},
        "methods": ["instance", "balanced-mixup"],
        "backbones": ["test_efficientnet"],
        "folds": 2,
        "settings": {"size": 32, "epochs": 1, "batch_size": 8, "weights": "none", "accelerator": "cpu"},
        "metrics": ["mcc", "balanced_accuracy"],
    }
    out = tmp_path_factory.mktemp("benchmark")
    assert not run_benchmark(make_plan(plan), out, jobs=2).failed
    return out


@pytest.fixture(scope="module")
def report(benchmark):
    return benchmark_report(benchmark, benchmark)


def blocks(report, section, kind):
    (found,) = [part for part in report.sections if part.name == section]
    return [block for block in found.blocks if isinstance(block, kind)]


def test_every_part_is_there(report, benchmark):
    assert [chart.name for chart in report.charts()] == ["differences", "ranks", "rarity-1", "cost-1"]
    # Runs of one epoch have collapsed, as the tables say, too; nothing else is to be said.
    corrected, *notes = [block.text for section in report.sections for block in section.blocks if isinstance(block, Note)]
    assert corrected.startswith("instance, uniform prior and balanced-mixup, uniform prior: the same trainings, ")
    assert notes == collapse_notes(read_results(benchmark)) == [block.text for block in blocks(report, "summary", Note)][1:]
    assert notes and all(note in make_tables(read_results(benchmark), (), "md") for note in notes)
    assert all(note.startswith(("† blobs: ", "blobs: no image found in any run")) for note in notes)


def test_differences_are_those_of_the_runs(report, benchmark):
    rows = blocks(report, "tables", Chart)[0].drawing.numbers
    scores = read_results(benchmark).scores.set_index(["method", "fold"])
    for label, metric in (("balanced accuracy", "balanced_accuracy"), ("MCC", "mcc")):
        for method in ("balanced-mixup",):
            (row,) = rows[(rows["group"] == f"blobs · {label}") & (rows["label"] == method)].to_dict("records")
            paired = scores.loc[method][metric] - scores.loc["instance"][metric]
            assert row["value"] == pytest.approx(paired.mean())
            assert row["low"] < row["value"] < row["high"] or math.isclose(row["low"], row["high"])


def test_recall_by_rarity(report, benchmark):
    rows = blocks(report, "rarity", Chart)[0].drawing.numbers
    assert rows["method"].iloc[0] == "instance"
    for method in ("instance", "balanced-mixup"):
        recalls = [
            json.loads(path.read_text())["test"]["per_class"]["blue"]["recall"]["value"]
            for path in benchmark.glob(f"runs/blobs-{method}-*/metrics.json")
        ]
        (row,) = rows[(rows["method"] == method) & (rows["class"] == "blue")].to_dict("records")
        assert (row["recall"], row["low"], row["high"]) == (np.median(recalls), min(recalls), max(recalls))


def test_every_run_that_has_a_page_is_linked(benchmark, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(benchmark, tmp_path / "copy"))
    index = json.loads((folder / "benchmark.json").read_text())
    (folder / "benchmark.json").write_text(json.dumps({**index, "runs": index["runs"][:2]}))
    (table,) = blocks(benchmark_report(folder, folder), "runs", Table)
    assert list(table.links) == [""] * 2 and f"`bmixup report {folder} --runs` writes a report" in table.caption
    for row, run in zip(table.rows, BenchmarkFolder(folder).read().runs, strict=True):
        scores = json.loads((folder / run.folder / "metrics.json").read_text())["test"]["metrics"]
        assert row == [run.title, *(f"{scores[name]['value']:.3f}" for name in ("mcc", "balanced_accuracy")), "finished"]
    one = folder / index["runs"][0]["folder"]
    (one / "report.html").write_text("")
    (table,) = blocks(benchmark_report(folder, folder), "runs", Table)
    assert list(table.links) == [f"{one.relative_to(folder)}/report.html", ""]
    short = Document("The report of a run", "", [])
    monkeypatch.setattr(write, "make_report", lambda path, at: short if "runs" in path.parts else benchmark_report(path, at))
    assert command(["report", str(folder), "--runs"]) == 0
    (table,) = blocks(benchmark_report(folder, folder), "runs", Table)
    assert len(table.links) == 2 and all("The report of a run" in (folder / link).read_text() for link in table.links)
    with pytest.raises(UsageError, match=r"Expected `runs` with the report of a benchmark, but '.*' is not the folder of one"):
        write_report(one, runs=True)


def test_sentences_name_the_best(report, benchmark):
    (listing,) = blocks(report, "summary", Listing)
    *standings, rarest = listing.items
    metrics = {"MCC": "mcc", "balanced accuracy": "balanced_accuracy"}
    assert [item.split(": ")[0] for item in standings] == [f"blobs, test_efficientnet, {label}" for label in metrics]
    means = read_results(benchmark).scores.groupby("method")[list(metrics.values())].mean()
    for item, metric in zip(standings, metrics.values(), strict=True):
        best = means[metric].idxmax()
        assert f": {best} has the best mean, {100 * means[metric][best]:.1f}%." in item
    chart = blocks(report, "rarity", Chart)[0]
    blue = chart.drawing.numbers[chart.drawing.numbers["class"] == "blue"]
    found = ", ".join(f"{row.method} {100 * row.recall:.0f}%" for row in blue.itertuples())
    images = f"{blue['images'].iloc[0]:,.0f}"
    assert rarest.startswith(f"blobs, recall of blue, the rarest class ({images} training images, at least ")
    assert rarest.endswith(f": {found}. Of so few, a single image changes it a lot.")
    texts = [block.text for block in blocks(report, "summary", Text)]
    tested = len(blocks(report, "tables", Chart)[0].drawing.numbers["p"].dropna())
    assert any(text.startswith(f"Comparisons: {tested} differences from instance tested, by 2 scores") for text in texts)
    assert tested >= 4  # balanced-mixup and the corrected rows; one that is identical to the baseline is not tested


def ranking(scores, test_share=0.25):
    """Return the sentence on methods with these MCCs: {method: [a score for each fold]}."""
    rows = [
        {
            "data": "skin",
            "backbone": "net",
            "method": method,
            "fold": f"r0f{fold}",
            "seed": 0,
            "test_share": test_share,
            "mcc": value,
        }
        for method, values in scores.items()
        for fold, value in enumerate(values)
    ]
    found = Results(pd.DataFrame(rows), tuple(scores), next(iter(scores)), ("mcc",), "honest", (), len(rows), len(rows), ())
    return _ranking(summarise(found, ["mcc"]), found.baseline)


def test_sentences_on_the_standing_of_methods():
    plain = np.array([0.60, 0.62, 0.58, 0.64, 0.61])
    close = plain + np.array([0.001, -0.001, 0.002, 0.0, -0.003])
    wild = plain + np.array([0.1, -0.12, 0.05, -0.2, 0.09])
    poor = plain - np.array([0.1, 0.11, 0.1, 0.12, 0.1])
    text = ranking({"plain": plain, "close": close, "wild": wild, "poor": poor})
    assert text.startswith("plain has the best mean, 61.0%. Equivalent to it: close. Not enough data to tell from it: wild. ")
    assert "Significantly worse: poor. Significantly different from plain, in percentage points: poor (-10.6)." in text
    assert ranking({"plain": plain[:1], "close": close[:1]}).endswith("With a single fold, differences cannot be tested.")
    collapsed = ranking({"plain": [0.2] * 5, "mixup": [0.2] * 5, "poor": [0.1, 0.12, 0.11, 0.13, 0.1]})
    assert collapsed.startswith(
        "plain and mixup have the same score in every fold or training, 20.0%: none of them is the best."
    )


def test_differences_stand_in_the_order_of_the_tables(report):
    groups = blocks(report, "tables", Chart)[0].drawing.numbers["group"]
    assert list(dict.fromkeys(groups)) == ["blobs · MCC", "blobs · balanced accuracy"]


def test_an_unfinished_benchmark_has_a_report(benchmark, tmp_path):
    content = json.loads((benchmark / "benchmark.json").read_text())
    kept = content["runs"][0]
    folder = tmp_path / "part"
    (folder / Path(kept["folder"]).parent).mkdir(parents=True)
    (folder / kept["folder"]).symlink_to(benchmark / kept["folder"])
    (folder / "benchmark.json").write_text(json.dumps(content))
    path = write_report(folder, tmp_path / "report.html")
    text = path.read_text()
    assert "1 of 4 runs are finished; the others are not included." in text
    assert "not finished" in text


def test_none_finished(benchmark, tmp_path):
    (tmp_path / "benchmark.json").write_text((benchmark / "benchmark.json").read_text())
    with pytest.raises(UsageError, match="has no finished run yet"):
        benchmark_report(tmp_path, tmp_path)


def test_the_commands_write_it(tiny_run, blobs, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations", "report*"))
    data = ["--data", str(blobs / "labels.csv")]
    assert command(["evaluate", str(run), *data, "--allow-seen", "--split", "all", "--prior", "uniform"]) == 0
    page = run / "evaluations/labels-all/report.html"
    assert f"Report: {page}" in " ".join(capsys.readouterr().err.split())
    text = page.read_text()
    assert "all images of labels.csv" in text and "Most confident errors" in text and "This section is missing" not in text
