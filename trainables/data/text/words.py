"""The words of a set of texts, and what augmentation may put in their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.augment.thesaurus import Thesaurus

MAX_SYNONYMS = 8
NUM_TYPOS = 4
_MIN_LETTERS = 4
_KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    row[i]: row[max(i - 1, 0) : i] + row[i + 1 : i + 2]
    for row in _KEYBOARD_ROWS
    for i in range(len(row))
}


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Words by id, and their variants.

    Id 0 is no word. Words of the train part and their variants come first, so that their ids
    don't depend on the other parts.

    Attributes:
        ids: of every word, from 1; in this order.
        synonyms: [num_words, max_synonyms] int32 ids, 0 after a word's last; no column without a
            thesaurus.
        typos: [num_words, NUM_TYPOS] int32 ids of misspelt words, likewise.
    """

    ids: Mapping[str, int]
    synonyms: NDArray[np.int32]
    typos: NDArray[np.int32]


def build_lexicon(
    train_words: Iterable[str],
    other_words: Iterable[str],
    thesaurus: Thesaurus | None,
    generator: np.random.Generator,
) -> Lexicon:
    """Number all words, and give those that training meets synonyms and typing errors.

    Args:
        train_words: normalised; may repeat.
        other_words: of the other parts, which are encoded but never augmented.
        thesaurus: synonyms by word; None for none.
        generator: of the typing errors; is advanced.
    """
    # Sorted, because the order of a set of strings changes from process to process.
    ids = {word: position for position, word in enumerate(sorted(set(train_words)), 1)}
    synonyms = find_synonyms(list(ids), thesaurus) if thesaurus is not None else []
    synonym_ids = _number(synonyms, ids)
    typo_ids = _number(misspell(list(ids), generator), ids)
    for word in sorted(set(other_words) - ids.keys()):
        ids[word] = len(ids) + 1
    width = MAX_SYNONYMS if thesaurus is not None else 0
    return Lexicon(
        ids, _table(synonym_ids, len(ids) + 1, width), _table(typo_ids, len(ids) + 1, NUM_TYPOS)
    )


def find_synonyms(words: Sequence[str], thesaurus: Thesaurus) -> list[tuple[str, ...]]:
    """Return each word's synonyms that are single words too, at most `MAX_SYNONYMS`.

    Stop words have none, as in EDA (Wei and Zou 2019, section 2): of `in`, a thesaurus knows
    only indium and inch.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [
        tuple(
            synonym
            for synonym in thesaurus.get(word, ())
            if synonym.isalpha() and word not in ENGLISH_STOP_WORDS
        )[:MAX_SYNONYMS]
        for word in words
    ]


def misspell(words: Sequence[str], generator: np.random.Generator) -> list[tuple[str, ...]]:
    """Return variants of each word with two letters swapped, one dropped, repeated or mistyped.

    First and last letters stay, and words of fewer than four letters have no variants, as in
    Belinkov and Bisk 2018 (section 3.2). A mistyped letter becomes its neighbour on the keyboard.
    """
    uniforms = generator.random((len(words), NUM_TYPOS + 1)).tolist()
    return [_variants(word, row) for word, row in zip(words, uniforms, strict=True)]


def _variants(word: str, uniforms: Sequence[float]) -> tuple[str, ...]:
    if len(word) < _MIN_LETTERS or not word.isalpha():
        return ()
    num_inner = len(word) - 2
    swapped = 1 + int(uniforms[0] * (num_inner - 1))
    dropped, repeated, mistyped = (1 + int(uniform * num_inner) for uniform in uniforms[1:4])
    variants = [
        word[:swapped] + word[swapped + 1] + word[swapped] + word[swapped + 2 :],
        word[:dropped] + word[dropped + 1 :],
        word[:repeated] + word[repeated] + word[repeated:],
    ]
    neighbours = _NEIGHBOURS.get(word[mistyped])
    if neighbours:
        key = neighbours[int(uniforms[4] * len(neighbours))]
        variants.append(word[:mistyped] + key + word[mistyped + 1 :])
    return tuple(variant for variant in dict.fromkeys(variants) if variant != word)


def _number(variants: Sequence[tuple[str, ...]], ids: dict[str, int]) -> list[list[int]]:
    """Return the ids of variants; words that are new get the next ones in `ids`."""
    return [[ids.setdefault(word, len(ids) + 1) for word in row] for row in variants]


def _table(rows: Sequence[Sequence[int]], num_words: int, width: int) -> NDArray[np.int32]:
    """Return [num_words, width]; `rows` are those of the words from 1 on."""
    table = np.zeros((num_words, width), np.int32)
    for target, row in zip(table[1:], rows, strict=False):
        target[: len(row)] = row
    return table
