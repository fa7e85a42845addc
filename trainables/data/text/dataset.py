"""Texts, split, cut into words, and described."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from trainables.augment.thesaurus import Thesaurus
from trainables.data.dataset import Part
from trainables.data.splits import check_classes, split_positions
from trainables.data.text.source import TextSource
from trainables.data.text.tokenizer import encode_words, split_words, train_tokenizer
from trainables.data.text.words import Lexicon, build_lexicon
from trainables.errors import InputError
from trainables.task import Task

if TYPE_CHECKING:
    import torch

    from trainables.data.text.device import TextOnDevice

MAX_WORDS = 96
MAX_TOKENS = 128

_Split = dict[str, tuple[list[str], NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class TextData:
    """Texts, split and described; a `SplitData`.

    Words are the unit of augmentation, and the pieces of the tokenizer that of the model.

    Attributes:
        name: of the data set.
        train: trained on; inputs are [num_samples, max_words] word ids, 0 after the last word.
        val: what the search compares trials on.
        test: read once, for finalists, after the search.
        class_names: [num_classes], by label.
        fingerprint: 16 hex digits of every text, label, the split, tokenizer, synonyms and typos.
        pieces: [num_words, max_pieces] int32 token ids of each word, 0 after its last.
        synonyms: [num_words, max_synonyms] int32 word ids, 0 after a word's last; no column
            without a thesaurus.
        typos: [num_words, num_typos] int32 ids of misspelt words, likewise.
        tokenizer: as JSON, from the training part alone; `Tokenizer.from_str` reads it.
        max_tokens: of a text; longer ones are cut.
        vocab_size: of the tokenizer.
        num_cut: texts that lost words at their end, of all parts.
    """

    name: str
    train: Part
    val: Part
    test: Part
    class_names: tuple[str, ...]
    fingerprint: str
    pieces: NDArray[np.int32]
    synonyms: NDArray[np.int32]
    typos: NDArray[np.int32]
    tokenizer: str
    max_tokens: int
    vocab_size: int
    num_cut: int

    @property
    def task(self) -> Task:
        """Tokens, classes and vocabulary."""
        return Task(
            kind="text",
            input_shape=(self.max_tokens,),
            num_classes=len(self.class_names),
            vocab_size=self.vocab_size,
        )

    @property
    def has_thesaurus(self) -> bool:
        """Whether words can be replaced by synonyms."""
        return bool(self.synonyms.shape[1])

    def tokens_of(self, words: NDArray[np.int32]) -> list[str]:
        """Return the tokens that a model sees of a text ([max_words] word ids), as text."""
        ids = self.pieces[words].ravel()
        tokenizer = Tokenizer.from_str(self.tokenizer)
        return [tokenizer.decode([token]) for token in ids[ids > 0][: self.max_tokens].tolist()]

    def without_test(self) -> TextData:
        """Return the same data with an empty test part."""
        return dataclasses.replace(self, test=self.test.emptied())

    def on_device(self, device: torch.device) -> TextOnDevice:
        """Place the train and validation parts on a device."""
        from trainables.data.text.device import TextOnDevice

        return TextOnDevice(self, device)


def split_text(
    source: TextSource,
    *,
    seed: int,
    limit_train: int | None = None,
    thesaurus: Thesaurus | None = None,
) -> TextData:
    """Split a source, learn its tokenizer from the training part, and number its words.

    Args:
        source: as read; not modified.
        seed: of the split and of the typing errors.
        limit_train: as in `split_positions`.
        thesaurus: for synonyms; None for none.

    Raises:
        InputError: if a class is too small or missing from a part, limit_train is not positive, or
            the thesaurus knows none of the words.
    """
    split = _split(source, seed, limit_train)
    tokenizer = train_tokenizer(split["train"][0])
    words = {name: list(split_words(tokenizer, texts)) for name, (texts, _) in split.items()}
    lexicon = build_lexicon(
        (word for text in words["train"] for word in text),
        (word for name in ("val", "test") for text in words[name] for word in text),
        thesaurus,
        np.random.default_rng([seed, 0x7E97]),
    )
    if thesaurus is not None and not lexicon.synonyms.any():
        raise InputError(
            f"the thesaurus must know a word of {source.name}, got synonyms of none; "
            "give one in the language of the texts"
        )
    pieces = encode_words(tokenizer, ["", *lexicon.ids])
    max_words = min(MAX_WORDS, max(map(len, words["train"])))
    inputs = {name: _number(texts, lexicon.ids, max_words) for name, texts in words.items()}
    num_tokens = {name: (pieces > 0).sum(1)[rows].sum(1) for name, rows in inputs.items()}
    max_tokens = min(MAX_TOKENS, int(num_tokens["train"].max()))
    num_cut = sum(
        len(text) > max_words or tokens > max_tokens
        for name in words
        for text, tokens in zip(words[name], num_tokens[name].tolist(), strict=True)
    )
    train, val, test = (Part(inputs[name], split[name][1]) for name in ("train", "val", "test"))
    return TextData(
        name=source.name,
        train=train,
        val=val,
        test=test,
        class_names=source.class_names,
        fingerprint=_fingerprint(split, tokenizer, lexicon),
        pieces=pieces,
        synonyms=lexicon.synonyms,
        typos=lexicon.typos,
        tokenizer=tokenizer.to_str(),
        max_tokens=max_tokens,
        vocab_size=tokenizer.get_vocab_size(),
        num_cut=num_cut,
    )


def _split(source: TextSource, seed: int, limit_train: int | None) -> _Split:
    """Return texts and labels by name of the part."""
    has_test_part = source.test_texts is not None
    train, val, test = split_positions(
        source.labels, has_test_part=has_test_part, seed=seed, limit_train=limit_train
    )
    split = {
        name: ([source.texts[position] for position in positions], source.labels[positions])
        for name, positions in (("train", train), ("val", val), ("test", test))
    }
    if source.test_texts is not None and source.test_labels is not None:
        split["test"] = (source.test_texts, source.test_labels)
    for name, (_, labels) in split.items():
        check_classes(labels, source.class_names, name=f"the {name} part of {source.name}")
    return split


def _number(
    texts: Sequence[Sequence[str]], ids: Mapping[str, int], max_words: int
) -> NDArray[np.int32]:
    inputs = np.zeros((len(texts), max_words), np.int32)
    for row, words in zip(inputs, texts, strict=True):
        numbers = [ids[word] for word in words[:max_words]]
        row[: len(numbers)] = numbers
    return inputs


def _fingerprint(split: _Split, tokenizer: Tokenizer, lexicon: Lexicon) -> str:
    digest = hashlib.sha256(tokenizer.to_str().encode())
    digest.update(repr(list(lexicon.ids)).encode())  # what the ids of the tables mean
    digest.update(lexicon.synonyms.data)
    digest.update(lexicon.typos.data)
    for name, (texts, labels) in split.items():
        digest.update(repr((name, texts)).encode())
        digest.update(labels.data)
    return digest.hexdigest()[:16]
