"""Balanced-MixUp in timm's training loop: python examples/loops/timm_train.py

timm's `train.py` calls `mixup_fn(input, target)` on each batch. A function of the batch alone cannot draw class-balanced
partners, so `BalancedMixUpFn` reads them itself. In `train.py`, after `loader_train = create_loader(...)`:

    from balanced_mixup import BalancedMixUpFn
    labels = [label for _, label in dataset_train.reader.samples]
    mixup_fn = BalancedMixUpFn(dataset_train, labels, num_classes=args.num_classes, batch_size=args.batch_size,
                               alpha=args.mixup, label_smoothing=args.smoothing, num_workers=args.workers)

and start it with `--mixup 0.2 --no-prefetcher`: `--mixup` also selects the loss on soft targets, and with the prefetcher timm
mixes elsewhere. This file has the same calls, on images that it writes.
"""

import tempfile
from pathlib import Path

import timm
import torch
from synthetic import CLASSES, synthetic_images
from timm.data import create_dataset, create_loader
from timm.loss import SoftTargetCrossEntropy
from torchvision.utils import save_image

from balanced_mixup import BalancedMixUpFn


def write_images(folder: Path) -> None:
    """Write the images as timm reads them: a folder for each class."""
    images, labels = synthetic_images()
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        (folder / f"class{label}").mkdir(exist_ok=True)
        save_image(image, folder / f"class{label}" / f"{number}.png", normalize=True)


def main(epochs: int = 2) -> list[float]:
    """Train, and return the loss of each step."""
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=CLASSES)
    losses = []
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        dataset = create_dataset("", root=folder, is_training=True)
        loader = create_loader(
            dataset, input_size=(3, 32, 32), batch_size=20, is_training=True, use_prefetcher=False, num_workers=0
        )
        labels = [label for _, label in dataset.reader.samples]
        mixup_fn = BalancedMixUpFn(dataset, labels, num_classes=CLASSES, batch_size=20, alpha=0.2)
        optimizer, loss_function = torch.optim.AdamW(model.parameters(), lr=0.003), SoftTargetCrossEntropy()
        for _ in range(epochs):
            for images, targets in loader:
                images, targets = mixup_fn(images, targets)
                loss = loss_function(model(images), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses


if __name__ == "__main__":
    losses = main()
    print(f"mean loss of the first ten steps {sum(losses[:10]) / 10:.3f}, of the last ten {sum(losses[-10:]) / 10:.3f}")
