"""The environment of a run: versions, machine, threads, seed, fingerprint of the data, commit of the code.

A training gives the same bits again where all that is compared in `differences` is the same.
"""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.training.recipe import Recipe

_PACKAGES = ("balanced-mixup", "torch", "torchvision", "timm", "lightning", "numpy", "pillow", "scikit-learn", "scipy")
_DECIDE_BITS = ("balanced-mixup", "torch", "timm", "lightning", "numpy", "pillow")


def describe_environment(recipe: Recipe, threads: int, fingerprint: str) -> dict[str, Any]:
    """Return what `environment.json` holds; `threads` are those of each process."""
    import torch

    return {
        "versions": {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
        "torch_threads": threads,
        "torch_interop_threads": torch.get_num_interop_threads(),
        "device": _device(recipe),
        "processes": recipe.processes,
        "gpu": torch.cuda.get_device_name() if torch.cuda.device_count() else None,
        "seed": recipe.seed,
        "data_fingerprint": fingerprint,
        "git_commit": git_commit(),
    }


def recorded_threads(environment: Mapping[str, Any]) -> int | None:
    """Return the number of threads that a run was started with; None where it is not known."""
    threads = environment.get("torch_threads")
    return threads if isinstance(threads, int) and 1 <= threads <= 1024 else None


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between two environments that decides about the last bits of a training, in a phrase each.

    What an older version did not record counts as equal.
    """
    named = {
        "processor": "the processor",
        "cpu_capability": "the instruction set",
        "torch_threads": "the number of threads",
        "device": "the device",
        "processes": "the number of processes",
    }
    for key, name in named.items():
        if key in recorded and recorded[key] != now[key] and (key != "processor" or "cpu_capability" in recorded):
            yield f"{name} was {recorded[key]}, now {now[key]}"
    if recorded.get("gpu") != now.get("gpu") and now.get("device") != "cpu":
        yield f"the GPU was {recorded.get('gpu')}, now {now.get('gpu')}"
    versions = recorded.get("versions")
    if not isinstance(versions, Mapping):
        return
    for package in _DECIDE_BITS:
        if versions.get(package) != now["versions"][package]:
            yield f"{package} was {versions.get(package)}, now {now['versions'][package]}"


def _processor() -> str:
    """Return the model of the processor."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _device(recipe: Recipe) -> str:
    """Return the kind of device that the recipe means on this machine."""
    if recipe.accelerator != "auto":
        return recipe.accelerator
    import torch

    return "gpu" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def git_commit() -> str | None:
    """Return the commit of the checkout that this package runs from, with "-dirty" if modified; None outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        # An installed copy may be inside another project's checkout (its .venv), whose commit would be wrong.
        if not git("ls-files", Path(__file__).name):
            return None
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def fingerprint(manifest: Manifest, digests: tuple[str, ...]) -> str:
    """Return a hash of the data that a run uses: names, content, labels, classes, groups and split."""
    state = hashlib.blake2b(digest_size=16)
    groups = [""] * len(manifest) if manifest.groups is None else manifest.groups.tolist()
    split = [""] * len(manifest) if manifest.split is None else manifest.split.tolist()
    state.update(repr((manifest.classes, manifest.ordinal)).encode())
    for row in zip(manifest.images.names, digests, manifest.labels.tolist(), groups, split, strict=True):
        state.update(repr(row).encode())
    return state.hexdigest()
