"""A worker's place among those that train together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """A worker's place among those that train together.

    Attributes:
        rank: from 0 to world_size - 1.
        world_size: number of workers.
        device: that this worker trains on.
        group: of all workers; None for a single process, which trains without DDP.
    """

    rank: int
    world_size: int
    device: torch.device
    group: dist.ProcessGroup | None

    def share(self, num_samples: int) -> slice:
        """Return this worker's part of a number of samples; see `share_of`."""
        return share_of(num_samples, self.rank, self.world_size)

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over the workers, in place; all return the same."""
        if self.group is not None:
            dist.all_reduce(values, group=self.group)
        return values

    def gather(self, rows: Tensor, num_samples: int) -> Tensor:
        """Put the workers' shares of something together again; all return the same.

        Args:
            rows: [length of the share, columns].
            num_samples: of all workers.

        Returns:
            [num_samples, columns].
        """
        if self.group is None:
            return rows
        # Shares differ in length by one at most; gathering needs equal ones.
        longest = -(-num_samples // self.world_size)
        padded = F.pad(rows, (0, 0, 0, longest - len(rows)))
        gathered = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(gathered, padded, group=self.group)
        shares = (share_of(num_samples, rank, self.world_size) for rank in range(self.world_size))
        return torch.cat(
            [part[: share.stop - share.start] for part, share in zip(gathered, shares, strict=True)]
        )


def share_of(num_samples: int, rank: int, world_size: int) -> slice:
    """Return a worker's share of samples: contiguous, disjoint, nothing padded.

    Example:
        >>> [share_of(7, rank, 2) for rank in range(2)]
        [slice(0, 3, None), slice(3, 7, None)]
    """
    return slice(rank * num_samples // world_size, (rank + 1) * num_samples // world_size)
