"""Settings of the C library's memory allocator."""

import ctypes
import platform
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step or image, instead of returning it to the system each time.

    Page faults took a tenth of a training step on two cores, and a quarter of decoding a photograph.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the maximum
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
