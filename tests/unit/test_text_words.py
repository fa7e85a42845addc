import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.text.words import NUM_TYPOS, build_lexicon, find_synonyms, misspell

THESAURUS = {"amber": ("gold", "hazel", "burnt orange"), "in": ("indium",), "hazel": ("nut",)}


def build(train=("amber", "hazel", "in"), other=("zebra",), thesaurus=THESAURUS):
    return build_lexicon(train, other, thesaurus, np.random.default_rng(0))


def words_of(lexicon, ids):
    names = {position: word for word, position in lexicon.ids.items()}
    return [names[position] for position in ids.tolist() if position]


def test_ids_are_distinct_and_start_at_1():
    lexicon = build()
    assert sorted(lexicon.ids.values()) == list(range(1, len(lexicon.ids) + 1))
    assert len(lexicon.synonyms) == len(lexicon.typos) == len(lexicon.ids) + 1


def test_synonyms_are_single_words_of_the_thesaurus():
    lexicon = build()
    assert words_of(lexicon, lexicon.synonyms[lexicon.ids["amber"]]) == ["gold", "hazel"]
    assert words_of(lexicon, lexicon.synonyms[lexicon.ids["hazel"]]) == ["nut"]


def test_stop_words_have_no_synonyms():
    assert find_synonyms(["in", "amber"], THESAURUS) == [(), ("gold", "hazel")]


def test_without_a_thesaurus_there_is_no_column():
    assert build(thesaurus=None).synonyms.shape[1] == 0


def test_words_of_other_parts_change_nothing_before_them():
    lexicon, other = build(), build(other=("aardvark", "bee", "amber"))
    num_reachable = lexicon.ids["zebra"]
    assert list(lexicon.ids)[: num_reachable - 1] == list(other.ids)[: num_reachable - 1]
    np.testing.assert_array_equal(lexicon.typos[:num_reachable], other.typos[:num_reachable])
    assert not lexicon.typos[num_reachable:].any()


def test_synonyms_can_be_misspelt():
    lexicon = build()
    assert words_of(lexicon, lexicon.typos[lexicon.ids["gold"]])


@given(word=st.text("abcdeqz", min_size=4, max_size=9), seed=st.integers(0, 1000))
def test_typing_errors_keep_the_ends_and_are_small(word, seed):
    (variants,) = misspell([word], np.random.default_rng(seed))
    assert len(set(variants)) == len(variants) <= NUM_TYPOS
    for variant in variants:
        assert variant != word
        assert (variant[0], variant[-1]) == (word[0], word[-1])
        assert abs(len(variant) - len(word)) <= 1
        is_swap = sorted(variant) == sorted(word)
        num_changed = sum(a != b for a, b in zip(variant, word, strict=False))
        assert len(variant) != len(word) or num_changed == (2 if is_swap else 1)


def test_short_words_and_numbers_are_left_alone():
    words = ["the", "1234", "x_yz", "...."]
    assert misspell(words, np.random.default_rng(0)) == [()] * 4
