import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from trainables.data.text.tokenizer import MAX_PIECES, encode_words, split_words, train_tokenizer

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
