"""The formulas of scores: confusion matrices (..., K, K), rows the labels, columns the predictions, or their cells, to scores.

Pure mathematics, on many matrices at once. A score that is undefined is NaN, never a made-up 0; only MCC is 0 then.
"""

import numpy as np

from balanced_mixup.cells import Array, Cells


def class_recall(table: Array | Cells) -> Array:
    """Return the recall of each class, (..., K); NaN for a class without images."""
    return _ratio(_diagonal(table), label_counts(table))


def class_precision(table: Array | Cells) -> Array:
    """Return the precision of each class, (..., K); NaN for a class that is never predicted."""
    return _ratio(_diagonal(table), _prediction_counts(table))


def class_specificity(table: Array | Cells) -> Array:
    """Return the specificity of each class, (..., K): images of the rest that are not predicted as it; NaN without a rest."""
    return _ratio(true_negatives(table), label_counts(table).sum(-1, keepdims=True) - label_counts(table))


def class_npv(table: Array | Cells) -> Array:
    """Return the negative predictive value of each class, (..., K): images not predicted as it that are not of it.

    NaN for a class that is predicted for all images.
    """
    return _ratio(true_negatives(table), label_counts(table).sum(-1, keepdims=True) - _prediction_counts(table))


def class_f1(table: Array | Cells) -> Array:
    """Return F1 = 2 C_kk / (r_k + c_k) of each class, (..., K); NaN for a class that is neither a label nor predicted."""
    return _ratio(2 * _diagonal(table), label_counts(table) + _prediction_counts(table))


def quadratic_kappa(table: Array | Cells) -> Array:
    """Quadratically weighted kappa (Cohen 1968): 1 - sum (i - j)^2 C_ij / sum (i - j)^2 E_ij, E_ij = r_i c_j / n.

    1 is perfect, 0 is chance agreement given the marginals r, c. NaN where labels and predictions are all of the same class.
    """
    labels, predictions = label_counts(table), _prediction_counts(table)
    grades = np.arange(labels.shape[-1])
    distance = (grades[:, None] - grades).astype(np.float64) ** 2
    if isinstance(table, Cells):
        observed = (distance[table.labels, table.predictions] * table.counts).sum(-1)
    else:
        observed = (distance * table).sum((-2, -1))
    expected = ((labels @ distance) * predictions).sum(-1)
    return 1 - _ratio(observed * labels.sum(-1), expected)


def mcc(table: Array | Cells) -> Array:
    """Matthews correlation coefficient of K classes (Gorodkin 2004): (n tr C - r.c) / sqrt((n^2 - r.r) (n^2 - c.c)).

    From -1 to 1; 0 where labels or predictions are all of one class, as in scikit-learn.
    """
    labels, predictions = label_counts(table), _prediction_counts(table)
    agreement = labels.sum(-1) * _diagonal(table).sum(-1) - (labels * predictions).sum(-1)
    return _ratio(agreement, _spread(labels, predictions), undefined=0.0)


def kendall_tau(table: Array | Cells) -> Array:
    """Kendall's tau-b of label and predicted class (Kendall 1945): concordant minus discordant pairs over the untied ones.

    Untied are the geometric mean of the pairs that differ in label and of those that differ in prediction. From -1 to 1; NaN
    where labels or predictions are all of one class.
    """
    if isinstance(table, Cells):
        surplus = table.concordance()
    else:  # a cell (k, l) is concordant with (i, j) if sign(i - k) sign(j - l) = 1 and discordant if it is -1
        surplus = (table * _before_minus_after(_before_minus_after(table, -1), -2)).sum((-2, -1))
    return _ratio(surplus, _spread(label_counts(table), _prediction_counts(table)))


def balanced_accuracy(table: Array | Cells) -> Array:
    """Mean recall over the classes that have images; a constant prediction reaches 1 / (their number)."""
    return _mean(class_recall(table))


def macro_f1(table: Array | Cells) -> Array:
    """Mean of F1 over the classes that occur in labels or predictions, as in scikit-learn.

    So a class without images counts as 0 as soon as it is predicted once.
    """
    return _mean(class_f1(table))


def accuracy(table: Array | Cells) -> Array:
    """Proportion of the images whose predicted class is the label."""
    return _ratio(_diagonal(table).sum(-1), label_counts(table).sum(-1))


def macro_auc(areas: Array) -> Array:
    """Mean of the areas (..., K) of `class_auc` over the classes that have images and are not all images; NaN where none is."""
    return _mean(areas)


def _ratio(numerator: Array, denominator: Array, undefined: float = np.nan) -> Array:
    """Divide; `undefined` where the denominator is 0."""
    quotient = np.full(np.shape(numerator), undefined)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def _mean(values: Array) -> Array:
    """Average over the last axis, ignoring NaN; NaN where all are NaN."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))


def label_counts(table: Array | Cells) -> Array:
    """Return the images of each class, (..., K)."""
    return table.of_labels() if isinstance(table, Cells) else table.sum(-1)


def _prediction_counts(table: Array | Cells) -> Array:
    """Return the predictions of each class, (..., K)."""
    return table.of_predictions() if isinstance(table, Cells) else table.sum(-2)


def _diagonal(table: Array | Cells) -> Array:
    """Return the correct predictions of each class, (..., K)."""
    return table.diagonal() if isinstance(table, Cells) else np.diagonal(table, axis1=-2, axis2=-1)


def _spread(labels: Array, predictions: Array) -> Array:
    """Return sqrt((n^2 - r.r) (n^2 - c.c)), twice the geometric mean of the untied pairs of labels and of predictions."""
    return 2 * np.sqrt(_untied_pairs(labels) * _untied_pairs(predictions))


def _untied_pairs(counts: Array) -> Array:
    """Return the pairs (...) of different classes, for counts (..., K); exactly 0 where one class has everything."""
    pairs: Array = (counts * (np.cumsum(counts, axis=-1) - counts)).sum(-1)
    return pairs


def _before_minus_after(table: Array, axis: int) -> Array:
    """Replace each entry by the sum of those before it minus the sum of those after it, along `axis`."""
    through: Array = np.cumsum(table, axis=axis)
    total: Array = table.sum(axis, keepdims=True)
    return 2 * through - table - total


def true_negatives(table: Array | Cells) -> Array:
    """Return the images of the rest that are not predicted as a class, (..., K)."""
    labels = label_counts(table)
    found: Array = labels.sum(-1, keepdims=True) - labels - _prediction_counts(table) + _diagonal(table)
    return found


# The scores of each class that a confusion matrix has, by name.
CLASS_SCORES = {
    "recall": class_recall,
    "specificity": class_specificity,
    "precision": class_precision,
    "npv": class_npv,
    "f1": class_f1,
}
