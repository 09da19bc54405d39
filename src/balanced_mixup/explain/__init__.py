"""Explanations: Grad-CAM maps and embeddings. `balanced_mixup.explain(run, images, out)` draws the maps of predictions.

See `balanced_mixup.report.explanations.explain` for its arguments.
"""

from balanced_mixup.callable_package import make_callable

make_callable(__name__, "balanced_mixup.report.explanations:explain")
