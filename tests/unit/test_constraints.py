import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.constraints import MAX_DEPTH, meets, parse_constraints

COLUMNS = ["latency_ms", "val_accuracy", "flops", "test_accuracy"]
TABLE = pa.table(
    {
        "latency_ms": [1.0, 5.0, 9.0, None],
        "val_accuracy": [0.9, 0.95, None, 0.5],
        "flops": pa.array([1, 2, 3, 4], pa.int64()),
        "status": ["completed"] * 4,
    }
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("latency_ms < 5", [1, 0, 0, 0]),
        ("latency_ms<=5", [1, 1, 0, 0]),
        ("latency_ms >= 5", [0, 1, 1, 0]),
        ("latency_ms == 5.0", [0, 1, 0, 0]),
        ("latency_ms != 5e0", [1, 0, 1, 0]),
        ("latency_ms > -1", [1, 1, 1, 0]),
        ("latency_ms < 9 and val_accuracy >= 0.95", [0, 1, 0, 0]),
        ("latency_ms < 2 or flops > 2", [1, 0, 1, 1]),
        ("flops > 1 and flops < 4 or val_accuracy < .6", [0, 1, 1, 1]),
        ("flops > 1 and (flops < 4 or val_accuracy < .6)", [0, 1, 1, 1]),
        ("(flops < 2 or flops > 3) and val_accuracy > 0.6", [1, 0, 0, 0]),
        ("not latency_ms < 5", [0, 1, 1, 0]),
        ("not (latency_ms < 5 or val_accuracy < 1)", [0, 0, 0, 0]),
        ("not not flops == 3", [0, 0, 1, 0]),
    ],
)
def test_rules_hold_where_they_should(text, met):
    assert meets(TABLE, text).tolist() == list(map(bool, met))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "a column name, not or"),
        ("   ", "a column name, not or"),
        ("latency_ms", "< <= > >= == or != after a column name"),
        ("latency_ms <", "a number after <"),
        ("latency_ms < five", "a number after <, .* at 'five'"),
        ("latency_ms < nan", "a number after <"),
        ("latency_ms < 5 val_accuracy > 1", "and, or or the end .* at 'val_accuracy'"),
        ("latency_ms < 5 and", "a column name"),
        ("latency_ms = 5", "column names, numbers"),
        ("latency_ms < 5; import os", "column names, numbers"),
        ("__import__('os')", "column names, numbers"),
        ("__import__ < 5", "must name numeric columns, got '__import__'"),
        ("(latency_ms < 5", r"a closing \)"),
        ("latency_ms < 5)", "and, or or the end"),
        ("speed < 5", "got 'speed'; choose from latency_ms, val_accuracy, flops$"),
        ("status == 1", "got 'status'"),
        ("test_accuracy > 0.5", "must not read the test part, got 'test_accuracy'; use val_acc"),
        ("and < 5", "a column name"),
        ("(" * 999 + "flops > 1", f"at most {MAX_DEPTH} levels"),
    ],
)
def test_what_is_no_rule_is_one_clear_line(text, match):
    with pytest.raises(ValueError, match=match) as caught:
        parse_constraints(text, COLUMNS)
    assert "\n" not in str(caught.value)


rules = st.recursive(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(COLUMNS[:3]),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.sampled_from(["1", "2.5", "-3", "5e0", "0.9"]),
    ),
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("not ({})".format, inner)
    ),
    max_leaves=6,
)


@given(rules)
def test_complete_trials_are_judged_as_python_would(text):
    values = {"latency_ms": 2.5, "val_accuracy": 0.9, "flops": 5}
    table = pa.table({name: [value] for name, value in values.items()})
    assert meets(table, text).tolist() == [eval(text, {}, values)]


@given(rules)
def test_what_is_printed_reads_as_the_same_rule(text):
    rule = parse_constraints(text, COLUMNS)
    again = parse_constraints(str(rule), COLUMNS)
    np.testing.assert_array_equal(rule.holds(TABLE), again.holds(TABLE))


@given(st.text(max_size=30))
def test_any_text_is_a_rule_or_a_value_error(text):
    try:
        parse_constraints(text, COLUMNS)
    except ValueError:
        pass
