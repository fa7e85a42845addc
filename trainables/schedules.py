"""Schedules of the learning rate: pure functions of the step. Needs no Torch.

The rate is that in the middle of a step, so that neither the first nor the last step is wasted on
a rate of zero. Beyond the end it stays that of the last step.
"""

from __future__ import annotations

import math

from trainables.trial_config import TrialConfig

# The defaults of Torch's OneCycleLR.
_ONE_CYCLE_RISE_FRACTION = 0.3
_ONE_CYCLE_START_FRACTION = 1 / 25
_ONE_CYCLE_END_FRACTION = _ONE_CYCLE_START_FRACTION / 10_000


def learning_rate(config: TrialConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step by the config's schedule.

    Args:
        config: its learning_rate is the top of the schedule, and its num_epochs the end. Warm-up
            is linear from zero; one_cycle has its own, and takes no other.
        step: from 0, over all epochs.
        steps_per_epoch: > 0.
    """
    total_steps = config.num_epochs * steps_per_epoch
    warmup_steps = config.warmup_epochs * steps_per_epoch
    base_rate = config.learning_rate
    if config.schedule == "cosine":
        return cosine_with_warmup(step, total_steps, warmup_steps, base_rate)
    if config.schedule == "one_cycle":
        assert warmup_steps == 0
        return _one_cycle(step, total_steps, base_rate)
    factor = _step_factor(step, total_steps) if config.schedule == "step" else 1.0
    position = _middle(step, total_steps)
    return base_rate * factor * (position / warmup_steps if position < warmup_steps else 1.0)


def cosine_with_warmup(step: int, total_steps: int, warmup_steps: float, base_rate: float) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to zero.

    The rule of Loshchilov and Hutter 2017 (arXiv:1608.03983), without restarts.

    Args:
        step: from 0.
        total_steps: > 0.
        warmup_steps: from 0 to total_steps.
        base_rate: at the top.

    Example:
        >>> round(cosine_with_warmup(0, 4, 2, 1.0), 3), round(cosine_with_warmup(3, 4, 2, 1.0), 3)
        (0.25, 0.146)
    """
    position = _middle(step, total_steps)
    if position < warmup_steps:
        return base_rate * position / warmup_steps
    progress = (position - warmup_steps) / max(total_steps - warmup_steps, 1)
    return base_rate * _half_cosine(min(progress, 1.0))


def _one_cycle(step: int, total_steps: int, base_rate: float) -> float:
    """Rise linearly, then fall by a cosine to almost nothing.

    Smith and Topin 2018 (arXiv:1708.07120); the cosine down is the way of fast.ai and of Torch,
    whose default constants these are: 30 % of the steps up from 1/25 of the rate, then down to
    1/10,000 of where it began. Momentum isn't cycled.
    """
    progress = _middle(step, total_steps) / total_steps
    if progress < _ONE_CYCLE_RISE_FRACTION:
        start = _ONE_CYCLE_START_FRACTION
        return base_rate * (start + (1 - start) * progress / _ONE_CYCLE_RISE_FRACTION)
    fallen = (progress - _ONE_CYCLE_RISE_FRACTION) / (1 - _ONE_CYCLE_RISE_FRACTION)
    end = _ONE_CYCLE_END_FRACTION
    return base_rate * (end + (1 - end) * _half_cosine(fallen))


def _step_factor(step: int, total_steps: int) -> float:
    """Divide by 10 at a half and at three quarters of the steps.

    He et al. 2016 (arXiv:1512.03385), section 4.2: at 32,000 and 48,000 of 64,000 steps.
    """
    progress = _middle(step, total_steps) / total_steps
    if progress < 0.5:
        return 1.0
    return 0.1 if progress < 0.75 else 0.01


def _middle(step: int, total_steps: int) -> float:
    return min(step, total_steps - 1) + 0.5


def _half_cosine(progress: float) -> float:
    """Fall from 1 to 0 while progress goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))
