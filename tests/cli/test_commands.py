"""The commands as a user types them: results on standard output, exit status 0, 1 or 2, never a traceback."""

import csv
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from balanced_mixup.cli.listing import example_of
from balanced_mixup.data.images import FileImages
from balanced_mixup.methods import METHODS, Method
from balanced_mixup.metrics import METRICS
from balanced_mixup.training.recipe import make_recipe

# Runs commands that compute nothing in one process, and names those after which torch (or timm, Lightning ...) is loaded.
LIGHT = """
import sys
from balanced_mixup.cli import run

table = sys.argv[1] + "/labels.csv"
labels, predict = ["--data", table], ["predict", sys.argv[2], sys.argv[1]]
commands = {
    0: [["--help"], ["--version"], ["list"], ["list", "backbones"], ["train", "--help"], ["cache"], ["check", *labels]],
    2: [
        ["trian"], ["train", "--nonsense", "1"], ["train", "--epochs", "0"], ["train", "--augmentation", "papper"],
        ["train", "--data", "nowhere.csv"], ["train", *labels, "--label-column", "x"], ["train", *labels, "--classes", "red"],
        ["train", *labels, "--backbone", "resnet51"], ["train", *labels, "--weights", "nowhere.pt"],
        ["predict", "nowhere", "a.png"], ["evaluate", "nowhere"], ["explain", "nowhere", "a.png", "--out", "x"],
        ["report", "nowhere"], ["table", "nowhere"], ["benchmark", "nowhere.yaml"], ["reproduce", "table1"],
        [*predict, "--out", "pred.txt"], [*predict, "--out", table], [*predict, "--prior", table],
        [*predict, "--prior", "unifrom"], [*predict, "--prior", "uniform", "--no-calibrate"],
    ],
}
wrong = []
for status, several in commands.items():
    for command in several:
        found = run(command), sorted({"torch", "timm", "lightning", "torchvision", "sklearn"} & set(sys.modules))
        if found != (status, []):
            wrong.append((command, *found))
sys.exit(str(wrong) if wrong else 0)
"""


def flags(settings):
    return [part for name, value in settings.items() for part in ("--" + name.replace("_", "-"), value)]


