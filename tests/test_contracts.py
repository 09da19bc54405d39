"""Contracts over everything that is registered; a new entry is checked here without a change to this file.

Also the two rules of the layout: imports go one way, and importing the package is cheap.
"""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import balanced_mixup
from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.data.batches import TrainBatches, to_images
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.errors import UsageError
from balanced_mixup.losses import LOSSES
from balanced_mixup.methods import METHODS, get_method
from balanced_mixup.metrics import METRICS
from balanced_mixup.mixing import MIXINGS, mix, one_hot
from balanced_mixup.randomness import generator
from balanced_mixup.sampling import SAMPLINGS, class_branch
from balanced_mixup.training.recipe import MONITORS, RECIPES, load_yaml, make_recipe

# Class 2 is absent from the training labels, as in a fold of a long-tailed data set.
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [60, 17, 3]))
CLASSES = 4


def each(registry):
    assert registry
    return pytest.mark.parametrize("name", registry)


# ---- Methods ----


def steps_of(name, seed=0, epoch=0):
    """Yield the method's loss, logits and targets of each step of an epoch over noise, by a linear model."""
    method = METHODS[name]
    pixels = np.random.default_rng(1).integers(0, 256, (len(LABELS), 4, 4, 3), dtype=np.uint8)
    branches = method.make_branch(LABELS, 5, seed), class_branch(LABELS, seed=seed)
    mixing = method.make_mixing(0.5, "sample")
    loss = method.make_loss(np.bincount(LABELS, minlength=CLASSES), 2.0, 0.999)
    rows = np.arange(len(LABELS))
    batches = TrainBatches(ArrayPixels(pixels), LABELS, rows, branches, mixing, batch_size=8, seed=seed, epoch=epoch)
    model = torch.nn.Linear(48, CLASSES)
    torch.nn.init.constant_(model.bias, 0.0)
    torch.nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(0))
    for batch in batches:
        images, targets = batch.mixed(to_images(batch.pixels), CLASSES)
        logits = model(images.flatten(1))
        yield loss(logits, targets), targets, model


@each(METHODS)
def test_a_method_trains(name):
    steps = list(steps_of(name))
    assert len(steps) == len(LABELS) // 8
    for loss, targets, model in steps:
        assert targets.shape == (8, CLASSES)
        assert targets.dtype == torch.float32
        assert torch.allclose(targets.sum(1), torch.ones(8), atol=1e-6)
        assert (targets >= 0).all()
        assert not targets[:, 2].any()
        assert loss.isfinite()
        assert loss > 0
        model.zero_grad()
        loss.backward()
        assert model.weight.grad.isfinite().all()
        assert model.weight.grad.any()


@each(METHODS)
def test_a_method_is_reproducible_for_its_key_and_differs_for_another(name):
    def epoch_of(seed, epoch):
        return [loss.item() for loss, _, _ in steps_of(name, seed, epoch)]

    assert epoch_of(0, 1) == epoch_of(0, 1)
    assert epoch_of(0, 1) != epoch_of(0, 2)
    assert epoch_of(0, 1) != epoch_of(1, 1)


@each(METHODS)
def test_a_method_is_found_by_its_name_and_made_of_what_is_registered(name):
    method = get_method(name)
    assert method.name == name
    assert method.title
    assert method.summary
    assert method.sampling in SAMPLINGS
    assert method.mixing in MIXINGS
    assert method.loss in LOSSES
    assert make_recipe({"method": name}).method == name
    assert set(method.options) <= set(make_recipe().model_dump())


def test_a_misspelt_method_is_an_error_that_names_the_nearest():
    for name in METHODS:
        if len(name) > 4:
            with pytest.raises(UsageError, match=rf"Expected `method` to be one of .*Did you mean '{name}'\?"):
                get_method(name[:-1])


# ---- Sampling ----


