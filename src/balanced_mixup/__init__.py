"""Image classification with rare classes: Balanced-MixUp and all it is compared with.

    import balanced_mixup as bm

    bm.check(data="labels.csv", images="photos")              # every problem of the data
    bm.train(data="labels.csv", images="photos", out="runs/mine")
    bm.evaluate("runs/mine", data="other.csv")                # or the predictions of another program
    bm.predict("runs/mine", ["new.jpg"]), bm.explain("runs/mine", ["new.jpg"], "explained")
    bm.compare("runs/mine", "runs/other"), bm.report("runs/mine"), bm.figures.confusion_matrix("runs/mine")
    bm.benchmark("plan.yaml"), bm.table("runs/plan")

`data` may be a data frame of pandas. The public names are loaded when first used, so that importing the package costs little
more than importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balanced_mixup.benchmark.added_rows import add_predictions as add_predictions
    from balanced_mixup.benchmark.engine import benchmark as benchmark
    from balanced_mixup.benchmark.tables import table as table
    from balanced_mixup.choose.engine import choose as choose
    from balanced_mixup.errors import BalancedMixupError as BalancedMixupError
    from balanced_mixup.errors import DataError as DataError
    from balanced_mixup.errors import RunError as RunError
    from balanced_mixup.errors import UsageError as UsageError
    from balanced_mixup.evaluation.check import check as check
    from balanced_mixup.evaluation.compare import compare as compare
    from balanced_mixup.evaluation.evaluate import evaluate as evaluate
    from balanced_mixup.evaluation.experiment import train as train
    from balanced_mixup.evaluation.predict import predict as predict
    from balanced_mixup.losses import ClassBalanced as ClassBalanced
    from balanced_mixup.losses import CrossEntropy as CrossEntropy
    from balanced_mixup.losses import Focal as Focal
    from balanced_mixup.methods import METHODS as METHODS
    from balanced_mixup.metrics import METRICS as METRICS
    from balanced_mixup.mixing import BalancedMixUp as BalancedMixUp
    from balanced_mixup.mixing import BalancedMixUpFn as BalancedMixUpFn
    from balanced_mixup.mixing import BalancedMixUpLoader as BalancedMixUpLoader
    from balanced_mixup.mixing import MixUp as MixUp
    from balanced_mixup.mixing import mix as mix
    from balanced_mixup.mixing import mixup as mixup
    from balanced_mixup.mixing import one_hot as one_hot
    from balanced_mixup.report.explanations import explain as explain
    from balanced_mixup.report.write import report as report
    from balanced_mixup.runs.classifier import Classifier as Classifier
    from balanced_mixup.runs.evaluation import Evaluation as Evaluation
    from balanced_mixup.runs.run import Run as Run
    from balanced_mixup.sampling import class_probabilities as class_probabilities
    from balanced_mixup.sampling import class_sampler as class_sampler
    from balanced_mixup.sampling import instance_sampler as instance_sampler
    from balanced_mixup.training.recipe import Recipe as Recipe

_HOME = {
    "errors": ("BalancedMixupError", "DataError", "RunError", "UsageError"),
    "benchmark.added_rows": ("add_predictions",),
    "benchmark.tables": ("table",),
    "evaluation.check": ("check",),
    "evaluation.compare": ("compare",),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.predict": ("predict",),
    "runs.classifier": ("Classifier",),
    "runs.evaluation": ("Evaluation",),
    "runs.run": ("Run",),
    "losses": ("ClassBalanced", "CrossEntropy", "Focal"),
    "methods": ("METHODS",),
    "metrics": ("METRICS",),
    "mixing": ("BalancedMixUp", "BalancedMixUpFn", "BalancedMixUpLoader", "MixUp", "mix", "mixup", "one_hot"),
    "sampling": ("class_probabilities", "class_sampler", "instance_sampler"),
    "evaluation.experiment": ("train",),
    "training.recipe": ("Recipe",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
# Packages that are called like the function in a module; see `callable_package`.
_CALLABLE = {
    "benchmark": "benchmark.engine",
    "choose": "choose.engine",
    "explain": "report.explanations",
    "report": "report.write",
}
__all__ = sorted((*_MODULE_OF, *_CALLABLE))


def __getattr__(name: str) -> Any:
    packages = ("data", "evaluation", "figures", "randomness", "runs", "statistics", "training")
    if name in _HOME or name in _CALLABLE or name in packages:
        return importlib.import_module(f"balanced_mixup.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'balanced_mixup' has no attribute {name!r}")
    return getattr(importlib.import_module(f"balanced_mixup.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
