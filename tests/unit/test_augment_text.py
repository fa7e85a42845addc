import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.augment.text import Variants, augment, draw
from trainables.trial_config import TrialConfig

NUM_WORDS = 50
FIELDS = {
    "synonym": "synonym_probability",
    "typo": "character_noise_probability",
    "swap": "word_swap_probability",
    "drop": "word_dropout_probability",
}
some_words = st.lists(st.integers(0, 12), min_size=1, max_size=6)
probability = st.sampled_from([0.01, 0.3, 0.9, 1.0])


def make_config(**probabilities):
    fields = {FIELDS[name]: value for name, value in probabilities.items()}
    return TrialConfig(model="text_cnn", **fields)


def make_words(lengths, seed=0):
    """Texts of the given numbers of words; ids from 1 to NUM_WORDS - 1."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(1, NUM_WORDS, (len(lengths), 12), generator=generator, dtype=torch.int32)
    return torch.where(torch.arange(12) < torch.tensor(lengths)[:, None], words, 0)


def make_variants(offset):
    """Word i has i % 4 variants: i + offset, i + offset + 1, ...; variants have none."""
    table = torch.zeros(300, 3)
    ids = torch.arange(NUM_WORDS)[:, None] + offset + torch.arange(3)
    table[:NUM_WORDS] = torch.where(torch.arange(3) < (ids[:, :1] - offset) % 4, ids, 0)
    return Variants.from_numpy(table.int().numpy(), torch.device("cpu"))


SYNONYMS, TYPOS = make_variants(100), make_variants(200)


def run(words, seed=0, **probabilities):
    generator = torch.Generator().manual_seed(seed)
    draws = draw(make_config(**probabilities), *words.shape, generator)
    return augment(words, draws, SYNONYMS, TYPOS)


@given(lengths=some_words, seed=st.integers(0, 1000))
def test_with_all_off_words_stay(lengths, seed):
    words = make_words(lengths, seed)
    assert torch.equal(run(words, seed), words.long())


@given(lengths=some_words, seed=st.integers(0, 1000), p=probability)
def test_swaps_keep_the_words_and_move_each_by_one_place_at_most(lengths, seed, p):
    words = make_words(lengths, seed)
    before = words.clone()
    swapped = run(words, seed, swap=p)
    assert torch.equal(words, before)
    assert torch.equal(swapped.sort(1).values, words.long().sort(1).values)
    assert torch.equal(swapped > 0, words > 0)
    for row, original in zip(swapped.tolist(), words.tolist(), strict=True):
        position = 0
        while position < 12:
            if row[position] == original[position]:
                position += 1
            else:
                assert row[position : position + 2] == original[position : position + 2][::-1]
                position += 2


@given(lengths=some_words, seed=st.integers(0, 1000), p=probability)
def test_dropped_words_leave_the_others_in_place_and_never_none(lengths, seed, p):
    words = make_words(lengths, seed)
    dropped = run(words, seed, drop=p)
    assert ((dropped == words) | (dropped == 0)).all()
    num_words, num_left = (words > 0).sum(1), (dropped > 0).sum(1)
    assert torch.equal(num_left > 0, num_words > 0)
    if p == 1:
        assert num_left.tolist() == [min(1, length) for length in lengths]


@given(lengths=some_words, seed=st.integers(0, 1000), p=probability)
@pytest.mark.parametrize(("name", "offset"), [("synonym", 100), ("typo", 200)])
def test_replaced_words_come_from_the_table(lengths, seed, p, name, offset):
    words = make_words(lengths, seed).long()
    changed = run(words, seed, **{name: p})
    variant = changed - words - offset
    is_from_table = (variant >= 0) & (variant < words % 4) & (words > 0)
    assert (is_from_table | (changed == words)).all()
    if p == 1:
        assert torch.equal(is_from_table, (words > 0) & (words % 4 > 0))


def test_probabilities_are_per_word_and_variants_equally_likely():
    words = torch.full((500, 40), 3)
    for name, offset in (("synonym", 100), ("typo", 200)):
        changed = run(words, **{name: 0.3})
        counts = torch.bincount((changed - 3 - offset).clamp(min=-1).flatten() + 1, minlength=4)
        assert (counts / counts.sum()).tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.01)
    assert (run(words, drop=0.3) == 0).float().mean() == pytest.approx(0.3, abs=0.01)


def test_swaps_are_about_as_frequent_as_asked_for():
    words = torch.arange(1, 41).expand(500, -1)
    # Each swap moves two words, and a word whose predecessor was drawn stays: 2 p (1 - p).
    moved = (run(words, swap=0.1) != words).float().mean()
    assert moved == pytest.approx(2 * 0.1 * 0.9, abs=0.01)


def test_changes_come_in_their_order():
    words = torch.tensor([[3, 7]])
    changed = run(words, synonym=1, typo=1, swap=1)
    assert changed.shape == words.shape
    # Variants have no variants of their own here, so what comes first is what is seen.
    assert 103 <= changed[0, 1] <= 105
    assert 107 <= changed[0, 0] <= 109


@pytest.mark.parametrize("name", FIELDS)
def test_one_option_leaves_the_draws_of_the_others(name):
    def draws_of(config):
        generator = torch.Generator().manual_seed(0)
        return draw(config, 6, 5, generator), generator.get_state()

    every = dict.fromkeys(FIELDS, 0.2)
    all_on, state = draws_of(make_config(**every))
    one_off, state_without = draws_of(make_config(**{**every, name: 0}))
    assert torch.equal(state, state_without)
    for other in FIELDS:
        if other == name:
            assert getattr(one_off, other) is None
        else:
            assert torch.equal(getattr(one_off, other), getattr(all_on, other))


@pytest.mark.parametrize("num_workers", [2, 3])
def test_workers_together_do_what_one_would(num_workers):
    words = make_words([5, 12, 1, 7, 9, 3])
    draws = draw(
        make_config(**dict.fromkeys(FIELDS, 0.4)), *words.shape, torch.Generator().manual_seed(3)
    )
    whole = augment(words, draws, SYNONYMS, TYPOS)
    for worker in range(num_workers):
        mine = torch.arange(len(words))[worker::num_workers]
        mine_draws = draws.take(mine).to(torch.device("cpu"))
        assert torch.equal(augment(words[mine], mine_draws, SYNONYMS, TYPOS), whole[mine])
