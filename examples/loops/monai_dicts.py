"""Balanced-MixUp with MONAI, whose samples are dictionaries: python examples/loops/monai_dicts.py

The transforms are MONAI's own. What a sample holds besides its image and label comes with the batch, as `batch.extra`.
"""

import torch
from monai.data import CacheDataset
from monai.networks.nets import DenseNet
from monai.transforms import Compose, EnsureTyped, RandFlipd, RandGaussianNoised, ScaleIntensityd
from synthetic import CLASSES, synthetic_images

from balanced_mixup import BalancedMixUpLoader, CrossEntropy


def main(epochs: int = 2) -> tuple[list[float], list[str]]:
    """Train, and return the loss of each step and the cases of the last one."""
    images, labels = synthetic_images(size=32)
    samples = [
        {"image": image, "label": label, "case": f"case {row}"}
        for row, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    transform = Compose(
        [
            EnsureTyped(keys="image"),
            ScaleIntensityd(keys="image", channel_wise=False),
            RandFlipd(keys="image", prob=0.5, spatial_axis=1),
            RandGaussianNoised(keys="image", prob=0.5, std=0.05),
        ]
    )
    loader = BalancedMixUpLoader(
        CacheDataset(samples, transform, progress=False), labels, keys=("image", "label"), batch_size=20, alpha=0.2
    )
    torch.manual_seed(0)
    model = DenseNet(spatial_dims=2, in_channels=3, out_channels=CLASSES, init_features=8, growth_rate=4, block_config=(2, 2))
    optimizer, loss_function = torch.optim.Adam(model.parameters(), lr=0.01), CrossEntropy()
    losses = []
    for epoch in range(epochs):
        for batch in loader.set_epoch(epoch):
            mixed, targets = batch.mixed(CLASSES)
            loss = loss_function(model(mixed), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, batch.extra["case"]


if __name__ == "__main__":
    losses, cases = main()
    print(f"loss of the first step {losses[0]:.3f}, of the last {losses[-1]:.3f}, on {', '.join(cases[:3])} ...")
