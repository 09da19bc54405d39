"""Grad-CAM by hand, against autograd and by its laws, on every layout of features that timm has."""

import numpy as np
import pytest
import torch
from torch import nn

from balanced_mixup.errors import UsageError
from balanced_mixup.explain.feature_map import find_map
from balanced_mixup.explain.saliency import evidence, overlay, positive_share, saliency, upsampled
from balanced_mixup.runs.classifier import Classifier, ModelCard
from balanced_mixup.training.backbones import build

# Maps with channels first and last; tokens pooled, attended to, with class and register tokens; group, layer and no norm.
BACKBONES = [
    "test_coatnet", "test_efficientnet", "test_maxvit", "test_vit", "test_vit3", "test_vit_relpos",
    "swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224", "coat_lite_tiny",
]  # fmt: skip
GRAY = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # images arrive as 0..1


def classifier_of(model, size, classes=2, mean=GRAY[0], std=GRAY[1]):
    names = tuple("abcdefgh"[:classes])
    card = {"backbone": "mine", "size": size, "mean": mean, "std": std, "head": {"name": "softmax"}}
    return Classifier(model, ModelCard(classes=names, ordinal=False, **card))


def timm_classifier(name, size, classes=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(name, classes, size)
        head = model.get_classifier()
        for part in head if isinstance(head, tuple) else (head,):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return classifier_of(model, size, classes, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def noise(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


class Pooled(nn.Module):
    """Features are the image's red and green; logits are `weight` (K, 2) times their means."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward_features(self, images):
        return images[:, :2]

    def forward_head(self, features):
        return features.mean(dim=(2, 3)) @ self.weight.T

    def forward(self, images):
        return self.forward_head(self.forward_features(images))


class ChannelsLast(Pooled):
    def forward_features(self, images):
        return super().forward_features(images).permute(0, 2, 3, 1)

    def forward_head(self, features):
        return super().forward_head(features.permute(0, 3, 1, 2))


class Tokens(Pooled):
    num_prefix_tokens = 0

    def forward_features(self, images):
        places = super().forward_features(images).flatten(2).transpose(1, 2)
        return torch.cat([torch.ones(len(images), self.num_prefix_tokens, 2), places], dim=1)

    def forward_head(self, features):
        return features[:, self.num_prefix_tokens :].mean(dim=1) @ self.weight.T


class PrefixedTokens(Tokens):
    num_prefix_tokens = 5


class TestGradCam:
    def test_by_hand(self):
        """L = sum_c a_c A_c, and a_c = weight / 16 after a mean over 16 places."""
        pixels = np.zeros((1, 4, 4, 3), np.uint8)
        pixels[0, 0, 0, 0] = 255  # red speaks for class 1
        pixels[0, 1, 1, 0] = 51
        pixels[0, 3, 3, 1] = 255  # green against it
        classifier = classifier_of(Pooled([[0.0, 1.0], [2.0, -3.0]]), 4)
        found = evidence(classifier, pixels, targets=np.array([1]))
        expected = np.zeros((1, 4, 4), np.float32)
        expected[0, 0, 0], expected[0, 1, 1], expected[0, 3, 3] = 2 / 16, 0.2 * 2 / 16, -3 / 16
        assert found == pytest.approx(expected)
        maps = saliency(classifier, pixels, targets=np.array([1]))
        assert maps == pytest.approx(np.maximum(expected, 0) * 8)
        assert positive_share(found) == pytest.approx([2.4 / 5.4])

    @pytest.mark.parametrize("layout", [ChannelsLast, Tokens, PrefixedTokens])
    def test_the_layout_of_the_features_does_not_matter(self, layout):
        weight, pixels, targets = [[0.5, 1.0], [2.0, -3.0]], noise(5, 8), np.array([0, 1, 1, 0, 1])
        found = evidence(classifier_of(layout(weight), 8), pixels, targets=targets)
        assert found == pytest.approx(evidence(classifier_of(Pooled(weight), 8), pixels, targets=targets))

    @pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet_gn", "mobilenetv2_050"])
    def test_after_mean_and_linear_head_it_sums_to_the_logit_less_its_bias(self, name):
        classifier, pixels, targets = timm_classifier(name, 128), noise(3, 128), np.array([2, 0, 1])
        with torch.no_grad():
            logits = classifier.model(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1)
            expected = (logits - classifier.model.get_classifier().bias)[range(3), targets].numpy()
        assert evidence(classifier, pixels, targets=targets).sum(axis=(1, 2)) == pytest.approx(expected, rel=1e-3, abs=1e-4)

    def test_of_a_transformer_with_a_class_token_against_autograd(self):
        """The last patch tokens have no part in the scores; those before the last block do, through its attention."""
        classifier, pixels = timm_classifier("test_vit", 96), noise(1, 96)
        model, seen = classifier.model, []
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1).contiguous()
        with model.blocks[-2].register_forward_hook(lambda module, args, out: seen.append(out)):
            score = model(images)[0, 1]
        (gradient,) = torch.autograd.grad(score, seen)
        tokens, gradient = seen[0][0, 1:].detach(), gradient[0, 1:]
        expected = (tokens * gradient.mean(dim=0)).sum(dim=1).reshape(6, 6)
        assert evidence(classifier, pixels, targets=np.array([1]))[0] == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-6)

    def test_a_trained_model_looks_where_the_class_is_decided(self):
        """Faint noise everywhere; the class is which of two colours the top left quarter has."""
        pixels = noise(96, 32) // 32
        labels = np.arange(96) % 2
        pixels[labels == 1, 2:14, 2:14, 0] = 255
        pixels[labels == 0, 2:14, 2:14, 2] = 255
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Convolutional()
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), torch.from_numpy(labels)).backward()
            optimizer.step()
        classifier = classifier_of(model, 32)
        fresh = pixels[:8].copy()
        fresh[:, 16:] = noise(8, 32, seed=1)[:, 16:] // 32
        assert (classifier.probabilities(fresh).argmax(axis=1) == labels[:8]).all()
        maps = saliency(classifier, fresh)
        assert (maps[:, :16, :16].sum(axis=(1, 2)) > 0.7 * maps.sum(axis=(1, 2))).all()
        assert (maps[:, :16, :16].max(axis=(1, 2)) == 1).all()


class Convolutional(Pooled):
    def __init__(self):
        super().__init__(torch.randn(2, 8).tolist())
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, bias=False), nn.ReLU()
        )

    def forward_features(self, images):
        return self.layers(images)


@pytest.mark.parametrize("name", BACKBONES)
class TestBackbones:
    def test_the_map_has_places_that_are_those_of_the_image(self, name):
        """Another top left quarter of the image changes the top left quarter of the map most."""
        size = 128
        classifier = timm_classifier(name, size)
        mapped, seen = find_map(classifier), []
        images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
        rest = torch.ones(size, size, dtype=torch.bool)
        rest[: size // 2, : size // 2] = False
        images[2:, :, rest] = images[:2, :, rest]
        with mapped.map.register_forward_hook(lambda module, args, out: seen.append(out.detach())):
            assert torch.allclose(mapped(images), classifier.model(images), atol=1e-4)
        change = (seen[0][2:] - seen[0][:2]).abs().mean(dim=(0, 1))
        half = len(change) // 2
        assert change.shape[0] == change.shape[1] >= 4
        quarters = [part.mean().item() for row in change.tensor_split([half]) for part in row.tensor_split([half], dim=1)]
        assert quarters[0] == max(quarters)

    def test_evidence_of_each_image_is_its_own_and_the_model_stays_as_it_is(self, name):
        classifier, pixels = timm_classifier(name, 128), noise(3, 128)
        before = {key: value.clone() for key, value in classifier.model.state_dict().items()}
        found = evidence(classifier, pixels, targets=np.array([2, 0, 1]))
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert found.any(axis=(1, 2)).all()
        one = evidence(classifier, pixels, rows=np.array([1]), targets=np.array([0]))
        assert one == pytest.approx(found[1:2], rel=1e-2, abs=1e-3 * float(np.abs(found[1]).max()))
        assert all(torch.equal(value, before[key]) for key, value in classifier.model.state_dict().items())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.model.parameters())
        assert not any(module.training or module._forward_hooks for module in classifier.model.modules())
        assert torch.is_grad_enabled()


class TestSaliency:
    def test_from_0_to_1_for_the_predicted_class_in_the_order_of_the_rows(self):
        classifier, pixels = timm_classifier("test_efficientnet", 64), noise(6, 64)
        rows = np.array([4, 0, 3])
        maps = saliency(classifier, pixels, rows)
        assert maps.shape == (3, 64, 64)
        assert maps.dtype == np.float32
        assert (maps.min() >= 0, maps.max()) == (True, 1)
        predicted = classifier.probabilities(pixels).argmax(axis=1)
        again = [saliency(classifier, pixels[row : row + 1], targets=predicted[row : row + 1])[0] for row in rows]
        assert maps == pytest.approx(np.stack(again), abs=1e-3)

    def test_a_small_image_has_its_map_from_an_earlier_stage(self):
        classifier = timm_classifier("test_efficientnet", 32)
        assert find_map(classifier).layer == "blocks.2"
        assert evidence(classifier, noise(2, 32)).shape == (2, 4, 4)

    def test_where_no_stage_has_enough_places_in_their_order_the_finest_counts(self):
        assert evidence(timm_classifier("hiera_tiny_224", 96), noise(2, 96)).shape == (2, 3, 3)
        assert evidence(timm_classifier("test_vit", 32), noise(2, 32)).shape == (2, 2, 2)

    def test_what_does_not_speak_for_the_class_gives_an_empty_map(self):
        classifier, pixels = classifier_of(Pooled([[1.0, 1.0], [-1.0, -1.0]]), 8), noise(2, 8)
        targets = np.array([1, 0])
        maps = saliency(classifier, pixels, targets=targets)
        assert not maps[0].any()
        assert maps[1].max() == 1
        assert positive_share(evidence(classifier, pixels, targets=targets)).tolist() == [0, 1]
        assert (overlay(pixels[0], maps[0]) == pixels[0]).all()

    def test_round_off_is_no_evidence(self):
        maps = np.full((2, 4, 4), -1.0, np.float32)
        maps[:, 0, 0] = 1e-8, 1e-2
        assert not upsampled(maps[:1], 16).any()
        assert upsampled(maps[1:], 16).max() == 1
        assert (positive_share(maps) > 0).tolist() == [False, True]
        assert positive_share(np.zeros((1, 4, 4), np.float32)).tolist() == [0]

    def test_no_images_and_no_gradients(self):
        classifier = timm_classifier("test_resnet", 64)
        assert saliency(classifier, noise(0, 64)).shape == (0, 64, 64)
        with torch.no_grad():
            assert saliency(classifier, noise(1, 64), targets=np.array([0])).shape == (1, 64, 64)
            assert not torch.is_grad_enabled()

    @pytest.mark.parametrize(
        ("targets", "message"),
        [
            (np.array([0]), r"Expected `targets` to be 2 integers, but got int64 of shape \(1,\)"),
            (np.array([0.0, 1.0]), "Expected `targets` to be 2 integers, but got float64"),
            (np.array([0, 3]), "Expected `targets` from 0 to 2, but got 0 to 3"),
            (np.array([-1, 2]), "Expected `targets` from 0 to 2, but got -1 to 2"),
        ],
    )
    def test_targets_that_are_none(self, targets, message):
        with pytest.raises(UsageError, match=message):
            saliency(timm_classifier("test_resnet", 64), noise(2, 64), targets=targets)

    def test_images_of_another_size(self):
        with pytest.raises(UsageError, match=r"Expected images of \(64, 64, 3\), .* got \(32, 32, 3\)"):
            saliency(timm_classifier("test_resnet", 64), noise(2, 32))

    def test_models_without_a_map(self):
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        with pytest.raises(UsageError, match="depend on a feature map, but mine has none"):
            saliency(classifier_of(model, 8), noise(1, 8))
        with pytest.raises(UsageError, match="or its head was never trained"):
            saliency(classifier_of(Pooled([[0.0, 0.0], [0.0, 0.0]]), 8), noise(1, 8))


class TestOverlay:
    def test_colour_grows_with_the_map(self):
        image = np.full((1, 3, 3), 100, np.uint8)
        found = overlay(image, np.array([[0.0, 0.5, 1.0]], np.float32))
        assert found.dtype == np.uint8
        assert found[0, 0].tolist() == [100, 100, 100]
        # viridis ends in (253, 231, 37), which covers three quarters.
        assert found[0, 2].tolist() == [215, 198, 53]
        assert 0 < np.abs(found[0, 1] - image[0, 1].astype(int)).sum() < np.abs(found[0, 2] - image[0, 2].astype(int)).sum()

    def test_what_does_not_fit(self):
        with pytest.raises(UsageError, match=r"Expected an image uint8 .* got uint8 \(4, 4, 3\) and \(5, 4\)"):
            overlay(np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4), np.float32))
        with pytest.raises(UsageError, match=r"got float32 \(4, 4, 3\)"):
            overlay(np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.float32))
