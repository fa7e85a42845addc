"""Random changes of words for whole batches at once, after EDA (Wei and Zou 2019).

In this order: synonyms, typing errors, swaps of neighbours, dropped words. A synonym can so be
misspelt, and what is swapped is what is there.

Chances are drawn on the CPU for the samples of all workers, and each worker takes its slice: what
happens to a text does not depend on the number of workers, nor on the device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.trial_config import TrialConfig


@dataclass(frozen=True, eq=False)
class TextDraws:
    """A number per word for each change: uniform from 0 to 1 / probability.

    The change happens to a word where its number is below 1, and below 1 the number is uniform
    again, so it also chooses among variants. None is for a change that is off.

    Attributes:
        synonym: [num_samples, max_words] float32; likewise the others.
        typo: of typing errors.
        swap: of trading places with the next word.
        drop: of dropping the word.
    """

    synonym: Tensor | None
    typo: Tensor | None
    swap: Tensor | None
    drop: Tensor | None

    def take(self, samples: Tensor | slice) -> TextDraws:
        """Return the draws of some samples."""
        return self._map(lambda draws: draws[samples])

    def to(self, device: torch.device) -> TextDraws:
        """Return the draws on another device."""
        return self._map(lambda draws: draws.to(device))

    def _map(self, function: Callable[[Tensor], Tensor]) -> TextDraws:
        fields = (self.synonym, self.typo, self.swap, self.drop)
        return TextDraws(*(None if draws is None else function(draws) for draws in fields))


@dataclass(frozen=True, eq=False)
class Variants:
    """A table of what may stand for each word.

    Attributes:
        table: [num_words, max_variants] int32 ids, 0 after a word's last.
        counts: [num_words] int64, ids of each word.
    """

    table: Tensor
    counts: Tensor

    @classmethod
    def from_numpy(cls, table: NDArray[np.int32], device: torch.device) -> Variants:
        """Place a table on a device; on the CPU it shares the array's memory."""
        with warnings.catch_warnings():
            # The array may be a read-only view of shared memory. Nothing here writes to it.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            placed = torch.from_numpy(table).to(device)
        return cls(placed, (placed > 0).sum(1))

    def choose(self, words: Tensor, positions: Tensor) -> Tensor:
        """Return the variants of words at some positions, as int64; shapes are equal.

        Positions beyond the table's width mean its last column.
        """
        width = self.table.shape[1]
        return self.table.flatten()[words * width + positions.clamp(max=width - 1)].long()


def draw(
    config: TrialConfig, num_samples: int, max_words: int, generator: torch.Generator
) -> TextDraws:
    """Draw every change that is on, independent by word.

    Each change has a generator of its own, so none depends on whether another is on.

    Args:
        config: its four text probabilities are used.
        num_samples: of all workers together.
        max_words: of a sample.
        generator: on the CPU; advances equally whatever the config is.
    """
    probabilities = (
        config.synonym_probability,
        config.character_noise_probability,
        config.word_swap_probability,
        config.word_dropout_probability,
    )
    seeds = torch.randint(2**63 - 1, (len(probabilities),), generator=generator).tolist()
    shape = (num_samples, max_words)
    return TextDraws(
        *(
            torch.rand(shape, generator=torch.Generator().manual_seed(seed)).div_(probability)
            if probability
            else None
            for probability, seed in zip(probabilities, seeds, strict=True)
        )
    )


def augment(words: Tensor, draws: TextDraws, synonyms: Variants, typos: Variants) -> Tensor:
    """Change words as drawn; never leaves a text without any.

    Args:
        words: [batch, max_words] ids, 0 after a text's last; not modified.
        draws: of these samples, on the device of the words.
        synonyms: of each word; a word without any stays.
        typos: likewise.

    Returns:
        [batch, max_words] int64 ids, 0 also where a word was dropped.
    """
    words = words.long()
    if draws.synonym is not None:
        words = _replace(words, draws.synonym, synonyms)
    if draws.typo is not None:
        words = _replace(words, draws.typo, typos)
    if draws.swap is not None:
        words = _swap(words, draws.swap)
    if draws.drop is not None:
        words = _drop(words, draws.drop)
    return words


def _replace(words: Tensor, draws: Tensor, variants: Variants) -> Tensor:
    counts = variants.counts[words]
    chosen = variants.choose(words, (draws.clamp(max=1) * counts).long())
    return torch.where((draws < 1) & (counts > 0), chosen, words)


def _swap(words: Tensor, draws: Tensor) -> Tensor:
    """Swap drawn words with the next, unless the word before them was drawn too.

    So no word moves by more than one place, and swaps never overlap.
    """
    is_drawn = draws < 1
    is_first = is_drawn.clone()
    is_first[:, 1:] &= ~is_drawn[:, :-1]
    is_first[:, :-1] &= words[:, 1:] > 0
    is_first[:, -1] = False
    is_second = F.pad(is_first[:, :-1], (1, 0))
    swapped = torch.where(is_second, words.roll(1, 1), words)
    return torch.where(is_first, words.roll(-1, 1), swapped)


def _drop(words: Tensor, draws: Tensor) -> Tensor:
    """Drop drawn words; the one with the highest draw stays, if only to leave one."""
    is_kept = draws >= 1
    last_to_go = torch.where(words > 0, draws, -1).argmax(1, keepdim=True)
    return torch.where(is_kept.scatter(1, last_to_go, True), words, 0)