@each(SAMPLINGS)
@pytest.mark.parametrize("labels", [LABELS, np.array([0, 0, 1]), np.array([1, 1]), np.array([0])], ids=len)
def test_a_sampling_is_a_stream_of_seed_and_epoch(name, labels):
    positions = np.arange(90)
    for epoch in range(3):
        branch = SAMPLINGS[name](labels, 3, 0)
        rows = branch.rows(epoch, positions)
        assert branch.n == len(labels)
        assert rows.shape == positions.shape
        assert rows.dtype == np.int64
        # Each row comes up: there are 90 draws.
        if len(labels) <= 3:
            assert set(rows.tolist()) == set(range(len(labels)))
        assert set(rows.tolist()) <= set(range(len(labels)))
        # Any part of it can be drawn alone, and in any order.
        assert (branch.rows(epoch, positions[::-3]) == rows[::-3]).all()
        assert (SAMPLINGS[name](labels, 3, 0).rows(epoch, positions) == rows).all()
        if len(labels) > 1:
            assert (branch.rows(epoch + 1, positions) != rows).any()
            assert (SAMPLINGS[name](labels, 3, 1).rows(epoch, positions) != rows).any()


@each(SAMPLINGS)
def test_a_sampling_draws_all_rows_of_all_classes_and_no_class_without_rows(name):
    for epoch in range(3):
        rows = SAMPLINGS[name](LABELS, 3, 0).rows(epoch, np.arange(8_000))
        assert set(rows.tolist()) == set(range(len(LABELS)))
        # The members of a class come up equally often.
        times = np.bincount(rows)
        for label in np.unique(LABELS):
            expected = times[label == LABELS].mean()
            assert np.abs(times[label == LABELS] - expected).max() <= 5 * expected**0.5


# ---- Mixing ----


@each(MIXINGS)
@pytest.mark.parametrize("per", ["batch", "sample"])
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_a_mixing_pairs_and_weighs(name, per, batch):
    for step in range(30):
        mixing = MIXINGS[name](0.3, per)
        partner, weight = mixing.pair(batch, generator(0, "mixing", step))
        again = mixing.pair(batch, generator(0, "mixing", step))
        assert (again.partner == partner).all()
        assert (again.weight == weight).all()
        assert partner.shape == weight.shape == (batch,)
        assert weight.dtype == np.float32
        assert ((weight >= 0) & (weight <= 1)).all()
        assert partner.min() >= 0
        assert partner.max() < (2 * batch if mixing.uses_class_branch else batch)
        # Who is not mixed is its own partner, so that nothing is read for it.
        assert (partner[weight == 0] == np.flatnonzero(weight == 0)).all()
        candidates = one_hot(torch.arange(2 * batch) % CLASSES, CLASSES)
        targets = mix(candidates[:batch], candidates[partner], torch.from_numpy(weight))
        assert torch.allclose(targets.sum(1), torch.ones(batch), atol=1e-6)


# ---- Losses ----

COUNTS = [60, 17, 0, 3]


def loss_case(batch=12):
    g = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(batch, CLASSES, generator=g)
    labels = torch.tensor([0, 1, 3])[torch.randint(3, (batch,), generator=g)]
    others = labels.roll(1)
    return logits, mix(one_hot(labels, CLASSES), one_hot(others, CLASSES), torch.rand(batch, generator=g))


@each(LOSSES)
def test_a_loss_is_positive_with_a_finite_gradient(name):
    loss = LOSSES[name](COUNTS, 2.0, 0.999)
    logits, targets = loss_case()
    logits.requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert value.shape == ()
    assert value > 0
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


@each(LOSSES)
def test_a_loss_is_0_for_sure_right_answers_and_large_for_sure_wrong_ones(name):
    loss = LOSSES[name](COUNTS, 2.0, 0.999)
    labels = torch.tensor([0, 1, 3, 0])
    targets = one_hot(labels, CLASSES)
    assert 0 <= loss(50 * targets, targets) < 1e-6
    assert loss(50 * targets.roll(1, 0), targets) > 1
    # In between it falls as the right answer becomes surer.
    values = [loss(size * targets, targets).item() for size in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)


@each(LOSSES)
def test_a_loss_is_the_mean_over_samples_in_any_order(name):
    loss = LOSSES[name](COUNTS, 2.0, 0.999)
    logits, targets = loss_case()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    whole = loss(logits, targets)
    assert torch.allclose(loss(logits[order], targets[order]), whole)
    single = torch.stack([loss(logits[i : i + 1], targets[i : i + 1]) for i in range(12)])
    assert torch.allclose(single.mean(), whole)
    assert torch.allclose(loss(logits, targets), (loss(logits[:4], targets[:4]) + 2 * loss(logits[4:], targets[4:])) / 3)


