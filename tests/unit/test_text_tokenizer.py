import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders

from trainables.data.text.tokenizer import (
    MAX_PIECES,
    encode_words,
    serving_tokenizer,
    split_words,
    train_tokenizer,
)

TEXTS = ["The quick brown fox, jumps over the lazy dog.", "def quick_sort(values): return fox"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS)


def test_padding_is_0_and_unknown_is_1(tokenizer):
    assert tokenizer.token_to_id("[PAD]") == 0
    assert tokenizer.token_to_id("[UNK]") == 1


def test_the_same_texts_give_the_same_tokenizer(tokenizer):
    assert train_tokenizer(TEXTS).to_str() == tokenizer.to_str()


def test_words_are_normalised_and_apart_from_punctuation(tokenizer):
    (words,) = split_words(tokenizer, ["The ﬁRST_word, (x)!  "])
    assert words == ["the", "first_word", ",", "(", "x", ")!"]


@given(st.text(min_size=1, max_size=40))
def test_words_have_the_pieces_that_the_library_gives_their_text(tokenizer, text):
    (words,) = split_words(tokenizer, [text])
    pieces = encode_words(tokenizer, words)
    expected = [
        piece
        for word in tokenizer.pre_tokenizer.pre_tokenize_str(
            tokenizer.normalizer.normalize_str(text)
        )
        for piece in tokenizer.model.tokenize(word[0])[:MAX_PIECES]
    ]
    assert pieces[pieces > 0].tolist() == [piece.id for piece in expected]
    if len(text) < MAX_PIECES / 4:  # at most four bytes a letter, so no word is cut
        assert pieces[pieces > 0].tolist() == tokenizer.encode(text).ids


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=2), max_size=5))
def test_pieces_lead_back_to_the_words(tokenizer, texts):
    (words,) = split_words(tokenizer, [" ".join(texts)])
    pieces = encode_words(tokenizer, words)
    decoder = decoders.ByteLevel()
    for word, row in zip(words, pieces, strict=True):
        tokens = [tokenizer.id_to_token(int(token)) for token in row[row > 0]]
        assert decoder.decode(tokens) == f" {word}"


def test_no_piece_is_unknown(tokenizer):
    pieces = encode_words(tokenizer, ["日本語", "🦊", "\x00", "ümläut"])
    assert not (pieces == 1).any()
    assert (pieces > 0).any(1).all()


def test_the_empty_word_has_no_pieces_and_long_words_are_cut(tokenizer):
    pieces = encode_words(tokenizer, ["", "zq" * 50])
    assert pieces.shape == (2, MAX_PIECES)
    assert pieces.dtype == np.int32
    assert not pieces[0].any()
    assert pieces[1].all()


MAX_WORDS, MAX_TOKENS = 5, 40


@pytest.fixture(scope="module")
def served(tokenizer):
    text = serving_tokenizer(tokenizer.to_str(), max_words=MAX_WORDS, max_tokens=MAX_TOKENS)
    return Tokenizer.from_str(text)


def trained_on(tokenizer, text):
    """Return the tokens that a model is trained on, whole words of any number of pieces."""
    (words,) = split_words(tokenizer, [text])
    pieces = [i for word in words[:MAX_WORDS] for i in tokenizer.encode(word).ids][:MAX_TOKENS]
    return pieces + [0] * (MAX_TOKENS - len(pieces))


@given(st.text(max_size=80))
def test_a_served_text_has_the_tokens_of_training(tokenizer, served, text):
    assert served.encode(text).ids == trained_on(tokenizer, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one two three four five six seven",
        "a.b, (c) d\n\te_f",
        "the [PAD] [UNK] lazy dog",  # what was written, and no token of ours
        "a\u0301\u200db \u2028\u3000x" * 9,
        "x" * 100_000,  # an engine that tries again would take for ever
        ("word, " * 50_000),
    ],
)
def test_a_served_text_is_cut_as_in_training(tokenizer, served, text):
    assert served.encode(text).ids == trained_on(tokenizer, text)
