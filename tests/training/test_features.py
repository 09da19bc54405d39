"""Features that are computed once are those of the model, and a head trained on them is one trained on images."""

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.errors import UsageError
from balanced_mixup.methods import METHODS
from balanced_mixup.randomness import uniforms
from balanced_mixup.training.backbones import create, features_of, head_layer
from balanced_mixup.training.features import FeatureExtractor, View
from balanced_mixup.training.preprocessing import Preprocessing, scaled

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_they_are_the_models_own(small_data, name):
    backbone = create(name, 3, 32, "none", 0)
    preprocessing = Preprocessing(backbone.mean, backbone.std)
    data = FeatureExtractor(backbone.model, name, preprocessing, CPU).training_data(small_data)
    assert data.pixels.shape[:2] == (60, 1)
    assert data.train.tolist() == list(range(40))
    assert data.val.tolist() == list(range(40, 60))
    rows = np.concatenate([small_data.train, small_data.val])
    assert (data.labels == small_data.labels[rows]).all()
    model = backbone.model.eval()
    with torch.no_grad():
        expected = features_of(model, preprocessing(small_data.pixels.gather(rows)))
        assert torch.allclose(data.pixels.gather(np.arange(60))[:, 0], expected, atol=1e-5)
        torch.nn.init.normal_(head_layer(model).weight)
        logits = model(preprocessing(small_data.pixels.gather(rows[:5])))
        assert torch.allclose(head_layer(model)(data.pixels.gather(np.arange(5))[:, 0]), logits, atol=1e-4)
    assert not data.pixels.gather(np.arange(3)).is_inference()
    assert torch.equal(data.pixels.subset(np.array([4, 2])).gather(np.array([1])), data.pixels.gather(np.array([2])))


def test_copies_are_augmented_each_in_its_own_way(small_data):
    backbone = create("test_resnet", 3, 32, "none", 0)
    preprocessing = Preprocessing(backbone.mean, backbone.std)

    def features(seed):
        copies = [View(False, "paper", seed, copy) for copy in range(2)]
        data = FeatureExtractor(backbone.model, "test_resnet", preprocessing, CPU).training_data(small_data, copies)
        return data.pixels.values[:40]

    found = features(seed=0)
    assert found.shape[:2] == (40, 3)
    assert torch.equal(found, features(seed=0))
    other = features(seed=1)
    assert torch.equal(found[:, 0], other[:, 0])  # the image itself
    assert not torch.isclose(found[:, 1:], other[:, 1:]).all(dim=2).any()
    assert not torch.isclose(found[:, 1], found[:, 2]).all(dim=1).any()
    # By hand, the second copy of an image.
    numbers = uniforms((17 * N_UNIFORMS) + np.arange(N_UNIFORMS)[None], 0, "features", 1).astype(np.float32)
    image = scaled(small_data.pixels.gather(np.array([17])))
    image = AUGMENTATIONS["paper"](image, torch.from_numpy(numbers), preprocessing.mean, preprocessing.std)
    with torch.no_grad():
        assert torch.allclose(found[17, 2], features_of(backbone.model.eval(), image)[0], atol=1e-5)


def test_a_head_trained_on_features_is_one_trained_on_images_behind_a_frozen_backbone(staged, fitted, fit_small, tmp_path):
    settings = {"augmentation": "none", "ema_decay": 0.0}
    model = fitted("retrained-test", **settings)[1]

    class Freeze(Callback):
        """In the second segment, which trains everything, hold the backbone still."""

        def on_train_start(self, trainer, module):
            if module.segment.new_head:
                for parameter in module.model.parameters():
                    parameter.requires_grad_(False)
                head_layer(module.model).requires_grad_(True)

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if module.segment.new_head:
                module.model.eval()

    class OnImages(staged.Retrained):
        def stages(self, data):
            (stage,) = super().stages(data)
            return (type(stage)(**{**vars(stage), "trains": "all"}),)

    # Under the name of the method that it replaces, so that all draws have the same keys.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS._objects, "retrained-test", OnImages)
        _, other = fit_small(tmp_path / "run", method=OnImages(), callbacks=[Freeze()], **settings)
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, other.state_dict()[name], atol=1e-5), name
    assert head_layer(model).weight.abs().max() > 0.01


def test_a_model_whose_outputs_are_no_function_of_its_features_is_refused(small_data):
    model = create("test_resnet", 3, 32, "none", 0).model
    torch.nn.init.normal_(head_layer(model).weight)
    model.register_forward_hook(lambda module, inputs, outputs: outputs + 1)
    with pytest.raises(UsageError, match="The head of ResNet cannot be applied to precomputed features"):
        FeatureExtractor(model, "test_resnet", Preprocessing([0.5] * 3, [0.5] * 3), CPU).training_data(small_data)
    distilled = create("deit_tiny_distilled_patch16_224", 3, 32, "none", 0).model
    with pytest.raises(UsageError, match="has 2 heads: methods that replace the head cannot use it"):
        FeatureExtractor(distilled, "deit", Preprocessing([0.5] * 3, [0.5] * 3), CPU).training_data(small_data)
