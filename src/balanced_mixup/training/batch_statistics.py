"""The running statistics of batch normalisation, estimated anew on the samples of a stage."""

from collections.abc import Iterable

import torch
from torch import nn

from balanced_mixup.data.batches import TrainBatch
from balanced_mixup.training.inputs import Inputs


def renew_statistics(model: nn.Module, inputs: Inputs, batches: Iterable[TrainBatch], device: torch.device) -> None:
    """Replace running means and variances by those over `batches`, each batch with the same weight; no weight changes.

    Args:
        model: Images (B, 3, H, W) to outputs; nothing happens where it has no batch normalisation.
        inputs: Converts batches to inputs of the model, with augmentation.
        batches: Of the stage. Partners of a mix are left out.
        device: Where to compute.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    layers = [layer for layer in layers if layer.track_running_stats]
    if not layers:
        return
    momentum = [layer.momentum for layer in layers]
    model.to(memory_format=torch.channels_last).to(device).eval()
    inputs.to(device)
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        layer.momentum = None  # the mean over all batches
    with torch.no_grad():
        for batch in batches:
            images = inputs.for_training(TrainBatch(*(part.to(device) for part in batch)))
            model(images[: len(batch.weight)].contiguous(memory_format=torch.channels_last))
    for layer, before in zip(layers, momentum, strict=True):
        layer.momentum = before
    model.eval()
