"""Runs for reports: made of their files alone, as large and odd as a test wants them, without training."""

import json

import numpy as np
import pandas as pd
import pytest

from balanced_mixup.report.run_report import run_report
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.scores import Scores
from balanced_mixup.training.recipe import make_recipe


@pytest.fixture
def made_run(tmp_path):
    """Return a function that writes the folder of a run without images and weights, and returns it."""

    def make(classes, n_test, *, present=None, name="made", replicates=50, epochs=3, seed=0, ordinal=False):
        rng = np.random.default_rng(seed)
        folder = tmp_path / name
        folder.mkdir()
        k = len(classes)
        shares = np.linspace(1, 4, k) ** 2
        shares[[j for j in range(k) if present is not None and j not in present]] = 0
        labels = rng.choice(k, n_test, p=shares / shares.sum())
        logits = rng.normal(size=(n_test, k)) + 2 * np.eye(k)[labels]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        images = tuple(f"{row:06}.png" for row in range(n_test))
        predictions = Predictions(images, labels, p.astype(np.float32), tuple(classes), None, np.full(n_test, "test"))
        predictions.write(folder / "predictions.parquet")
        (folder / "metrics.json").write_text(json.dumps({"test": Scores.of(predictions, replicates).to_dict()}))
        train = np.concatenate([np.arange(k), rng.choice(k, 10 * k, p=np.linspace(1, 4, k) / np.linspace(1, 4, k).sum())])
        names = np.array(classes, dtype=object)
        pd.DataFrame(
            {
                "image": [*images, *(f"train{row}.png" for row in range(len(train)))],
                "label": [*names[labels], *names[train]],
                "group": "",
                "split": ["test"] * n_test + ["train"] * len(train),
                "digest": "0",
            }
        ).to_csv(folder / "manifest.csv", index=False)
        numbers = np.linspace(0.2, 0.6, epochs)
        history = {"epoch": range(1, epochs + 1), "learning_rate": 1e-3, "train_loss": 1 - numbers, "mcc": numbers}
        pd.DataFrame({**history, "quadratic_kappa": numbers[::-1], "balanced_accuracy": numbers}).to_csv(
            folder / "history.csv", index=False
        )
        card = {"backbone": "test_efficientnet", "size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3}
        ModelCard(classes=tuple(classes), ordinal=ordinal, head={"name": "softmax"}, **card).write(folder / "model.json")
        (folder / "environment.json").write_text(json.dumps({"versions": {"torch": "2.11"}, "seed": 0}))
        recipe = make_recipe({"data": str(tmp_path / "gone.csv"), "backbone": "test_efficientnet", "size": 32})
        (folder / "recipe.yaml").write_text(recipe.to_yaml())
        return folder

    return make


@pytest.fixture(scope="package")
def tiny_report(tiny_run):
    """The report of `tiny_run`: made once, as no test changes it."""
    return run_report(tiny_run)
