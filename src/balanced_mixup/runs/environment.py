"""The environment of a run: versions, machine, seed, fingerprint of the data, commit of the code."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from balanced_mixup.data.manifest import Manifest

_PACKAGES = ("balanced-mixup", "torch", "torchvision", "timm", "lightning", "numpy", "pillow", "scikit-learn", "scipy")


def describe_environment(seed: int, fingerprint: str) -> dict[str, Any]:
    """Return what `environment.json` holds."""
    import torch

    return {
        "versions": {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "seed": seed,
        "data_fingerprint": fingerprint,
        "git_commit": git_commit(),
    }


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
