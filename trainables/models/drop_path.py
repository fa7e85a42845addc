"""Stochastic depth (Huang et al. 2016, arXiv:1603.09382): residual branches dropped in training."""

from __future__ import annotations

from torchvision.ops import StochasticDepth


def drop_paths(last_rate: float, num_blocks: int) -> list[StochasticDepth]:
    """Return a module for the residual branch of each block.

    The linear rule of section 3: block l of L is dropped with probability l / L * last_rate. Each
    sample of a batch draws for itself; what is kept is scaled up by 1 / (1 - rate).

    Args:
        last_rate: of the last block, from 0 to 1; at 0 nothing is drawn.
        num_blocks: > 0.
    """
    return [
        StochasticDepth(last_rate * block / num_blocks, mode="row")
        for block in range(1, num_blocks + 1)
    ]
