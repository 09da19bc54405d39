"""The paper's three figures as functions of plain data; each returns a `Drawing`, which `save` writes."""

from balanced_mixup.report.figures.distributions import ClassCounts as ClassCounts
from balanced_mixup.report.figures.distributions import figure1 as figure1
from balanced_mixup.report.figures.drawing import Drawing as Drawing
from balanced_mixup.report.figures.drawing import save as save
from balanced_mixup.report.figures.schematic import figure2 as figure2
from balanced_mixup.report.figures.schematic import figure2_of_embeddings as figure2_of_embeddings
from balanced_mixup.report.figures.schematic import imbalanced_points as imbalanced_points
from balanced_mixup.report.figures.weights import figure3 as figure3
