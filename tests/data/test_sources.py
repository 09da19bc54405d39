"""The registry of sources: what `--data` selects, what it is refused with, and sources of other distributions."""

import re
import sys

import numpy as np
import pytest

from balanced_mixup.data import sources as registry
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import is_named, kind_of, load, sources
from balanced_mixup.errors import UsageError

BUILT_IN = {"csv", "folder", "npz", "prepared", "synthetic-fundus"}


def test_every_source_has_one_line():
    assert set(sources()) == BUILT_IN
    for name, source in sources().items():
        assert source.name == name
        assert source.summary and "\n" not in source.summary


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.TSV", "csv"), ("a.npz", "npz"), ("plain/", "folder"), ("made/prepare.yaml", "prepared")],
)
def test_a_path_selects_its_kind(tmp_path, name, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if name.endswith("/") else path.touch()
    data = str(path.parent if kind == "prepared" else path)
    assert kind_of(data) == kind
    assert not is_named(data)


def test_a_name_selects_its_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic-fundus").mkdir()
    assert kind_of("synthetic-fundus") == "synthetic-fundus"
    assert is_named("synthetic-fundus")
    assert kind_of("./synthetic-fundus") == "folder"
    with pytest.raises(UsageError, match="Expected no --classes with synthetic-fundus, whose classes are 0, 1, 2, 3, 4"):
        load(DataSettings(data="synthetic-fundus", classes=("a", "b")))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", r"Expected `--data`: a table \(.csv, .*, .parquet\), .* or a source .synthetic-fundus., but got none"),
        ("synthetic-fundos", r"'synthetic-fundos' does not exist\. Did you mean 'synthetic-fundus'\?"),
        ("synthetic-fundus:3", r"'synthetic-fundus:3' does not exist"),
        ("csv", "'csv' does not exist"),
        ("eyepacs", "is the name of a published data set.*bmixup prepare eyepacs --root RAW --out DIR"),
        ("eyepac", r"does not exist\. Did you mean 'eyepacs'\?"),
    ],
)
def test_what_selects_nothing_is_refused(data, message):
    with pytest.raises(UsageError, match=message):
        load(DataSettings(data=data))


def test_another_kind_of_file(tmp_path):
    (tmp_path / "labels.xls").touch()
    with pytest.raises(UsageError, match=r"Expected the data to be a table.*labels\.xls' is none of these"):
        load(DataSettings(data=str(tmp_path / "labels.xls")))


def test_a_group_column_is_never_ignored(tmp_path):
    with pytest.raises(UsageError, match=r"Expected --group-column only with a table.*kind folder"):
        load(DataSettings(data=str(tmp_path), group_column="patient"))


# ---- Sources of other distributions ----

PLUGIN = """
import numpy as np
from balanced_mixup.data.images import ArrayImages
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.sources import Source

def load(settings):
    count = int(settings.data.partition(":")[2] or 4)
    images = ArrayImages([str(i) for i in range(count)], np.zeros((count, 5, 5), np.uint8))
    return Manifest(images, np.arange(count) % 2, ("a", "b"))

NOISE = Source("noise", "NOISE:COUNT black images", "noise_plugin:load", takes_argument=True)
SHEET = Source("sheet", "FILE.sheet", load, suffixes=(".sheet",))
STUDY = Source("study", "DIR with study.ini", load, marker="study.ini")
LOST = Source("lost", "its loader is missing", "noise_plugin:missing")
CSV = Source("csv", "another one", load)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Function that installs the distribution `noise-plugin` with the entry points that it is given."""

    def put_on_path(*entry_points):
        site = tmp_path / "site"
        about = site / "noise_plugin-1.0.dist-info"
        about.mkdir(parents=True)
        (site / "noise_plugin.py").write_text(PLUGIN)
        (site / "noise_plugin-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: noise-plugin\nVersion: 1.0\n"
        )
        (about / "entry_points.txt").write_text("\n".join(["[balanced_mixup.sources]", *entry_points]))
        monkeypatch.syspath_prepend(site)
        registry._sources.cache_clear()

    yield put_on_path
    sys.modules.pop("noise_plugin", None)
    registry._sources.cache_clear()


def test_another_distribution_adds_sources(install, tmp_path):
    install("noise = noise_plugin:NOISE", "sheet = noise_plugin:SHEET", "study = noise_plugin:STUDY")
    assert set(sources()) == BUILT_IN | {"noise", "sheet", "study"}
    assert load(DataSettings(data="noise")).labels.tolist() == [0, 1, 0, 1]
    assert load(DataSettings(data="noise:6")).labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert is_named("noise:6") and not is_named("noisy")
    np.testing.assert_array_equal(load(DataSettings(data="noise:2")).images.read(1, 3), np.zeros((3, 3, 3)))
    (tmp_path / "a.sheet").touch()
    (tmp_path / "study.ini").touch()
    assert kind_of(str(tmp_path / "a.sheet")) == "sheet"
    assert kind_of(str(tmp_path)) == "study"
    with pytest.raises(UsageError, match=r"a MedMNIST-format \.npz, a file \.sheet, or a source \(synthetic-fundus, noise\)"):
        load(DataSettings(data="nothing"))
    with pytest.raises(UsageError, match=r"Expected --split-column only with a table.*kind noise"):
        load(DataSettings(data="noise", split_column="split"))


def test_a_loader_that_cannot_be_imported(install):
    install("lost = noise_plugin:LOST")
    with pytest.raises(
        UsageError, match=r"loader 'noise_plugin:missing' of the source 'lost' cannot be imported: AttributeError"
    ):
        load(DataSettings(data="lost"))


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("noise = missing_module:NOISE", r"'noise' of noise-plugin .*missing_module:NOISE cannot be loaded \(ModuleNotFound"),
        ("noise = noise_plugin:MISSING", r"'noise' of noise-plugin .*cannot be loaded \(AttributeError"),
        (
            "noise = noise_plugin:load",
            r"'noise' of noise-plugin .*expected noise_plugin:load to be a Source, but got <",
        ),
        ("other = noise_plugin:NOISE", r"'other' of noise-plugin .*the name of its entry point, but got 'noise'"),
        ("csv = noise_plugin:CSV", r"'csv' of noise-plugin .*this name is in use already"),
    ],
)
def test_an_unusable_plugin_is_a_warning_and_an_error_where_it_is_wanted(install, caplog, entry_point, message):
    install(entry_point, "study = noise_plugin:STUDY")
    assert set(sources()) == BUILT_IN | {"study"}
    (record,) = caplog.records
    assert record.levelname == "WARNING" and re.search(message, record.message)
    name = entry_point.partition(" ")[0]
    with pytest.raises(UsageError, match=rf"The plugin {message}"):
        load(DataSettings(data=name))
