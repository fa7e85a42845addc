"""Texts on the device that trains on them: word ids in, token ids out."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.augment.text import TextDraws, Variants, augment, draw
from trainables.augment.thesaurus import check_synonyms
from trainables.data.dataset import Part
from trainables.data.device import PlacedPart, place
from trainables.data.text.dataset import TextData
from trainables.trial_config import TrialConfig


class TextOnDevice:
    """Texts on a device; a `DeviceData`."""

    def __init__(self, data: TextData, device: torch.device) -> None:
        self.task = data.task
        self._has_thesaurus = data.has_thesaurus
        self._device = device
        self.train = self.place(data.train)
        self.val = self.place(data.val)
        self._synonyms = Variants.from_numpy(data.synonyms, device)
        self._typos = Variants.from_numpy(data.typos, device)
        self._pieces = Variants.from_numpy(data.pieces, device)

    def place(self, part: Part) -> PlacedPart:
        """Place word ids and labels; on the CPU the tensors share their memory."""
        return place(part, self._device)

    def draw(self, config: TrialConfig, num_samples: int, generator: torch.Generator) -> TextDraws:
        """Draw the augmentation of a number of texts.

        Raises:
            InputError: if the config asks for synonyms and there is no thesaurus.
        """
        check_synonyms(config, has_thesaurus=self._has_thesaurus)
        return draw(config, num_samples, self.train.inputs.shape[1], generator)

    def augmented(self, inputs: Tensor, draws: TextDraws) -> Tensor:
        """Return the tokens of augmented texts: [batch, max_tokens] int64."""
        return self.model_inputs(augment(inputs, draws, self._synonyms, self._typos))

    def model_inputs(self, inputs: Tensor) -> Tensor:
        """Return the tokens of texts: [batch, words] int32 to [batch, max_tokens] int64."""
        return expand(inputs, self._pieces, self.task.input_shape[0])


def expand(words: Tensor, pieces: Variants, max_tokens: int) -> Tensor:
    """Return the pieces of each text's words one after another, without gaps.

    Each place of the result looks for the word that it falls into, which needs no scatter.

    Args:
        words: [batch, num_words] ids; 0, no word, may stand anywhere.
        pieces: of each word.
        max_tokens: longer texts are cut, shorter ones are filled up with 0.

    Returns:
        [batch, max_tokens] int64.
    """
    words = words.long()
    lengths = pieces.counts[words]
    ends = lengths.cumsum(1)
    places = torch.arange(max_tokens, device=words.device).expand(len(words), -1).contiguous()
    owners = torch.searchsorted(ends, places, right=True)
    is_filled = owners < words.shape[1]
    owners = owners.clamp_(max=words.shape[1] - 1)
    offsets = places - (ends - lengths).gather(1, owners)
    tokens = pieces.choose(words.gather(1, owners), offsets)
    return torch.where(is_filled, tokens, 0)