@each(LOSSES)
def test_a_loss_is_linear_in_the_targets(name):
    loss = LOSSES[name](COUNTS, 2.0, 0.999)
    logits, first = loss_case()
    second = first.roll(5, 0)
    mixed = loss(logits, 0.3 * first + 0.7 * second)
    assert torch.allclose(mixed, 0.3 * loss(logits, first) + 0.7 * loss(logits, second))


@each(LOSSES)
def test_a_loss_refuses_hard_labels(name):
    with pytest.raises(UsageError, match="Expected `targets` to be soft targets"):
        LOSSES[name](COUNTS, 2.0, 0.999)(torch.zeros(3, CLASSES), torch.tensor([0, 1, 3]))


# ---- Metrics ----


def metric_case(images=60, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.choice(classes, images - classes, p=[0.6, 0.25, 0.1, 0.05])])
    logits = rng.normal(size=(images, classes)) + np.eye(classes)[y]
    return y, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@each(METRICS)
def test_a_metric_is_best_for_a_perfect_prediction(name):
    metric = METRICS[name]
    y, probabilities = metric_case()
    sign = 1 if metric.higher_is_better else -1
    perfect = metric(y, np.eye(4)[y])
    assert perfect == pytest.approx(1 if metric.higher_is_better else 0)
    # All wrong, and the grades turned round.
    wrong = metric(y, np.eye(4)[3 - y])
    assert sign * perfect > sign * metric(y, probabilities) > sign * wrong


@each(METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_is_bounded_and_blind_to_the_order_of_images(name, seed):
    y, probabilities = metric_case(seed=seed)
    value = METRICS[name](y, probabilities)
    assert isinstance(value, float)
    assert -1 <= value <= 1
    order = np.random.default_rng(seed).permutation(len(y))
    assert METRICS[name](y[order], probabilities[order]) == pytest.approx(value)


@each(METRICS)
def test_a_metric_takes_arrays_and_tensors(name):
    y, probabilities = metric_case()
    value = METRICS[name](y, probabilities)
    assert METRICS[name](torch.from_numpy(y), torch.from_numpy(probabilities)) == value
    single = probabilities.astype(np.float32)
    assert METRICS[name](torch.from_numpy(y).int(), torch.from_numpy(single)) == METRICS[name](y, single)


@each(METRICS)
def test_a_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.label
    assert metric.__doc__


def test_monitors_are_the_metrics():
    assert list(MONITORS) == list(METRICS)
    assert all(MONITORS.values())


# ---- Augmentation ----


@each(AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(16, 16), (12, 20)])
def test_an_augmentation_keeps_shape_and_range_and_is_decided_by_its_numbers(name, shape):
    g = torch.Generator().manual_seed(0)
    images = torch.rand(24, 3, *shape, generator=g)
    uniforms = torch.rand(24, N_UNIFORMS, generator=g)
    uniforms[:4] = torch.tensor([0.0, 0.4999, 0.5, 1 - 2**-24])[:, None]
    augmentation = AUGMENTATIONS[name]
    found = augmentation(images, uniforms)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(augmentation(images, uniforms), found)
    changes = augmentation.moves or augmentation.colours
    if not changes:
        assert torch.equal(found, images)
    # The same image with other numbers becomes another one.
    copies = augmentation(images[:1].expand(24, -1, -1, -1), uniforms)
    assert len(torch.unique(copies.flatten(1), dim=0)) == (24 if changes else 1)
    assert make_recipe({"augmentation": name}).augmentation == name


# ---- Recipes ----


@each(RECIPES)
def test_a_recipe_is_valid_and_survives_its_yaml(name, tmp_path):
    recipe = make_recipe({"recipe": name})
    assert recipe.recipe == name
    for key, value in RECIPES[name].items():
        assert getattr(recipe, key) == value
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert make_recipe(load_yaml(path)) == recipe
    # A later layer goes over it.
    assert make_recipe({"recipe": name}, {"epochs": 77}).epochs == 77


# ---- Layout ----

