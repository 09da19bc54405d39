"""What is shipped: licences of everything that an installation brings."""

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

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
