"""Training images of each class with and without augmentation, and mixed samples."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.data.batches import TrainBatch, TrainBatches
from balanced_mixup.data.pixels import SourcePixels
from balanced_mixup.errors import DataError
from balanced_mixup.methods import Stage, TrainSet
from balanced_mixup.mixing import NoMix
from balanced_mixup.randomness import uniforms
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Gallery, Note, Picture, View
from balanced_mixup.report.originals import Originals, jpeg
from balanced_mixup.report.words import percent
from balanced_mixup.training.preprocessing import scaled
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.segments import segments_of
from balanced_mixup.words import counted, display_name

Integers = npt.NDArray[np.int64]

_CLASSES = 12  # of which an example is shown
_MIXED = 8  # mixed samples that are shown
_VISIBLE = 0.1  # weight of a partner from which a mixture is shown
_TRIES = 5  # images of a class that are tried if the first is missing


def training_view(run: RunContents) -> list[Block]:
    """Return images of the rarest classes, original and augmented, and the most strongly mixed samples of the first batch.

    Raises:
        DataError, UsageError: All images are missing.
    """
    table = require(run.images, "the list of its images (manifest.csv)")
    originals = Originals.of(run, table["image"].tolist())
    number = {name: k for k, name in enumerate(run.classes)}
    labels = np.array([number[name] for name in table["label"]], dtype=np.int64)
    rows = np.flatnonzero(table["split"] == "train")
    train_set = TrainSet(labels[rows], len(run.classes), run.recipe.epochs, run.recipe.seed)
    segments = segments_of(run.recipe.method, train_set, head_only=run.recipe.train == "head")
    if all(segment.trains_head for segment in segments):
        return _of_head(run, originals, labels, rows)
    examples = _examples(run, originals, labels, rows)
    stages = [numbered for segment in segments for numbered in segment.stages]
    mixed_stages = (numbered for numbered in stages if numbered[1].trains == "all" and not isinstance(numbered[1].mix, NoMix))
    first, stage = next(mixed_stages, stages[0])
    try:
        batch = _first_batch(run.recipe, stage, first, originals, labels, rows)
    except DataError as error:
        return [examples, Note(f"The mixed samples cannot be shown. {error}")]
    augment = AUGMENTATIONS[run.recipe.augmentation]
    mixed, targets = batch.mixed(augment(scaled(batch.pixels), batch.uniforms).clamp(0, 1), len(run.classes), stage.mix)
    return [examples, _mixtures(batch, first, mixed, targets, run.classes)]


def _of_head(run: RunContents, originals: Originals, labels: Integers, rows: Integers) -> list[Block]:
    """Return what a head was trained on: features of the images, or of augmented copies, which can be shown."""
    if not (copies := run.recipe.feature_copies):
        return [Note("The head alone was trained, on features of the images as they are.")]
    note = Note(f"The head alone was trained, on features of {counted(copies, 'augmented variant')} of each training image.")
    return [note, _examples(run, originals, labels, rows)]


def _first_batch(
    recipe: Recipe, stage: Stage, epoch: int, originals: Originals, labels: Integers, rows: Integers
) -> TrainBatch:
    return TrainBatches(
        SourcePixels(originals.images, recipe.size, originals.digests),
        labels,
        rows,
        stage,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        epoch=epoch,
    ).step(0)


def _examples(run: RunContents, originals: Originals, labels: Integers, rows: Integers) -> Block:
    size, name = run.recipe.size, run.recipe.augmentation
    own = labels[rows]
    order = np.argsort(np.bincount(own, minlength=len(run.classes)), kind="stable")
    present = [k for k in order.tolist() if (own == k).any()]
    pictures = []
    for k in present[:_CLASSES]:
        tried = ((row, originals.read(row, size)) for row in rows[own == k][:_TRIES].tolist())
        row, image = next(((row, image) for row, image in tried if image is not None), (0, None))
        if image is None:
            continue
        numbers = torch.from_numpy(uniforms(np.arange(N_UNIFORMS), run.recipe.seed, "report", row).astype(np.float32))
        augmented = AUGMENTATIONS[name](scaled(torch.from_numpy(image[None])), numbers[None])[0]
        kind = f"training image of {display_name(run.classes[k])}"
        views = [View(jpeg(image), f"A {kind}."), View(_picture(augmented), f"The same {kind}, augmented.")]
        pictures.append(Picture(views, [display_name(run.classes[k])]))
    if not pictures:
        return Note("The training images are missing or no longer the same as when the run was made.")
    caption = f"An image of each class, and the same image augmented as in training (augmentation: {name}, {size} px)."
    if len(present) > _CLASSES:
        caption += f" Shown are the {_CLASSES} rarest classes."
    return Gallery(caption, pictures)


def _mixtures(batch: TrainBatch, epoch: int, mixed: Tensor, targets: Tensor, classes: tuple[str, ...]) -> Block:
    """Return pictures of samples (B, 3, H, W) with their targets (B, K), the most strongly mixed ones."""
    name = f"first batch of epoch {epoch + 1}" if epoch else "first batch"
    weight = batch.weight.numpy()
    differ = (batch.labels[: len(weight)] != batch.labels[batch.partner]).numpy()
    nearest = np.argsort(np.abs(weight - 0.5), kind="stable")
    visible = [int(b) for b in nearest if differ[b] and _VISIBLE <= weight[b] <= 1 - _VISIBLE]
    if not visible:
        return Note(f"No sample of the {name} ({counted(len(weight), 'sample')}) has 10% or more of an image of another class.")
    pictures = []
    for b in visible[:_MIXED]:
        shares = targets[b].numpy()
        lines = [
            f"{percent(float(shares[k]))} {display_name(classes[k])}"
            for k in np.argsort(-shares, kind="stable")
            if shares[k] > 0
        ]
        pictures.append(Picture([View(_picture(mixed[b]), f"A mixed training image: {' and '.join(lines)}.")], lines))
    caption = (
        f"The most strongly mixed samples of the {name}, with their targets: {len(visible)} of its "
        f"{counted(len(weight), 'sample')} have 10% or more of an image of another class."
    )
    return Gallery(caption, pictures)


def _picture(image: Tensor) -> bytes:
    """Return an image (3, H, W) in 0..1 as a JPEG."""
    return jpeg((image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
