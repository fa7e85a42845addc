"""The Transformer encoder that images and texts share (Vaswani et al. 2017, arXiv:1706.03762).

Pre-norm, with GELU and a hidden layer of four times the width, as in ViT (Dosovitskiy et al. 2021,
arXiv:2010.11929, section 3.1); dropout is where appendix B.1 has it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables.models.drop_path import drop_paths
from trainables.trial_config import TrialConfig

_INIT_STD = 0.02  # of positions and embeddings, as in BERT and ViT


class _Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_projection = nn.Linear(width, 3 * width)
        self.out_projection = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.in_projection(x).chunk(3, dim=-1)
        )
        backends = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        if self.training and x.is_cuda:
            backends = [SDPBackend.MATH]  # on GPUs, the others' backward is not deterministic
        with sdpa_kernel(backends):
            y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.out_projection(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Attention between tokens, then two layers within each."""

    def __init__(self, config: TrialConfig, drop_path: nn.Module) -> None:
        super().__init__()
        width = config.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _Attention(width, config.heads)
        self.attention_dropout = nn.Dropout(config.dropout)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(config.dropout),
        )
        self.drop_path = drop_path

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.attention_dropout(self.attention(self.attention_norm(x), mask))
        x = x + self.drop_path(y)
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Learned positions added to embedded tokens, `depth` blocks, and a last norm.

    Args:
        config: `width`, `depth`, `heads`, `dropout` and `stochastic_depth` are used.
        num_tokens: the most that an input has.
    """

    def __init__(self, config: TrialConfig, num_tokens: int) -> None:
        super().__init__()
        self.positions = nn.Embedding(num_tokens, config.width)
        self.dropout = nn.Dropout(config.dropout)
        paths = drop_paths(config.stochastic_depth, config.depth)
        self.blocks = nn.ModuleList(_Block(config, path) for path in paths)
        self.norm = nn.LayerNorm(config.width)

    def hidden_layers(self) -> list[nn.Module]:
        """Return the first layer of each block's two: nothing else sees its features."""
        return [block.get_submodule("mlp.0") for block in self.blocks]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map [batch, tokens, width] to the same shape.

        Args:
            x: embedded tokens, without positions.
            mask: bool, broadcast to [batch, heads, tokens, tokens]; True where the token of the
                third axis attends to that of the fourth; None: everywhere.
        """
        x = self.dropout(x + self.positions.weight[: x.shape[1]])
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)  # type: ignore[no-any-return]


def init_transformer(model: nn.Module) -> None:
    """Draw the weights of every linear layer (Glorot uniform) and embedding (normal)."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=_INIT_STD)