class TestTrain:
    def test_from_flags(self, command, tiny, tmp_path):
        status, out, err = command("train", *flags(tiny), "--out", tmp_path / "run", "--alpha", 0.3)
        assert status == 0
        assert "held-out test split" in out and "MCC" in out and "recall" in out
        assert "Epoch 3/3" in err
        files = {path.name for path in (tmp_path / "run").iterdir()}
        assert files == {
            "recipe.yaml", "environment.json", "manifest.csv", "model.json", "history.csv", "weights.safetensors",
            "predictions.parquet", "metrics.json", "calibration.json", "cost.json", "files.json", "train.log",
            "report.html", "report-figures",
        }  # fmt: skip
        assert "alpha: 0.3" in (tmp_path / "run/recipe.yaml").read_text()
        assert "Epoch 3/3" in (tmp_path / "run/train.log").read_text()

    @pytest.mark.parametrize("ordinal", [False, True])
    def test_scores_of_grades_are_told_only_where_classes_are_grades(self, command, tiny, tmp_path, ordinal):
        arguments = flags({**tiny, "epochs": 1}) + (["--ordinal", "--classes", "blue,green,red"] if ordinal else [])
        status, out, err = command("train", *arguments, "--out", tmp_path / "run", "--no-report")
        assert status == 0, err
        again = command("evaluate", tmp_path / "run")[1]
        for text in (out, again, (tmp_path / "run/train.log").read_text()):
            assert ("quadratic kappa" in text) == ordinal

    def test_yaml_under_flags_and_json(self, command, tiny, tmp_path):
        (tmp_path / "mine.yaml").write_text(json.dumps({**tiny, "epochs": 9, "method": "focal"}))
        arguments = ("--config", tmp_path / "mine.yaml", "--epochs", 1, "--json", "--no-report", "--out", tmp_path / "run")
        status, out, _ = command("train", *arguments)
        assert status == 0
        scores = json.loads(out)
        assert set(scores) == {"run", "val", "test", "warnings"}
        assert not {"quadratic_kappa", "kendall_tau"} & set(scores["test"]["metrics"])  # as in the terminal
        assert len(pd.read_csv(tmp_path / "run/history.csv")) == 1
        assert "method: focal" in (tmp_path / "run/recipe.yaml").read_text()

    def test_default_folder_is_a_new_one(self, command, tiny, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for _ in range(2):
            assert command("train", *flags({**tiny, "epochs": 1, "method": "instance"}), "--no-report")[0] == 0
        assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["labels-instance-1", "labels-instance-2"]

    def test_no_test_part_is_said_to_be_no_honest_number(self, command, tiny, tmp_path):
        arguments = {**tiny, "epochs": 1, "test_fraction": 0}
        status, out, _ = command("train", *flags(arguments), "--out", tmp_path / "run", "--no-report")
        assert status == 0
        assert "These are validation scores" in out
        assert "test" not in json.loads((tmp_path / "run/metrics.json").read_text())


class TestRunFolder:
    def test_no_patient_on_two_sides(self, tiny_run):
        table = pd.read_csv(tiny_run / "manifest.csv")
        assert (table.groupby("group")["split"].nunique() == 1).all()
        assert set(table["split"]) == {"train", "val", "test"}

    def test_scores_can_be_recomputed_from_the_predictions(self, tiny_run):
        table = pd.read_parquet(tiny_run / "predictions.parquet")
        test = table[table["split"] == "test"]
        classes = [column.removeprefix("p_") for column in table.columns if column.startswith("p_")]
        y = test["label"].map(classes.index).to_numpy()
        probabilities = test[[f"p_{name}" for name in classes]].to_numpy()
        metrics = json.loads((tiny_run / "metrics.json").read_text())["test"]["metrics"]
        for name, metric in METRICS.items():
            assert metrics[name]["value"] == pytest.approx(metric(y, probabilities))
            low, high = metrics[name]["low"], metrics[name]["high"]
            # A model that takes every image for the same class has the same MCC in every draw: then there is no interval.
            assert (low is None and high is None and name != "accuracy") or low <= metrics[name]["value"] <= high

    def test_environment(self, tiny_run):
        environment = json.loads((tiny_run / "environment.json").read_text())
        assert environment["seed"] == 0
        assert {"python", "torch", "timm", "lightning"} <= set(environment["versions"])
        assert len(environment["data_fingerprint"]) == 32

    def test_it_learns(self, tiny_run):
        history = pd.read_csv(tiny_run / "history.csv")
        assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]


