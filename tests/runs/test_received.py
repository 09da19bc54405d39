"""A run folder from elsewhere reaches out for nothing: no network, no other files, no memory, no writing through its links."""

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from balanced_mixup import Classifier, RunError, UsageError, evaluate, train
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.cli import run as command
from balanced_mixup.evaluation.predict import predict
from balanced_mixup.runs import classifier
from balanced_mixup.training.backbones import build

LEGACY = Path(__file__).parents[1] / "legacy"


@pytest.fixture
def received(tmp_path, monkeypatch):
    """The folder of a finished run, and no network."""

    def refuse(*arguments):
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return shutil.copytree(LEGACY / "finished", tmp_path / "received")


def set_model(run, **changes):
    content = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:timm/resnet18.a1_in1k", "hf_hub:timm/resnet18", "local-dir:/etc", "HF-HUB:x", "../../other", "/etc/passwd",
        "resnet_of_mine", "", "resnet18.no_such_tag", "test_efficientnet:x", "x" * 100_000,
    ],
)  # fmt: skip
def test_a_name_that_is_no_architecture_is_refused_in_a_sentence(received, blobs, tmp_path, capsys, name):
    set_model(received, backbone=name)
    assert command(["predict", str(received), str(blobs), "--out", str(tmp_path / "p.csv")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in said and len(said) < 1000
    assert ("model.json' to be an architecture of timm" in said) or "Expected the weights tag of resnet18 to be one of" in said
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"size": 10**9}, r"model\.json' is damaged: input should be less than or equal to 4096 in `size`, but got 1000000000"),
        ({"size": 0}, "greater than or equal to 1 in `size`"),
        ({"classes": ["a"]}, "at least 2 items .* in `classes`"),
        ({"classes": ["a", "b", "a"]}, "expected names that differ in `classes`"),
        (
            {"classes": [str(k) for k in range(10_000)]},
            r"expected classifier\.weight of the shape \(10000, 256\), but .* \(3, 256\)",
        ),
        ({"mean": [0.5]}, "at least 3 items .* in `mean`"),
        ({"std": [1, float("nan"), 1]}, "finite number in `std.1`"),
        ({"backbone": "vit_giant_patch14_224"}, r"expected cls_token of the shape .*, but it is not there"),
        (
            {"format": 2, "head": {"name": "softmx"}},
            "Expected a head among softmax, cosine, corn, coral with its settings, but got",
        ),
        ({"format": 2, "head": {"name": "cosine", "scale": float("inf")}}, "to be above 0, but got inf"),
        ({"format": 2, "head": {"name": "cosine", "scale": 1}}, "expected classifier.weight of the shape"),
        ({"more": "x" * 10**6}, "extra inputs are not permitted in `more`"),
    ],
)
def test_a_model_that_cannot_be_takes_no_memory(received, monkeypatch, change, message):
    def build_nothing(*arguments):
        model = build(*arguments)
        assert all(parameter.is_meta for parameter in model.parameters())
        return model

    monkeypatch.setattr(classifier, "build", build_nothing)
    set_model(received, **change)
    if change.get("head") == {"name": "cosine", "scale": 1}:
        weights = load_file(received / "weights.safetensors")
        weights["classifier.weight"] = weights["classifier.weight"][:, :8].clone()
        save_file(weights, received / "weights.safetensors")
    with pytest.raises(UsageError, match=message) as caught:
        Classifier.load(received, "cpu")
    assert len(str(caught.value)) < 1000


def test_weights_of_another_kind_of_number_predict_the_same(received):
    images = torch.randint(0, 255, (4, 32, 32, 3), dtype=torch.uint8).numpy()
    before = Classifier.load(received, "cpu").probabilities(images)
    weights = load_file(received / "weights.safetensors")
    save_file({name: tensor.double() for name, tensor in weights.items()}, received / "weights.safetensors")
    assert Classifier.load(received, "cpu").probabilities(images) == pytest.approx(before)
    weights["conv_stem.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, received / "weights.safetensors")
    with pytest.raises(RunError, match="outputs are not finite: its weights are damaged"):
        Classifier.load(received, "cpu").probabilities(images)


def test_predicting_and_scoring_open_nothing_that_the_recipe_names(received, blobs, tmp_path):
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("labels.csv", "weights.pt", "fold.csv"):
        (trap / name).write_text("")
    content = yaml.safe_load((received / "recipe.yaml").read_text())
    content |= {"data": str(trap / "labels.csv"), "images": str(trap), "weights": str(trap / "weights.pt")}
    content |= {"split_file": str(trap / "fold.csv"), "cache_dir": str(trap / "cache")}
    (received / "recipe.yaml").write_text(yaml.safe_dump(content))
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    predict(received, [blobs / "000.png"], out=tmp_path / "p.csv")
    assert evaluate(received).scores.n
    assert any(name.endswith("model.json") for name in opened)
    assert not [name for name in opened if str(trap) in name]
    assert len(list(trap.iterdir())) == 3


def test_links_out_of_the_folder_are_not_written_through(received, blobs, tmp_path):
    pytest.importorskip("matplotlib")
    from balanced_mixup.report.write import write_report

    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "profile").write_text("mine")
    (received / "report.html").symlink_to(victim / "profile")
    (received / "train.log").unlink()
    (received / "train.log").symlink_to(victim / "profile")
    shutil.rmtree(received / "evaluations")
    (received / "evaluations").symlink_to(victim)
    link = r"' to be in its own folder, but it is a link to '.*victim.*', which would be written to\. Remove the link"
    with pytest.raises(UsageError, match="report.html" + link):
        write_report(received)
    with pytest.raises(UsageError, match="evaluations" + link):
        evaluate(received, data=str(blobs / "labels.csv"), allow_seen=True)
    with pytest.raises(UsageError, match=link):
        train(out=received, resume=True)
    assert [path.name for path in victim.iterdir()] == ["profile"]
    assert (victim / "profile").read_text() == "mine"


def test_links_to_files_elsewhere_are_read(received, tmp_path):
    """As DVC, git-annex and the hub's cache keep large files."""
    (received / "weights.safetensors").rename(tmp_path / "blob")
    (received / "weights.safetensors").symlink_to(tmp_path / "blob")
    assert Classifier.load(received, "cpu")


@pytest.mark.parametrize("folder", ["/etc", "../../elsewhere", "runs/../../x"])
def test_a_benchmark_names_only_folders_of_its_own(tmp_path, folder):
    benchmark = shutil.copytree(LEGACY / "benchmark", tmp_path / "benchmark")
    content = json.loads((benchmark / "benchmark.json").read_text())
    content["runs"][0]["folder"] = folder
    (benchmark / "benchmark.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"benchmark\.json' is damaged: the folder '{folder}' is not inside of it"):
        BenchmarkFolder(benchmark).read()
