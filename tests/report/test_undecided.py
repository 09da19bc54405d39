"""A run without groups says so in its report, with what its data looked like."""

from dataclasses import replace

import pytest

from balanced_mixup.data.preparation import Cache, prepare
from balanced_mixup.data.sources import load
from balanced_mixup.evaluation.experiment import _record_data, with_absolute_paths
from balanced_mixup.report.contents import read_run
from balanced_mixup.report.data_view import _undecided
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import make_recipe


@pytest.fixture
def undecided(tiny, tmp_path, caplog):
    """Return a function from settings to what the report of a run says; the run has its data alone."""

    def blocks(**settings):
        recipe = with_absolute_paths(make_recipe({**tiny, "group_column": None, **settings}))
        prepared = prepare(load(recipe), 8, cache=Cache("ram"), val_fraction=0.2, test_fraction=0.2)
        folder = RunFolder(tmp_path)
        _record_data(recipe, folder, prepared, 1)
        return [block.text for block in _undecided(read_run(tmp_path))]

    return blocks


def test_nothing_was_decided(undecided, caplog):
    suggestion = (
        "column 'patient' looks like groups: 45 different values for 90 images. To keep the images of each together, "
        "add --group-column patient"
    )
    assert undecided() == [
        "Groups: not given. Each image was split as independent of all others.",
        f"Not decided for this run: {suggestion}",
    ]
    assert suggestion in caplog.text  # `train` warns of it


def test_it_was_decided(undecided):
    assert undecided(ignore_groups=True) == ["Groups: ignored, as set. Each image was split as independent of all others."]


def test_groups(undecided):
    assert undecided(group_column="patient") == []


def test_a_run_of_an_older_version(tiny_run):
    contents = read_run(tiny_run)
    assert contents.environment["suggestions"] == []
    older = {name: value for name, value in contents.environment.items() if name != "suggestions"}
    assert _undecided(replace(contents, environment=older)) == []
