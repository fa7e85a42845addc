import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_text import random_source
from tokenizers import Tokenizer

from trainables.augment.text import Variants
from trainables.data.text.dataset import split_text
from trainables.data.text.device import TextOnDevice, expand
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    return split_text(random_source(), seed=0, thesaurus={"amber": ("gold", "honey")})


def make_config(**probabilities):
    return TrialConfig(model="text_cnn", **probabilities)


def expand_naively(words, table, max_tokens):
    rows = []
    for text in words.tolist():
        tokens = [piece for word in text for piece in table[word].tolist() if piece]
        rows.append((tokens + [0] * max_tokens)[:max_tokens])
    return torch.tensor(rows)


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 7)),
    max_pieces=st.integers(1, 4),
    max_tokens=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_expansion_is_as_the_naive_loop(shape, max_pieces, max_tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, max_pieces + 1, (10, 1), generator=generator)
    lengths[0] = 0
    pieces = torch.randint(1, 99, (10, max_pieces), generator=generator, dtype=torch.int32)
    table = torch.where(torch.arange(max_pieces) < lengths, pieces, 0)
    words = torch.randint(0, 10, shape, generator=generator, dtype=torch.int32)
    tokens = expand(words, Variants.from_numpy(table.numpy(), CPU), max_tokens)
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens, expand_naively(words, table, max_tokens))


def test_model_inputs_are_the_tokens_of_the_texts(data):
    placed = data.on_device(CPU)
    tokens = placed.model_inputs(placed.train.inputs)
    assert tokens.shape == (36, *data.task.input_shape)
    tokenizer = Tokenizer.from_str(data.tokenizer)
    texts = {tuple(tokenizer.encode(text).ids) for text in random_source().texts}
    for row in tokens.tolist():
        assert tuple(token for token in row if token) in texts


def test_the_device_shares_the_memory_of_the_arrays(data):
    placed = TextOnDevice(data, CPU)
    assert placed.train.inputs.data_ptr() == data.train.inputs.ctypes.data
    assert placed.task == data.task
    assert torch.equal(placed.place(data.test).labels, torch.from_numpy(data.test.labels))


def test_augmented_tokens_are_those_of_the_changed_words(data):
    placed = data.on_device(CPU)
    config = make_config(synonym_probability=1.0)
    draws = placed.draw(config, 36, torch.Generator().manual_seed(0))
    tokenizer = Tokenizer.from_str(data.tokenizer)
    amber = tokenizer.encode("amber").ids
    plain = placed.model_inputs(placed.train.inputs)
    changed = placed.augmented(placed.train.inputs, draws)
    assert _contains(plain, amber)
    assert not _contains(changed, amber)
    assert _contains(changed, tokenizer.encode("gold").ids)


def test_augmentation_that_is_off_changes_nothing(data):
    placed = data.on_device(CPU)
    draws = placed.draw(make_config(), 36, torch.Generator().manual_seed(0))
    inputs = placed.train.inputs
    assert torch.equal(placed.augmented(inputs, draws), placed.model_inputs(inputs))


def test_every_text_keeps_a_token(data):
    placed = data.on_device(CPU)
    config = make_config(word_dropout_probability=1.0, character_noise_probability=1.0)
    draws = placed.draw(config, 36, torch.Generator().manual_seed(0))
    assert (placed.augmented(placed.train.inputs, draws) > 0).any(1).all()


def test_synonyms_without_a_thesaurus_are_refused():
    placed = split_text(random_source(), seed=0).on_device(CPU)
    with pytest.raises(InputError, match="without a thesaurus"):
        placed.draw(make_config(synonym_probability=0.1), 4, torch.Generator())


def _contains(tokens, sequence):
    windows = tokens.unfold(1, len(sequence), 1)
    return bool((windows == torch.tensor(sequence)).all(2).any())