class TestEvaluate:
    def test_what_was_held_out(self, command, tiny_run):
        status, out, _ = command("evaluate", tiny_run, "--json")
        result = json.loads(out)
        assert status == 0
        assert list(result["metrics"]) == [name for name, metric in METRICS.items() if not metric.ordinal]
        assert set(result["metrics"]["mcc"]) == {"value", "low", "high", "warning"}  # of a few images
        assert set(result["per_class"]) == {"red", "green", "blue"}
        assert result["n"] == sum(row["support"] for row in result["per_class"].values())
        recorded = json.loads((tiny_run / "metrics.json").read_text())["test"]
        assert result["metrics"] == {name: recorded["metrics"][name] for name in result["metrics"]}

    def test_external_data_with_their_own_names(self, command, tiny_run, tmp_path):
        rng = np.random.default_rng(1)
        with (tmp_path / "theirs.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "colour"])
            for i, colour in enumerate(["rouge", "vert", "blue"] * 6):
                Image.fromarray(rng.integers(0, 255, (50, 60, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
                writer.writerow([f"{i}.jpg", colour])
        status, out, err = command(
            "evaluate", tiny_run, "--no-report", "--data", tmp_path / "theirs.csv", "--image-column", "file",
            "--label-column", "colour", "--label-map.rouge", "red", "--label-map.vert", "green", "--json",
        )  # fmt: skip
        assert status == 0
        result = json.loads(out)
        assert (result["n"], result["groups"]) == (18, None)
        assert result["warnings"] and all(sentence in err for sentence in result["warnings"])  # they are noise
        table = pd.read_parquet(tiny_run / "evaluations/theirs-all/predictions.parquet")
        assert table["label"].value_counts().to_dict() == {"red": 6, "green": 6, "blue": 6}

    def test_unknown_labels_are_named(self, command, tiny_run, tmp_path):
        for i in range(4):
            Image.new("RGB", (9, 9), (i, 0, 0)).save(tmp_path / f"{i}.png")
        (tmp_path / "labels.csv").write_text("image,label\n0.png,red\n1.png,gren\n2.png,blue\n3.png,red\n")
        status, _, err = command("evaluate", tiny_run, "--data", tmp_path / "labels.csv")
        assert status == 2
        assert "'gren'" in err and "Did you mean 'green'?" in err

    def test_images_that_were_trained_on_are_refused(self, command, tiny_run, blobs):
        status, _, err = command("evaluate", tiny_run, "--data", blobs / "labels.csv")
        assert status == 2
        assert "of the 90 images to score were used to train this run" in err
        assert command("evaluate", tiny_run, "--data", blobs / "labels.csv", "--allow-seen", "--json", "--no-report")[0] == 0

    def test_stored_predictions_are_scored_without_the_weights(self, command, tiny_run, tmp_path):
        run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.safetensors", "evaluations"))
        found = [json.loads(command("evaluate", path, "--json")[1]) for path in (run, tiny_run)]
        assert found[0]["metrics"] == found[1]["metrics"]

    def test_settings_without_data(self, command, tiny_run):
        status, _, err = command("evaluate", tiny_run, "--label-column", "dx")
        assert (status, "Expected `--data` with label_column" in err) == (2, True)

    def test_other_data_of_the_same_name_get_a_folder_of_their_own(self, command, tiny_run, blobs, tmp_path):
        run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
        (tmp_path / "labels.csv").write_text(f"image,label\n{next(blobs.glob('08*.png')).name},blue\n")
        arguments = ("--images", blobs, "--allow-seen", "--split", "all", "--no-report")
        for data in (blobs / "labels.csv", tmp_path / "labels.csv", blobs / "labels.csv"):
            assert command("evaluate", run, "--data", data, *arguments)[0] == 0
        kept = [len(pd.read_parquet(path / "predictions.parquet")) for path in (run / "evaluations").glob("labels-*")]
        assert sorted(kept) == [1, 90]

    def test_a_runs_own_files_are_not_overwritten(self, command, tiny_run):
        status, _, err = command("evaluate", tiny_run, "--split", "val", "--out", tiny_run)
        assert (status, "holds a run" in err) == (2, True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--no-flip"], "Expected `--data` with"),
            (["--data", "DATA", "--classes", "a,b"], "Expected no classes with `evaluate`"),
        ],
    )
    def test_flags_that_would_do_nothing(self, command, tiny_run, blobs, arguments, message):
        arguments = [str(blobs / "labels.csv") if argument == "DATA" else argument for argument in arguments]
        status, _, err = command("evaluate", tiny_run, *arguments)
        assert (status, message in err) == (2, True)

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda run: (run / "weights.safetensors").unlink(), "is trained, but its weights were not kept"),
            (lambda run: (run / "weights.safetensors").write_bytes(b"\0" * 9), "are damaged or of another model"),
            (lambda run: (run / "model.json").write_text("{}"), "is damaged: field required in `backbone`"),
            (lambda run: (run / "recipe.yaml").unlink(), "to be a run folder, but it has no recipe.yaml"),
            (lambda run: (run / "manifest.csv").unlink(), "manifest.csv' is missing or damaged"),
        ],
    )
    def test_damaged_runs(self, command, tiny_run, tmp_path, blobs, damage, message):
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in tiny_run.iterdir():
            if path.is_file():
                (copy / path.name).write_bytes(path.read_bytes())
        damage(copy)
        status, _, err = command("evaluate", copy, "--data", blobs / "labels.csv", "--allow-seen")
        assert status == 2
        assert message in err


