"""A trained model in a folder that is shipped: what lies in it. Imports no Torch."""

from __future__ import annotations

from typing import Final

CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"
PROGRAM_FILE: Final = "model.pt2"
ONNX_FILE: Final = "model.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
"""Of texts alone."""
CARD_FILE: Final = "MODEL_CARD.md"


class ExportError(RuntimeError):
    """A model can't be exported, or what was exported isn't the model or is too slow."""
