"""What is shipped: licences of everything that an installation brings."""

import ast
import re
import sys
import tarfile
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import setuptools.build_meta
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("all", "tensorboard", "mlflow", "wandb", "xlsx")


def installed_closure(name, extras, found=None):
    """Return the metadata of a distribution and of all that it needs with these extras, by name; what is absent is left out."""
    found = {} if found is None else found
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return found
    key = (re.sub(r"[-_.]+", "-", name).lower(), frozenset(extras))
    if key not in found:
        found[key] = package.metadata
        for needed in map(Requirement, package.requires or ()):
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                installed_closure(needed.name, needed.extras, found)
    return found


def licence(metadata):
    classifiers = [line for line in metadata.get_all("Classifier", ()) if line.startswith("License ::")]
    return metadata["License-Expression"] or "; ".join(classifiers) or metadata["License"] or ""


def is_gpl(text):
    """Whether a licence leaves no other choice than the GPL or AGPL; the LGPL is a licence to link to."""
    choices = re.split(r"\bOR\b|;", text)
    return all(re.search(r"(?<!L)(?<!Lesser )\bA?GPL|(?<!Lesser )General Public License", choice) for choice in choices)


def test_nothing_that_is_installed_is_under_the_gpl():
    packages = installed_closure("balanced-mixup", EXTRAS)
    assert len(packages) > 50
    assert [name for (name, _), metadata in packages.items() if is_gpl(licence(metadata))] == []


def test_what_counts_as_gpl():
    assert is_gpl("GPL-3.0-or-later")
    assert is_gpl("License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    assert is_gpl("AGPL-3.0-only")
    assert not is_gpl("License :: OSI Approved :: GNU Lesser General Public License v2 (LGPLv2)")
    assert not is_gpl("MIT OR GPL-3.0-only")
    assert not is_gpl("")


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {Requirement(line).name for line in project["dependencies"]}
    declared |= {Requirement(line).name for name, lines in extras.items() if name != "dev" for line in lines}
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    owners = packages_distributions()
    own = {"balanced_mixup", *sys.stdlib_module_names}
    undeclared = {name for name in imported - own if declared.isdisjoint(map(_normal, owners.get(name, [name])))}
    assert "torch" in imported
    assert undeclared == set()


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_source_distribution_has_no_tests_that_could_not_run(tmp_path, monkeypatch):
    for name in (
        "pyproject.toml",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
        "src/balanced_mixup/__init__.py",
        "tests/test_paper.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    archive = setuptools.build_meta.build_sdist(str(tmp_path / "out"))
    with tarfile.open(tmp_path / "out" / archive) as content:
        names = [name.partition("/")[2] for name in content.getnames()]
    assert "src/balanced_mixup/__init__.py" in names
    assert not [name for name in names if name.startswith("tests")]