class TestPredict:
    def test_files_and_folders(self, command, tiny_run, blobs, tmp_path):
        out = tmp_path / "new" / "predictions.csv"
        status, printed, _ = command("predict", tiny_run, blobs, "--out", out)
        assert status == 0
        table = pd.read_csv(out)
        assert len(table) == 90
        assert list(table.columns) == ["image", "prediction", "p_blue", "p_green", "p_red"]
        assert table[["p_blue", "p_green", "p_red"]].sum(axis=1).to_numpy() == pytest.approx(np.ones(90), abs=1e-4)
        assert "90 predictions are in" in printed

    def test_equal_to_the_runs_own_predictions(self, command, tiny_run, blobs, tmp_path):
        own = pd.read_parquet(tiny_run / "predictions.parquet")
        command(
            "predict", tiny_run, *(blobs / name for name in own["image"][:5]), "--no-calibrate", "--out", tmp_path / "p.csv"
        )
        again = pd.read_csv(tmp_path / "p.csv")
        assert again["p_red"].to_numpy() == pytest.approx(own["p_red"][:5].to_numpy(), abs=1e-5)

    def test_bad_images_are_all_named_and_nothing_is_written(self, command, tiny_run, tmp_path):
        (tmp_path / "empty.png").write_bytes(b"")
        (tmp_path / "text.jpg").write_text("no image")
        status, _, err = command("predict", tiny_run, tmp_path, "--out", tmp_path / "p.csv")
        assert status == 2
        assert "empty.png" in err and "text.jpg" in err
        assert not (tmp_path / "p.csv").exists()

    def test_the_limit_on_pixels(self, command, tiny_run, blobs, tmp_path):
        image = blobs / "000.png"
        status, _, err = command("predict", tiny_run, image, "--max-megapixels", "0.001", "--out", tmp_path / "p.csv")
        assert status == 2
        assert "000.png: expected at most 0.001 megapixels, got 1,600 pixels" in err
        assert command("check", "--data", blobs / "labels.csv", "--max-megapixels", "0.0016")[0] == 0

    def test_missing_image(self, command, tiny_run, tmp_path):
        status, _, err = command("predict", tiny_run, tmp_path / "nowhere.png")
        assert (status, "no such file or folder" in err) == (2, True)


