import pickle

import numpy as np
import pytest
from sample_text import WORDS, random_source

from trainables.data.text import words as words_module
from trainables.data.text.dataset import MAX_TOKENS, MAX_WORDS, split_text
from trainables.data.text.tokenizer import split_words, train_tokenizer
from trainables.errors import InputError


def test_parts_are_6_2_2_and_disjoint():
    data = split_text(random_source(), seed=0)
    assert [len(part) for part in (data.train, data.val, data.test)] == [36, 12, 12]
    # Every text ends in a number of its own.
    rows = np.concatenate([part.inputs for part in (data.train, data.val, data.test)])
    assert len(np.unique(rows, axis=0)) == 60
    for part in (data.train, data.val, data.test):
        assert np.bincount(part.labels).tolist() == [len(part) // 3] * 3


def test_the_same_seed_gives_the_same_data_and_another_does_not():
    first, second, other = (split_text(random_source(), seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert first.tokenizer == second.tokenizer
    np.testing.assert_array_equal(first.typos, second.typos)
    np.testing.assert_array_equal(first.train.inputs, second.train.inputs)


def test_an_own_test_part_is_the_test_part():
    data = split_text(random_source(test_texts=["amber", "basil", "cedar"]), seed=0)
    assert [len(part) for part in (data.train, data.val, data.test)] == [45, 15, 3]
    np.testing.assert_array_equal(data.test.labels, [0, 1, 2])


def test_the_tokenizer_sees_the_training_part_only():
    plain = split_text(random_source(test_texts=["amber", "basil", "cedar"]), seed=0)
    strange = split_text(random_source(test_texts=["xyzzy " * 50, "plugh " * 50, "cedar"]), seed=0)
    assert strange.tokenizer == plain.tokenizer
    assert strange.fingerprint != plain.fingerprint
    assert strange.task == plain.task
    np.testing.assert_array_equal(strange.train.inputs, plain.train.inputs)
    np.testing.assert_array_equal(strange.val.inputs, plain.val.inputs)


def test_a_validation_text_does_not_change_the_tokenizer():
    source = random_source(num_samples=60)
    before = split_text(source, seed=0)
    row = before.val.inputs[0]
    text = " ".join(_words(before)[word] for word in row[row > 0])
    source.texts[source.texts.index(text)] = "xyzzy " * 20
    after = split_text(source, seed=0)
    assert after.tokenizer == before.tokenizer
    np.testing.assert_array_equal(after.train.inputs, before.train.inputs)
    assert after.val.inputs[0].tolist() != before.val.inputs[0].tolist()


def _words(data):
    """Words by id, from their pieces."""
    from tokenizers import Tokenizer, decoders

    tokenizer = Tokenizer.from_str(data.tokenizer)
    tokens = [[tokenizer.id_to_token(int(piece)) for piece in row if piece] for row in data.pieces]
    return [decoders.ByteLevel().decode(row).strip() for row in tokens]


def test_inputs_are_the_words_of_the_texts():
    source = random_source(test_texts=["amber unseen", "basil", "cedar 77"])
    data = split_text(source, seed=0)
    words = _words(data)
    texts = [" ".join(words[i] for i in row if i) for row in data.train.inputs]
    assert set(texts) <= set(source.texts)
    assert [words[i] for i in data.test.inputs[0] if i] == ["amber", "unseen"]
    assert words[0] == ""


def test_long_texts_are_cut_and_counted():
    source = random_source()
    source.texts[:30] = [f"{WORDS[i % 3]} " * (MAX_WORDS + i) for i in range(30)]
    data = split_text(source, seed=0)
    assert data.train.inputs.shape[1] == MAX_WORDS
    assert data.task.input_shape[0] <= MAX_TOKENS
    assert data.num_cut == 29


def test_limit_train_keeps_as_many():
    data = split_text(random_source(), seed=0, limit_train=18)
    assert [len(part) for part in (data.train, data.val, data.test)] == [18, 6, 12]


def test_without_test_only_the_test_part_is_empty():
    data = split_text(random_source(), seed=0)
    hidden = data.without_test()
    assert len(hidden.test) == 0
    assert len(data.test) == 12
    assert (hidden.train, hidden.val, hidden.task) == (data.train, data.val, data.task)


def test_data_can_be_pickled():
    data = split_text(random_source(), seed=0)
    assert pickle.loads(pickle.dumps(data)).fingerprint == data.fingerprint


def test_a_thesaurus_must_know_a_word():
    with pytest.raises(InputError, match="thesaurus must know a word of random"):
        split_text(random_source(), seed=0, thesaurus={"gift": ("poison",)})
    plain = split_text(random_source(), seed=0)
    data = split_text(random_source(), seed=0, thesaurus={"amber": ("gold",)})
    assert (plain.has_thesaurus, data.has_thesaurus) == (False, True)
    assert data.fingerprint != plain.fingerprint


def test_the_fingerprint_covers_the_words_of_synonyms():
    thesauri = ({"amber": (word,)} for word in ("gold", "jewel", "gold"))
    gold, jewel, again = (split_text(random_source(), seed=0, thesaurus=t) for t in thesauri)
    np.testing.assert_array_equal(gold.synonyms, jewel.synonyms)
    assert gold.fingerprint == again.fingerprint != jewel.fingerprint


def test_the_fingerprint_covers_typos(monkeypatch):
    plain = split_text(random_source(), seed=0)
    monkeypatch.setattr(words_module, "misspell", lambda words, _: [()] * len(words))
    assert split_text(random_source(), seed=0).fingerprint != plain.fingerprint


def test_a_class_that_is_missing_from_the_own_test_part_is_refused():
    with pytest.raises(InputError, match=r"test part of random .* none of class 2"):
        split_text(random_source(test_texts=["amber", "basil"]), seed=0)


def test_a_class_of_fewer_than_5_is_refused():
    with pytest.raises(InputError, match="5 samples"):
        split_text(random_source(num_samples=12), seed=0)


def test_the_tokenizer_is_that_of_the_training_texts():
    source = random_source(test_texts=["amber", "basil", "cedar"])
    data = split_text(source, seed=0)
    words = _words(data)
    train = [" ".join(words[i] for i in row if i) for row in data.train.inputs]
    in_order = [text for text in source.texts if text in train]
    tokenizer = train_tokenizer(in_order)
    assert tokenizer.to_str() == data.tokenizer
    assert list(split_words(tokenizer, train)) == [text.split() for text in train]


def test_tokens_are_shown_as_text():
    data = split_text(random_source(60), seed=0)
    words = data.test.inputs[0]
    shown = "".join(data.tokens_of(words))
    assert any(word in shown for word in WORDS)
    assert "Ġ" not in shown
    assert len(data.tokens_of(words)) == int((data.pieces[words] > 0).sum())
