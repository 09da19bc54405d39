"""Figures as functions of plain data: those of a run, those of a benchmark.

Each returns a `Drawing`, which `save` writes.
"""

from balanced_mixup.report.figures.class_scores import class_scores as class_scores
from balanced_mixup.report.figures.comparison import forest as forest
from balanced_mixup.report.figures.comparison import ranks as ranks
from balanced_mixup.report.figures.confusion import confusion_matrix as confusion_matrix
from balanced_mixup.report.figures.cost import cost_by_score as cost_by_score
from balanced_mixup.report.figures.decision_curves import decision_curves as decision_curves
from balanced_mixup.report.figures.distributions import ClassCounts as ClassCounts
from balanced_mixup.report.figures.distributions import figure1 as figure1
from balanced_mixup.report.figures.flow import Part as Part
from balanced_mixup.report.figures.flow import flow as flow
from balanced_mixup.report.figures.halving import halving_paths as halving_paths
from balanced_mixup.report.figures.learning_curves import training_curves as training_curves
from balanced_mixup.report.figures.operating_curves import precision_recall_curves as precision_recall_curves
from balanced_mixup.report.figures.operating_curves import roc_curves as roc_curves
from balanced_mixup.report.figures.prior_bars import prior_bars as prior_bars
from balanced_mixup.report.figures.rarity import score_by_rarity as score_by_rarity
from balanced_mixup.report.figures.reliability import reliability_diagram as reliability_diagram
from balanced_mixup.report.figures.style import Drawing as Drawing
from balanced_mixup.report.figures.style import save as save
