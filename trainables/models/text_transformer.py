"""A Transformer encoder for texts."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.encoder import Encoder, init_transformer
from trainables.task import Task
from trainables.trial_config import TrialConfig


class TextTransformer(nn.Module):
    """Embedded tokens through a Transformer encoder; the head sees the mean over real tokens.

    Args:
        config: `width` is the embedding; `depth` blocks of `heads`.
        task: of texts.
    """

    def __init__(self, config: TrialConfig, task: Task) -> None:
        super().__init__()
        assert task.vocab_size is not None
        self.embedding = nn.Embedding(task.vocab_size, config.width)
        self.encoder = Encoder(config, task.input_shape[0])
        self.head = nn.Linear(config.width, task.num_classes)
        init_transformer(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [batch, tokens] int64 ids, 0 for padding, to [batch, num_classes] logits.

        Texts of padding alone all get the same logits, those of no features. A batch may be cut
        to its longest text: padding has no influence.
        """
        is_real = tokens != 0
        # A softmax over no token is 0 / 0: Torch guards against it, other runtimes needn't.
        is_seen = is_real | ~is_real.any(1, keepdim=True)
        x = self.encoder(self.embedding(tokens), is_seen[:, None, None, :])
        weights = is_real.unsqueeze(-1).to(x.dtype)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1)
        return self.head(mean)  # type: ignore[no-any-return]


text_transformer = TextTransformer