PACKAGE = Path(balanced_mixup.__file__).parent
ORDER = (
    "",
    "data",
    "datasets",
    "statistics",
    "training",
    "calibration",
    "runs",
    "evaluation",
    "explain",
    "benchmark",
    "report",
    "paper",
    "cli",
)
EVERYWHERE = {"balanced_mixup.errors", "balanced_mixup.progress"}


def imports_of(path):
    """Return the names that a file imports when it runs, those for type checkers left out."""
    found = set()
    package = ".".join(["balanced_mixup", *path.relative_to(PACKAGE).parent.parts])

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes = node.orelse
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
            return
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            # `from package import module` imports the module.
            found.update(f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names)
            return
        else:
            nodes = ast.iter_child_nodes(node)
        for child in nodes:
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name for name in found if name.split(".")[0] == "balanced_mixup"}


def is_module(name):
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def layer(name):
    """Return the place of a module in the order of layers; files at the top are 0."""
    parts = name.split(".")[1:]
    folder = parts[0] if parts and (PACKAGE / parts[0]).is_dir() else ""
    return ORDER.index(folder)


FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@each(FILES)
def test_imports_go_one_way(name):
    module = "balanced_mixup." + name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    imported = imports_of(PACKAGE / name)
    assert all(is_module(other) for other in imported)
    if module in EVERYWHERE:
        assert not imported
    upwards = {other for other in imported - EVERYWHERE if layer(other) > layer(module)}
    assert not upwards, f"{module} imports {', '.join(sorted(upwards))}"
    # The public names are a door to all layers.
    assert "balanced_mixup" not in imported or layer(module) == layer("balanced_mixup.cli")


def test_imports_are_seen_where_they_are():
    # The test above would pass if it saw nothing.
    seen = {name: imports_of(PACKAGE / name) for name in FILES}
    assert "balanced_mixup.randomness" in seen["sampling.py"]
    assert "balanced_mixup.mixing" in seen["methods.py"]  # inside of a function
    assert "balanced_mixup.errors" in seen["data/batches.py"] | seen["data/checks.py"]
    assert "balanced_mixup.metrics" in seen["training/module.py"]
    assert not seen["__init__.py"]  # for type checkers only
    assert sum(map(len, seen.values())) > 100
    assert [layer(f"balanced_mixup.{name}") for name in ("mixing", "data.batches", "cli", "cli.train")] == [
        0,
        1,
        ORDER.index("cli"),
        ORDER.index("cli"),
    ]


CHEAP = """
import sys
def loaded(*names):
    return sorted(name for name in names if name in sys.modules)

import balanced_mixup
heavy = "lightning", "timm", "pandas", "sklearn", "scipy", "pyarrow", "torchvision", "pydantic", "matplotlib", "PIL"
print("package", *loaded("torch", *heavy))
dir(balanced_mixup), balanced_mixup.METHODS
print("methods", *loaded("torch", *heavy))
import balanced_mixup.sampling, balanced_mixup.mixing, balanced_mixup.losses, balanced_mixup.metrics
print("paper", *loaded(*heavy))
"""


def test_importing_the_package_costs_no_more_than_torch():
    out = subprocess.run([sys.executable, "-c", CHEAP], capture_output=True, text=True, check=True).stdout
    # Importing the package and listing the methods needs not even torch; the paper's five files need torch and numpy alone.
    assert out.splitlines() == ["package", "methods", "paper"]


def names_defined_in(path):
    """Return the names that a file defines at its top level."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


def test_public_names_are_there_for_programs_and_for_type_checkers():
    assert dir(balanced_mixup) == sorted(balanced_mixup.__all__)
    source = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname: node.module
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("balanced_mixup.")
        for alias in node.names
    }
    assert set(typed) == set(balanced_mixup.__all__)
    for name, module in typed.items():
        assert f"balanced_mixup.{balanced_mixup._MODULE_OF[name]}" == module
        assert name in names_defined_in(PACKAGE.parent / (module.replace(".", "/") + ".py"))
        # Only the files of the paper are imported here; the others take seconds.
        if module.count(".") == 1:
            assert getattr(balanced_mixup, name) is getattr(sys.modules[module], name)
    assert balanced_mixup.mix is mix
    with pytest.raises(AttributeError, match="module 'balanced_mixup' has no attribute 'BalancedMixup'"):
        _ = balanced_mixup.BalancedMixup
