"""A metric: the recall of the class that is found least."""

import numpy as np

from balanced_mixup.formulas import class_recall
from balanced_mixup.metrics import Array, Metric, confusion


def _worst_recall(table: Array) -> Array:
    """Recall of the class that is found least, of the classes that have images."""
    recall = class_recall(table)
    worst: Array = np.where(np.isnan(recall).all(-1), np.nan, np.nanmin(np.where(np.isnan(recall), np.inf, recall), axis=-1))
    return worst


worst_recall = Metric("worst_recall", "worst recall", confusion, _worst_recall, "recall of the class that is recognised least")