class TestUse:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["trian"], 'Did you mean "train"?'),
            (["train", "--alhpa", "1"], "--alpha"),
            (["train", "--epochs", "few"], "Expected `epochs` to be a valid integer"),
            (["train", "--method", "balanced-mixupp"], "Did you mean 'balanced-mixup'?"),
            (["train", "--data", "nowhere.csv"], "'nowhere.csv' does not exist"),
            (["train", "--config", "nowhere.yaml"], "to be a readable YAML file"),
            (["train", "--data", "synthetic-fundus", "--backbone", "resnet51"], "Did you mean 'resnet5"),
            (["evaluate", "nowhere"], "there is no folder 'nowhere'"),
            (["evaluate", "."], "has no recipe.yaml"),
            (["train", "--val-fraction", "0.7", "--test-fraction", "0.5"], "leave more than a tenth for training"),
        ],
    )
    def test_mistakes(self, command, tmp_path, monkeypatch, arguments, message):
        monkeypatch.chdir(tmp_path)
        status, out, err = command(*arguments)
        assert (status, out) == (2, "")
        assert message in err

    def test_a_full_disk_is_said(self, command, tiny, tmp_path, monkeypatch):
        def full(path, write):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("balanced_mixup.evaluation.experiment.write_text", full)
        status, _, err = command("train", *flags(tiny), "--out", tmp_path / "run")
        assert (status, "No space left on device" in err) == (1, True)

    def test_an_out_that_is_a_file(self, command, tiny, tmp_path):
        (tmp_path / "run").write_text("")
        status, _, err = command("train", *flags(tiny), "--out", tmp_path / "run")
        assert (status, "to be a new or empty folder" in err) == (2, True)

    def test_a_second_try_after_bad_data_needs_no_other_folder(self, command, tiny, tmp_path):
        assert command("train", *flags({**tiny, "label_column": "lable"}), "--out", tmp_path / "run")[0] == 2
        assert command("train", *flags({**tiny, "epochs": 1}), "--no-report", "--out", tmp_path / "run")[0] == 0

    def test_resume_needs_a_folder(self, command):
        status, _, err = command("train", "--resume")
        assert (status, "Expected `out` with `resume`" in err) == (2, True)

    def test_settings_of_another_method_are_refused_with_its_name(self, command, tiny, tmp_path):
        arguments = {**tiny, "method": "instance", "alpha": 0.3}
        status, _, err = command("train", *flags(arguments), "--out", tmp_path / "run")
        assert (status, "`alpha` is a setting of mixup, " in err, "not of the method instance." in err) == (2, True, True)

    def test_batches_that_batch_normalisation_cannot_take(self, command, tiny, tmp_path):
        status, _, err = command("train", *flags({**tiny, "batch_size": 1}), "--out", tmp_path / "run")
        assert (status, "cannot learn from batches of 1" in err) == (2, True)
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["train.log"]  # which blocks no corrected command

    def test_a_damaged_file_of_the_run_is_named(self, command, tiny, tmp_path):
        assert command("train", *flags({**tiny, "epochs": 1}), "--no-report", "--out", tmp_path / "run")[0] == 0
        (tmp_path / "run/metrics.json").write_text("{")
        status, _, err = command("train", "--out", tmp_path / "run", "--resume")
        assert (status, "metrics.json" in err) == (2, True)

    def test_nothing_to_resume(self, command, tmp_path):
        status, _, err = command("train", "--resume", "--out", tmp_path / "run")
        assert (status, "Expected `--data`" in err) == (2, True)

    def test_divergence_is_said(self, command, tiny, tmp_path):
        arguments = {**tiny, "optimizer": "sgd", "learning_rate": 1e30, "schedule": "constant"}
        status, _, err = command("train", *flags(arguments), "--out", tmp_path / "run")
        assert (status, "The training diverged in epoch 1" in err) == (1, True)

    def test_what_computes_nothing_does_not_wait_for_torch(self, blobs, tiny_run, tmp_path):
        done = subprocess.run([sys.executable, "-c", LIGHT, blobs, tiny_run], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(tmp_path.iterdir()) == []  # a refused start leaves no folder

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"accelerator": "gpu"}, "This machine cannot compute with `accelerator` 'gpu'"),
            ({"weights": "mine.pt"}, "there is no file 'mine.pt'"),
            ({"logger": "wandb"}, "`--logger wandb` needs wandb, which is not installed"),
            ({"classes": "red,green"}, "expected one of red, green; got 'blue'"),
            ({"label_column": "patient", "classes": "p1"}, "expected at least two classes"),
            ({"split_column": "patient"}, "expected train, val or test, got 'p0'"),
        ],
    )
    def test_mistakes_are_refused_before_an_image_is_opened(self, command, tiny, tmp_path, monkeypatch, wrong, message):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
        monkeypatch.setattr("balanced_mixup.training.preflight.find_spec", lambda name: None)
        monkeypatch.setattr(FileImages, "_bytes", lambda *arguments: pytest.fail("an image was opened"))
        status, _, err = command("train", *flags({**tiny, **wrong}), "--out", tmp_path / "run")
        assert (status, message in err) == (2, True), err
        assert not (tmp_path / "run").exists()

    def test_list(self, command):
        status, out, _ = command("list")
        assert status == 0
        for word in ("balanced-mixup", "synthetic-fundus", "default", "mcc"):
            assert word in out
        assert command("list", "backbones", "tf_efficientnet_lite*")[1].split()[0] == "tf_efficientnet_lite0"

    def test_list_methods_gives_the_settings_and_an_example_that_works_of_each(self, command):
        status, out, _ = command("list", "methods")
        assert status == 0
        said = " ".join(out.split())
        for name, method in METHODS.items():
            assert " ".join([name, method.title, method.summary()]) in said
            for key in method.model_fields.keys() - Method.model_fields.keys():
                assert f"--{key.replace('_', '-')} {method.model_fields[key].default}:" in said
            example = example_of(method)
            assert example in said
            _, _, _, data, _, named, *rest = example.split()
            given = {rest[0].removeprefix("--").replace("-", "_"): rest[1]} if rest else {}
            assert make_recipe({"data": data, "method": named, **given}).method == method()


def test_the_installed_command_answers_fast():
    """Processor time, as the machine may be busy: well under a second on a quiet one."""
    bmixup = Path(sys.executable).with_name("bmixup")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([bmixup, "list"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
