"""Between which processes a stream of samples is divided.

A loader is often made before the process group: Lightning, Accelerate and `torchrun` scripts differ in the order. So the answer
is looked up whenever an iteration starts.
"""

import os
from dataclasses import dataclass

from torch import distributed

from balanced_mixup.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """The rank of this process, from 0, and the number of processes: as given, or as torch.distributed says at the moment.

    Data-parallel replicas that are not the whole process group (tensor or pipeline parallelism) have to be given.

    Raises:
        UsageError: Only one of the two is given, or `rank` is out of range.
    """

    rank: int | None = None
    world_size: int | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        if (self.rank is None) != (self.world_size is None):
            raise UsageError(f"Expected both `rank` and `world_size`, or neither, but got {self.rank} and {self.world_size}.")
        if self.rank is not None and self.world_size is not None and not 0 <= self.rank < self.world_size:
            raise UsageError(f"Expected `rank` to be in 0..{self.world_size - 1}, but got {self.rank}.")

    def now(self, samples: int) -> tuple[int, int]:
        """Return (rank, number of processes) for an iteration over that many samples.

        Raises:
            UsageError: There are fewer samples than processes, or a launcher started several processes that have no process
                group yet, so that each would draw the same samples.
        """
        if self.rank is not None and self.world_size is not None:
            rank, world_size = self.rank, self.world_size
        elif distributed.is_available() and distributed.is_initialized():
            rank, world_size = distributed.get_rank(), distributed.get_world_size()
        elif (started := os.environ.get("WORLD_SIZE") or "1") != "1":
            raise UsageError(
                f"Expected a process group, as a launcher started {started} processes (WORLD_SIZE), but torch.distributed is "
                "not initialised, so each of them would draw the same samples. Call torch.distributed.init_process_group() "
                "before the loader or sampler is used, or give it `rank` and `world_size` (0 and 1 for all samples)."
            )
        else:
            rank, world_size = 0, 1
        if samples < world_size:
            raise UsageError(f"Expected at least one sample for each of {world_size} processes, but got {samples}.")
        return rank, world_size
