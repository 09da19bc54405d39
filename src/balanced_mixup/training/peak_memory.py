"""The memory that a training uses."""

import sys

import torch


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory so far, in bytes: of the GPU, or of this process; None where it is unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
