"""The module of a training, outside of a training."""

from balanced_mixup.methods import TrainSet
from balanced_mixup.training.backbones import Backbone
from balanced_mixup.training.history import History
from balanced_mixup.training.inputs import ImageInputs, TrainingData
from balanced_mixup.training.module import ClassifierModule
from balanced_mixup.training.preprocessing import Preprocessing
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.segments import segments_of


def first_module(recipe: Recipe, backbone: Backbone, data: TrainingData) -> ClassifierModule:
    """Return the module of the first segment of a training."""
    train_set = TrainSet(data.labels[data.train], data.num_classes, recipe.epochs, recipe.seed)
    inputs = ImageInputs(Preprocessing(backbone.mean, backbone.std), recipe.augmentation)
    history = History(recipe.monitored(data.ordinal))
    segment = segments_of(recipe.method, train_set)[0]
    return ClassifierModule(recipe, segment, backbone.model, inputs, data, history, lambda _: None)
