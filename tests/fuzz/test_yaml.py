"""Damaged and hostile YAML: settings, or an error of this package, in bounded time and words."""

import random

import pytest
from mutate import mutate

from balanced_mixup import BalancedMixupError, UsageError
from balanced_mixup.benchmark.plan import load_plan
from balanced_mixup.training.recipe import load_yaml, make_recipe

RECIPE = b"""\
format: 2
data: labels.csv
label_map: {nv: naevus, 3: three}
classes: [a, b]
method: {method}
alpha: 0.3
epochs: &n 12
patience: *n
size: 64
schedule: !!str cosine
precision: 32
seed: 0x1F
"""
PLAN = b"""\
data:
  skin: &skin {data: labels.csv, group_column: patient, external: {clinic: {data: other.csv}}}
  again: {<<: *skin, scheme: given}
methods: [instance, {method: balanced-mixup, alpha: [0.1, 0.2], label: ours}]
seeds: [0, 1]
settings: {size: 64, epochs: 2}
metrics: mcc
"""
MANY = [pytest.param(range(150)), pytest.param(range(150, 5000), marks=pytest.mark.slow)]
READERS = {
    "recipe": (RECIPE.replace(b"{method}", b"balanced-mixup"), lambda path: make_recipe(load_yaml(path))),
    "plan": (PLAN, load_plan),
}


@pytest.mark.parametrize("seeds", MANY)
@pytest.mark.parametrize("name", READERS)
def test_mutations(tmp_path, name, seeds):
    original, read = READERS[name]
    path, refused = tmp_path / "mine.yaml", 0
    for seed in seeds:
        path.write_bytes(mutate(original, random.Random(seed)))
        try:
            read(path)
        except BalancedMixupError as error:
            refused += 1
            assert len(str(error)) < 5000, f"mutation {seed}: {error}"
        except Exception as error:
            raise AssertionError(f"mutation {seed}: {path.read_bytes()!r}") from error
    assert refused


def laughs(levels, width=9):
    """Return YAML of a few hundred bytes whose aliases stand for width ** levels values."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"size: *a{levels - 1}"])


def merges(levels, width=9):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [laughs(9), merges(9)], ids=["lists", "merges"])
def test_aliases_that_stand_for_billions_are_refused(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match="it holds more than 100,000 values, its aliases written out"):
        load_yaml(tmp_path / "mine.yaml")


def test_an_alias_counts_as_what_it_stands_for(tmp_path, monkeypatch):
    monkeypatch.setattr("balanced_mixup.settings_file._MOST_VALUES", 100)
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a [" + "x, " * 40 + "]\nb: *a\n")
    assert load_yaml(path)["b"] == ["x"] * 40
    path.write_text("a: &a [" + "x, " * 40 + "]\nb: [*a, *a]\n")
    with pytest.raises(UsageError, match="it holds more than 100 values"):
        load_yaml(path)


def test_values_in_messages_are_cut(tmp_path):
    (tmp_path / "mine.yaml").write_text(laughs(5) + "\nepochs: " + "x" * 100_000 + f"\n{'y' * 1000}: 1\n")
    with pytest.raises(
        UsageError, match=r"Expected `size` to be a valid integer, but got \[\[\[\[\.\.\.\], \[\.\.\.\]"
    ) as caught:
        make_recipe(load_yaml(tmp_path / "mine.yaml"))
    assert "`epochs` to be a valid integer" in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    "text, message",
    [
        ("!!bool size: 1\n", r"'size' cannot be read as !!bool; write a text in quotes.*\n.*line 1, column 1"),
        ("epochs: 2\nsize: !!bool x\n", r"'x' cannot be read as !!bool.*\n.*line 2, column 7"),
        ("size: !!int ''\n", "'' cannot be read as !!int"),
        ("size: !!float x\n", "'x' cannot be read as !!float"),
        ('size: "\\UFFFFFFFF"\n', "a text in it has an escape that is no character"),
        ("size: !!timestamp [1]\n", "expected a scalar node"),
        ("yes: 1\n", r"texts, but got True, which YAML reads as a bool\. Write it in quotes"),
        ("3: 1\n", r"texts, but got 3, which YAML reads as a int\. Write it in quotes"),
        ("null: 1\n", "texts, but got None"),
        ("[a, b]: 1\n", "found unhashable key"),
        ("? {a: b}\n: 1\n", "found unhashable key"),
        ("size: " + "9" * 5000, "a number of 5,000 digits; write a text in quotes"),
        ("size: 1" + ":30" * 40, "a number of 121 digits"),
        ("size: 1\nsize: 2\n", "the key 'size' is repeated, after line 1"),
        ("a: !!python/object/apply:os.system [id]\n", "could not determine a constructor for the tag"),
        ("\x00", "unacceptable character"),
    ],
)
def test_values_that_are_none(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_yaml(tmp_path / "mine.yaml")


def test_a_file_that_is_too_large_or_endless_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("balanced_mixup.settings_file._MOST_BYTES", 1000)
    (tmp_path / "mine.yaml").write_text("a: " + "b" * 1000)
    with pytest.raises(UsageError, match=r"at most 1000 bytes, but it is larger"):
        load_yaml(tmp_path / "mine.yaml")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=r"at most 1000 bytes, but it is larger"):
        load_yaml(tmp_path / "endless.yaml")
