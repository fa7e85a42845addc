import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.export.card_tables import (
    class_table,
    cost_table,
    fraction_words,
    markdown_table,
    robustness_table,
    score_table,
)
from trainables.export.licences import licence_of


def wilson(num_hits, num_samples, z=1.959963984540054):
    """Return the interval of Wilson 1927, by its formula."""
    part, share = num_hits / num_samples, z * z / num_samples
    middle = (part + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(part * (1 - part) / num_samples + share / num_samples / 4)
    return middle - half, middle + half


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_wilsons(counts):
    num_hits, num_samples = counts
    low, high = wilson(num_hits, num_samples)
    words = fraction_words(num_hits / num_samples, num_samples)
    told = [float(text.strip("[,]")) for text in words.split()]
    assert told == pytest.approx([num_hits / num_samples, low, high], abs=6e-5)


def test_a_class_without_samples_has_no_recall():
    assert fraction_words(0.0, 0) == "no samples"


def test_a_bar_in_a_name_is_no_end_of_a_cell():
    assert markdown_table(["a|b"], [["c"]]) == [r"| a\|b |", "| --- |", "| c |"]


def test_scores_that_were_not_computed_are_left_out():
    row = {"val_accuracy": 0.5, "val_top5_accuracy": None, "val_ece": 0.1}
    table = score_table(row, 10, 20)
    assert table[0] == "| score | validation (10) |"
    assert [line.split("|")[1].strip() for line in table[2:]] == [
        "accuracy",
        "calibration error (ECE)",
    ]


def test_the_test_part_has_intervals_of_its_own_size():
    table = score_table({"val_accuracy": 0.5, "test_accuracy": 0.5}, 10, 1000)
    assert table[2] == "| accuracy | 0.5000 [0.2366, 0.7634] | 0.5000 [0.4691, 0.5309] |"


def scores(recall):
    return {"precision": 0.5, "recall": recall, "f1": 0.5, "support": 10, "roc_auc": None}


def test_of_many_classes_the_worst_are_shown():
    few = class_table([scores(0.9), scores(0.1)], ["cat", "dog"])
    assert [line.split()[1] for line in few[2:]] == ["cat", "dog"]
    recalls = [1 - number / 100 for number in range(30)]
    many = class_table([scores(r) for r in recalls], [str(number) for number in range(30)])
    assert [line.split()[1] for line in many[2:]] == [str(n) for n in range(29, 9, -1)]


def test_robustness_is_shown_from_the_least_severity_to_the_greatest():
    rows = [
        {"kind": "attack", "name": "pgd", "severity": s, "num_samples": 10, "accuracy": a}
        for s, a in ((4, 0.1), (1, 0.9), (2, 0.5))
    ]
    (line,) = robustness_table(rows)[2:]
    assert line.startswith("| pgd (attack) | 0.9000 [")
    assert "| 0.1000 [" in line


def test_dollars_stand_where_there_was_a_price():
    row = {"lineage_gang_seconds": 20.0, "lineage_cost_usd": 0.02, "gang_seconds": 10.0}
    table = cost_table(row, {})
    assert table[2] == "| these weights, donors' included | 20 | 0.02 |"
    assert table[3] == "| this trial | 10 | no price was given |"
    assert table[4].endswith("| - | no price was given |")


@pytest.mark.parametrize(
    ("dataset", "name", "said"),
    [
        ("auto", "digits", "CC BY 4.0"),
        ("cifar100", "cifar100", "unknown: its authors state none"),
        ("docstrings", "docstrings", "PSF"),
        ("folder:digits", "digits", "unknown: these are data of your own"),
        ("new", "new", "unknown"),
    ],
)
def test_licences_are_known_of_what_is_opened_by_name(dataset, name, said):
    assert licence_of(dataset, name).startswith(said)
