"""Calibrated probabilities, other class shares and thresholds on the command line."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from balanced_mixup.calibration.priors import with_temperature
from balanced_mixup.runs.run import Run

COLUMNS = ["p_blue", "p_green", "p_red"]


@pytest.fixture
def shares(tmp_path):
    path = tmp_path / "clinic.csv"
    path.write_text("class,share\nred,0.1\ngreen,0.1\nblue,0.8\n")
    return path


class TestPredict:
    def predicted(self, command, tiny_run, blobs, tmp_path, *arguments):
        images = [blobs / f"{number:03}.png" for number in (0, 65, 85)]
        status, _, err = command("predict", tiny_run, *images, "--out", tmp_path / "p.csv", "--overwrite", *arguments)
        assert status == 0
        return pd.read_csv(tmp_path / "p.csv"), err

    def test_calibrated_by_default_and_says_so(self, command, tiny_run, blobs, tmp_path):
        raw, said = self.predicted(command, tiny_run, blobs, tmp_path, "--no-calibrate")
        assert "temperature" not in said
        found, said = self.predicted(command, tiny_run, blobs, tmp_path)
        correction = Run.open(tiny_run).calibration
        assert f"no temperature is applied, as there are {correction.images} validation images, fewer than 50" in said
        assert found["prediction"].to_list() == raw["prediction"].to_list()
        expected = correction.apply(raw[COLUMNS].to_numpy(np.float32))
        assert found[COLUMNS].to_numpy() == pytest.approx(expected, abs=1e-4)

    @pytest.mark.parametrize("prior", ["train", "uniform", "estimate", "FILE"])
    def test_other_shares(self, command, tiny_run, blobs, tmp_path, shares, prior):
        name = str(shares) if prior == "FILE" else prior
        found, said = self.predicted(command, tiny_run, blobs, tmp_path, "--prior", name)
        assert found[COLUMNS].sum(axis=1).to_numpy() == pytest.approx(np.ones(3), abs=1e-4)
        names = [column.removeprefix("p_") for column in COLUMNS]
        assert [names[k] for k in found[COLUMNS].to_numpy().argmax(1)] == found["prediction"].to_list()
        assert f"corrected to the class prior `{name}`" in said
        assert ("blue 80.0%" in said) == (prior == "FILE")

    def test_a_frequent_class_is_thought_of_more_often(self, command, tiny_run, blobs, tmp_path, shares):
        usual, _ = self.predicted(command, tiny_run, blobs, tmp_path, "--prior", "train")
        there, _ = self.predicted(command, tiny_run, blobs, tmp_path, "--prior", shares)
        assert (there["p_blue"] > usual["p_blue"]).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--prior", "tarin"], "Did you mean 'train'?"),
            (["--prior", "uniform", "--no-calibrate"], "Expected no `prior` without calibration"),
            (["--prior", "SHARES"], "line 4: expected a class of the run, got 'bleu'. Did you mean 'blue'?"),
        ],
    )
    def test_what_cannot_be_done(self, command, tiny_run, blobs, tmp_path, shares, arguments, message):
        shares.write_text("class,share\nred,0.1\ngreen,0.1\nbleu,0.8\n")
        arguments = [str(shares) if argument == "SHARES" else argument for argument in arguments]
        status, _, err = command("predict", tiny_run, blobs, "--out", tmp_path / "p.csv", *arguments)
        assert (status, message in err) == (2, True)
        assert not (tmp_path / "p.csv").exists()

    def test_a_kept_temperature_is_applied_and_said(self, command, tiny_run, blobs, tmp_path):
        shutil.copytree(tiny_run, tmp_path / "run")
        (tmp_path / "run/files.json").unlink()
        written = json.loads((tmp_path / "run/calibration.json").read_text())
        older = {name: value for name, value in written.items() if "note" not in name and name != "fitted_temperature"}
        older |= {"format": 1, "temperature": written["fitted_temperature"], "scores": {}}
        (tmp_path / "run/calibration.json").write_text(json.dumps(older))
        raw, _ = self.predicted(command, tiny_run, blobs, tmp_path, "--no-calibrate")
        found, said = self.predicted(command, tmp_path / "run", blobs, tmp_path)
        assert f"calibrated: temperature {older['temperature']:.2f}, fitted on the {older['images']}" in said
        expected = with_temperature(raw[COLUMNS].to_numpy(), older["temperature"])
        assert found[COLUMNS].to_numpy() == pytest.approx(expected, abs=1e-4)
        out = command("evaluate", tmp_path / "run")[1]
        assert "An older version kept this temperature; today none would be kept, as there are" in out

    def test_a_run_that_cannot_be_calibrated(self, command, tiny_run, blobs, tmp_path):
        shutil.copytree(tiny_run, tmp_path / "run")
        (tmp_path / "run/calibration.json").write_text("{")
        arguments = ("predict", tmp_path / "run", blobs / "000.png", "--out", tmp_path / "p.csv")
        status, _, err = command(*arguments)
        assert (status, "Delete the file to have it fitted again" in err) == (2, True)
        assert command(*arguments, "--no-calibrate")[0] == 0


class TestEvaluate:
    def test_before_and_after(self, command, tiny_run):
        status, out, _ = command("evaluate", tiny_run, "--json")
        result = json.loads(out)
        assert status == 0
        assert (result["prior"], result["thresholds"]) == (None, {})
        calibration = result["calibration"]
        assert set(calibration) == {"images", "temperature", "note", "before", "after"}
        assert (calibration["temperature"], "fewer than 50" in calibration["note"]) == (1, True)
        assert set(calibration["after"]["ece"]) == {"value", "low", "high", "p_value"}
        out = command("evaluate", tiny_run)[1]
        assert f"No temperature is applied, as {calibration['note']}." in out
        assert f", p = {calibration['before']['ece']['p_value']:.3f}" in out and "corrected" not in out
        assert set(calibration["before"]) == {
            "ece", "classwise_ece", "rare_ece", "brier", "log_loss", "ece_by_chance", "per_class",
        }  # fmt: skip
        recorded = json.loads((tiny_run / "metrics.json").read_text())["test"]
        assert result["metrics"] == {name: recorded["metrics"][name] for name in result["metrics"]}
        assert set(recorded["metrics"]) - set(result["metrics"]) == {
            "quadratic_kappa",
            "kendall_tau",
        }  # the classes are nominal

    def test_scores_of_corrected_probabilities_are_said_to_be_so_and_raw_ones_are_kept(
        self, command, tiny_run, tmp_path, shares
    ):
        arguments = ("evaluate", tiny_run, "--prior", shares, "--no-report", "--out", tmp_path / "scores")
        status, out, _ = command(*arguments)
        assert status == 0
        assert "corrected to the class prior" in out and "0.800" in out
        kept, own = (pd.read_parquet(path / "predictions.parquet") for path in (tmp_path / "scores", tiny_run))
        assert kept[COLUMNS].to_numpy() == pytest.approx(own[own["split"] == "test"][COLUMNS].to_numpy())
        result = json.loads((tmp_path / "scores/metrics.json").read_text())
        assert result["prior"]["shares"]["blue"]["value"] == pytest.approx(0.8)
        shares.write_text("class,share\nred,0\ngreen,0.5\nblue,0.5\n")
        assert json.loads(command(*arguments, "--json")[1])["per_class"]["red"]["recall"]["value"] == 0

    def test_estimated_shares_have_intervals(self, command, tiny_run):
        shares = json.loads(command("evaluate", tiny_run, "--prior", "estimate", "--json")[1])["prior"]["shares"]
        assert all(share["low"] <= share["value"] <= share["high"] for share in shares.values())

    def test_thresholds(self, command, tiny_run):
        arguments = ("evaluate", tiny_run, "--sensitivity.red", 0.5, "--sensitivity.blue", 0.99)
        status, out, _ = command(*arguments)
        assert status == 0
        assert "at least 299 are needed" in out
        rows = json.loads(command(*arguments, "--json")[1])["thresholds"]
        assert set(rows) == {"red", "blue"}
        assert (rows["red"]["wanted"], rows["red"]["supported"], rows["blue"]["supported"]) == (0.5, True, False)
        assert 0 < rows["red"]["low"] < 1
        (heading,) = (line for line in out.splitlines() if line.startswith("class") and "threshold" in line)
        assert "at least" in heading
        assert rows["red"]["specificity"]["low"] <= rows["red"]["specificity"]["value"]
        assert rows["red"]["test_cases"] + rows["red"]["test_others"] == json.loads(command(*arguments, "--json")[1])["n"]

    def test_a_printed_threshold_is_the_one_that_was_counted(self, command, tiny_run, blobs, tmp_path):
        status, out, _ = command("evaluate", tiny_run, "--sensitivity.red", 0.8)
        assert status == 0
        printed = re.search(r"^red +0\.8 +(\d\.\d{6}) ", out, re.MULTILINE)[1]
        own = pd.read_parquet(tiny_run / "predictions.parquet")
        cases = own[(own["split"] == "val") & (own["label"] == "red")]["image"]
        assert command("predict", tiny_run, *(blobs / name for name in cases), "--out", tmp_path / "p.csv")[0] == 0
        assert (pd.read_csv(tmp_path / "p.csv")["p_red"] >= float(printed)).mean() >= 0.8

    def test_a_threshold_is_not_scored_on_the_images_that_chose_it(self, command, tiny_run, blobs, tmp_path):
        own = pd.read_csv(tiny_run / "manifest.csv")
        for split, status in (("train", 0), ("val", 2)):
            name = f"{split}.csv"
            own[own["split"] == split][["image", "label"]].to_csv(tmp_path / name, index=False)
            data = ("--data", tmp_path / name, "--images", blobs, "--allow-seen", "--no-report")
            out = ("--out", tmp_path / split)
            found, _, err = command("evaluate", tiny_run, *data, "--sensitivity.red", 0.8, *out)
            assert found == status
            assert ("Expected data without validation images of the run" in err) == (split == "val")
            assert not status or command("evaluate", tiny_run, *data, *out)[0] == 0

    def test_what_was_asked_differently_goes_to_another_folder(self, command, tiny_run, blobs, tmp_path):
        trained = Run.open(tiny_run).images.query("split == 'train'").groupby("label")["image"].first()
        (tmp_path / "asked.csv").write_text(f"image,label,other\n{trained['blue']},blue,red\n{trained['red']},red,red\n")
        data = ("--data", tmp_path / "asked.csv", "--images", blobs, "--allow-seen", "--no-report")
        ways = {
            "asked-all": (),
            "asked-all-2": ("--prior", "uniform"),
            "asked-all-3": ("--prior", "uniform", "--sensitivity.red", 0.8),
            "asked-all-4": ("--prior", "uniform", "--sensitivity.red", 0.9),
            "asked-all-5": ("--sensitivity.red", 0.9),
            "asked-all-6": ("--no-flip",),
            "asked-all-7": ("--label-column", "other"),
        }
        for _ in range(2):
            for name, asked in ways.items():
                status, out, _ = command("evaluate", tiny_run, *data, *asked, "--json")
                assert (status, json.loads(out)["folder"]) == (0, str(tiny_run / "evaluations" / name))
        first = tiny_run / "evaluations/asked-all/metrics.json"
        older = json.loads(first.read_text())
        del older["prior"], older["thresholds"], older["flip"]
        first.write_text(json.dumps(older))
        assert json.loads(command("evaluate", tiny_run, *data, "--json")[1])["folder"] == str(first.parent)

    def test_a_class_without_validation_images(self, command, tiny_run, tmp_path):
        shutil.copytree(tiny_run, tmp_path / "run")
        for name in ("calibration.json", "files.json"):  # the run is made into another one
            (tmp_path / "run" / name).unlink()
        metrics = json.loads((tmp_path / "run/metrics.json").read_text())
        (tmp_path / "run/metrics.json").write_text(json.dumps({"test": metrics["test"]}))
        table = pd.read_parquet(tmp_path / "run/predictions.parquet")
        table = table[(table["split"] != "val") | (table["label"] != "blue")]
        table.to_parquet(tmp_path / "run/predictions.parquet")
        status, out, _ = command("evaluate", tmp_path / "run", "--sensitivity.blue", 0.9)
        assert status == 0
        assert "blue: no validation image is of this class: no threshold can be chosen." in out
        status, _, err = command("evaluate", tmp_path / "run", "--prior", "estimate")
        assert (status, "to estimate a class prior, but there are none of: blue" in err) == (2, True)
        (tmp_path / "no.png").write_bytes(b"no image")
        nothing = ("predict", tmp_path / "run", tmp_path / "no.png", "--out", tmp_path / "p.csv", "--prior", "estimate")
        assert "there are none of: blue" in command(*nothing)[2]  # said before any image is read

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--sensitivity.bleu", "0.9"], "but got 'bleu'. Did you mean 'blue'?"),
            (["--sensitivity.blue", "95"], "Expected a `sensitivity` above 0 and under 1, such as 0.95, but got 95 for 'blue'"),
            (["--sensitivity.blue", "high"], 'unable to convert "high" into float'),
            (["--sensitivity.blue", "0.9", "--split", "val"], "thresholds are chosen on the validation split"),
            (["--prior", "clinic.csv"], "there is no file 'clinic.csv'"),
        ],
    )
    def test_what_cannot_be_done(self, command, tiny_run, arguments, message):
        status, _, err = command("evaluate", tiny_run, *arguments)
        assert (status, message in err) == (2, True)
