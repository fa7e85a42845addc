import pyarrow as pa
import pytest
from fake_run import fake_trial, write_run
from rich.console import Console

from analysis.ledger import sum_ledger, sum_spending
from analysis.load import load_run
from analysis.records import LEDGER_KINDS, LEDGER_SCHEMA
from analysis.report import write_report


def span(kind, started_s, ended_s, trial_id=None, cost_usd=None, gang=0):
    return {
        "gang": gang, "generation": 1, "kind": kind, "trial_id": trial_id,
        "started_s": started_s, "ended_s": ended_s, "cost_usd": cost_usd,
    }  # fmt: skip


SPANS = [
    span("start_up", 0.0, 10.0),
    span("training", 10.0, 40.0, "a"),
    span("training", 40.0, 45.0, "b"),
    span("start_up", 0.0, 15.0, gang=1),
    span("lost", 15.0, 55.0, gang=1),
]


def table(spans):
    return pa.Table.from_pylist(spans, schema=LEDGER_SCHEMA)


def test_kinds_are_summed_in_the_order_in_which_they_come():
    sums = sum_ledger(table(SPANS))
    assert [(entry.kind, entry.seconds) for entry in sums] == [
        ("start_up", 25.0), ("training", 35.0), ("lost", 40.0),
    ]  # fmt: skip
    assert [entry.fraction for entry in sums] == [0.25, 0.35, 0.4]
    assert {entry.cost_usd for entry in sums} == {None}


def test_money_is_summed_where_there_is_a_price():
    priced = [{**row, "cost_usd": row["ended_s"] - row["started_s"]} for row in SPANS]
    assert [entry.cost_usd for entry in sum_ledger(table(priced))] == [25.0, 35.0, 40.0]


def test_an_empty_ledger_has_no_sums():
    assert sum_ledger(LEDGER_SCHEMA.empty_table()) == []


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="got 'naps'; read this run with the version"):
        sum_ledger(table([span("naps", 0.0, 1.0)]))


def report(folder, **files):
    console = Console(width=100, record=True)
    write_report(write_run(folder / "run", [fake_trial("a")], **files), console)
    return console.export_text()


def test_the_report_shows_where_the_time_went(tmp_path):
    shown = report(tmp_path, ledger=SPANS)
    assert "Where the gangs' time went" in shown
    assert "25.0%" in shown
    assert LEDGER_KINDS["lost"][:20] in shown
    assert "USD" not in shown.split("Where the gangs' time went")[1]


def test_the_report_of_an_older_run_has_no_such_part(tmp_path):
    assert load_run(write_run(tmp_path / "old", [fake_trial("a")])).ledger.num_rows == 0
    assert "time went" not in report(tmp_path)


def test_training_is_told_by_what_became_of_the_trial(tmp_path):
    trials = [
        fake_trial("a"), fake_trial("b", status="stopped"), fake_trial("c", status="running"),
        fake_trial("d", status="failed"),
    ]  # fmt: skip
    ledger = [*SPANS, span("training", 45.0, 46.0, "c"), span("training", 46.0, 48.0, "d")]
    ledger = [{**row, "cost_usd": 2 * (row["ended_s"] - row["started_s"])} for row in ledger]
    spending = sum_spending(load_run(write_run(tmp_path / "run", trials, ledger=ledger)))
    assert spending.is_whole
    assert [(entry.kind, entry.seconds, entry.cost_usd) for entry in spending.sums] == [
        ("completed", 30.0, 60.0), ("stopped", 5.0, 10.0), ("failed", 2.0, 4.0),
        ("unfinished", 1.0, 2.0), ("lost", 40.0, 80.0), ("start_up", 25.0, 50.0),
    ]  # fmt: skip
    assert sum(entry.fraction for entry in spending.sums) == pytest.approx(1.0)


def test_without_a_ledger_spending_is_what_trials_were_charged(tmp_path):
    trials = [
        fake_trial("a", gang_seconds=10.0, lost_seconds=4.0, cost_usd=1.0),
        fake_trial("b", status="stopped", gang_seconds=5.0, cost_usd=0.5),
        fake_trial("c", status="refused", gang_seconds=0.0, cost_usd=0.0),
    ]
    spending = sum_spending(load_run(write_run(tmp_path / "run", trials)))
    assert not spending.is_whole
    assert [(e.kind, e.seconds, e.cost_usd) for e in spending.sums] == [
        ("completed", 6.0, pytest.approx(0.6)), ("stopped", 5.0, 0.5), ("lost", 4.0, 0.4),
    ]  # fmt: skip
