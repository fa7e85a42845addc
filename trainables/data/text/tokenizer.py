"""The tokenizer of a set of texts: words by white space and punctuation, pieces by byte-level BPE.

Byte pair encoding (Sennrich, Haddow and Birch 2016) over bytes (Radford et al. 2019) leaves nothing
that can't be encoded. Text is made lower case, in Unicode's form NFKC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

MAX_VOCAB = 8000
MAX_PIECES = 16
PADDING, UNKNOWN = "[PAD]", "[UNK]"
"""Ids 0 and 1. Bytes leave nothing unknown: 1 is there for models that expect it."""

# \w and \s of `pre_tokenizers.Whitespace` in the words of the other engine, that of `Regex`.
_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}"
_SPACE = r"\p{White_Space}"

# Unset, the library complains at every fork after it has used threads; our children only exec.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Learn pieces from texts, those of the training part alone; the same texts give the same."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        # The space that starts each word tells pieces that begin a word from those within.
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCAB,
        min_frequency=2,
        special_tokens=[PADDING, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def serving_tokenizer(tokenizer: str, *, max_words: int, max_tokens: int) -> str:
    """Return a tokenizer that makes of a text what a model was trained on, as JSON.

    Texts are cut to so many words, then to so many tokens, and filled up with padding. Only the
    pieces of a word are not cut (to `MAX_PIECES`): the library has no means to say so.

    Args:
        tokenizer: as `train_tokenizer` made it, as JSON.
        max_words: of a text, as the white space and punctuation of `split_words` give them.
        max_tokens: of a text.
    """
    served = Tokenizer.from_str(tokenizer)
    # What stands before \K stays. The groups are atomic, or a long text would be tried for ever.
    cut = rf"(?m)\A(?>(?:[{_SPACE}]*+(?:[{_WORD}]++|[^{_WORD}{_SPACE}]++)){{{max_words}}})\K.*"
    served.normalizer = normalizers.Sequence(
        [served.normalizer, normalizers.Replace(Regex(cut), "")]
    )
    served.enable_truncation(max_tokens)
    served.enable_padding(pad_id=0, pad_token=PADDING, length=max_tokens)
    content = json.loads(served.to_str())
    content["added_tokens"] = []  # a text that says "[PAD]" has these five letters, and no padding
    return json.dumps(content, ensure_ascii=False)


def split_words(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield each text's words as the tokenizer sees them, normalised."""
    words = pre_tokenizers.Whitespace()
    for text in texts:
        normalised = tokenizer.normalizer.normalize_str(text)
        yield [word for word, _ in words.pre_tokenize_str(normalised)]


def encode_words(tokenizer: Tokenizer, words: Sequence[str]) -> NDArray[np.int32]:
    """Return the pieces of each word: [num_words, num_pieces], 0 after a word's last.

    A word of more than `MAX_PIECES` keeps its first ones.
    """
    encoded = [encoding.ids[:MAX_PIECES] for encoding in tokenizer.encode_batch(list(words))]
    pieces = np.zeros((len(words), max(map(len, encoded), default=1)), np.int32)
    for row, ids in zip(pieces, encoded, strict=True):
        row[: len(ids)] = ids
    return pieces
