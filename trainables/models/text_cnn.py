"""A 1-D convolutional network for texts (Kim 2014, arXiv:1408.5882)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.task import Task
from trainables.trial_config import TrialConfig

_KERNELS = (3, 4, 5)  # tokens


class TextCNN(nn.Module):
    """Convolutions of three lengths over embedded tokens; each feature's maximum over the text.

    Args:
        config: `width` is the embedding, and the number of features of each length.
        task: of texts.
    """

    def __init__(self, config: TrialConfig, task: Task) -> None:
        super().__init__()
        assert task.vocab_size is not None
        self.embedding = nn.Embedding(task.vocab_size, config.width, padding_idx=0)
        # Padded at both ends, so that texts shorter than a kernel have features too.
        self.convs = nn.ModuleList(
            nn.Conv1d(config.width, config.width, kernel, padding=kernel // 2)
            for kernel in _KERNELS
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(len(_KERNELS) * config.width, task.num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [batch, tokens] int64 ids, 0 for padding, to [batch, num_classes] logits.

        Texts of padding alone all get the same logits, those of no features. A batch may be cut
        to its longest text: padding has no influence.
        """
        is_real = (tokens != 0).unsqueeze(1)
        x = self.embedding(tokens).transpose(1, 2)
        features = []
        for conv in self.convs:
            y = F.relu(conv(x)[..., : tokens.shape[1]])  # an even kernel gives one place more
            features.append((y * is_real).amax(2))  # after ReLU, zero is no feature
        return self.head(self.dropout(torch.cat(features, 1)))  # type: ignore[no-any-return]


text_cnn = TextCNN
