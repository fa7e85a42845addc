import json

import pyarrow.parquet as pq
import pytest
from sample_latency import make_figure
from sample_sweep import make_recorder, make_result

from analysis.load import load_run
from analysis.records import (
    LATENCY_FILE,
    LATENCY_SCHEMA,
    RESULTS_FILE,
    RESULTS_SCHEMA,
    SCHEMA_VERSION,
    SCORE_NAMES,
    TEST_SCORES,
    TRIALS_FILE,
    TRIALS_SCHEMA,
    VAL_SCORES,
)
from sweeps.journal import Event
from sweeps.recorder import FLUSH_INTERVAL_S
from sweeps.run_folder import RunFolder
from sweeps.slo import Refusal
from sweeps.trial_record import Pricing
from trainables.ledger import Account
from trainables.trial_config import TrialConfig

TOO_SLOW = Refusal("too slow", make_figure())
A, B, C = (TrialConfig(width=8 * i, learning_rate=0.1 * i).to_dict() for i in (1, 2, 3))


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run", overwrite=False)


def rows(folder, name=TRIALS_FILE):
    return pq.read_table(folder.path / name).to_pylist()


def lineage(record):
    return [
        (step["from_epoch"], step["parent_trial_id"], json.loads(step["config"]))
        for step in record.lineage
    ]


NULLS = {"reason", "parent_trial_id", "parent_epoch"}


def test_rows_keep_to_the_schema(folder):
    recorder = make_recorder(folder, price=3.6, gpus_per_gang=2)
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    recorder.on_refuse("b", TOO_SLOW)
    for epoch in (1, 2):
        recorder.set_status("a", "running")
        recorder.report("a", make_result(epoch, checkpoint=f"{folder.checkpoints}/a/{epoch}"))
    recorder.finish("a", "completed")
    recorder.close()
    assert pq.read_table(folder.path / TRIALS_FILE).schema == TRIALS_SCHEMA
    assert pq.read_table(folder.path / RESULTS_FILE).schema == RESULTS_SCHEMA

    first = rows(folder)[0]
    assert json.loads(first.pop("config")) == A
    first.pop("lineage")
    assert {name: value for name, value in first.items() if value is not None or name in NULLS} == {
        "trial_id": "a", "status": "completed", "reason": None, "parent_trial_id": None,
        "parent_epoch": None, "num_exploits": 0, "architecture": "width 8", "num_parameters": 800,
        "epoch": 2, "train_loss": 0.5, "val_loss": 1.0, "val_accuracy": 0.75,
        "latency_p50_ms": 1.0, "gang_seconds": 20.0, "gpu_seconds": 40.0,
        "cost_usd": pytest.approx(20 / 3600 * 3.6), "lost_seconds": 0.0,
        "lineage_gang_seconds": 20.0, "lineage_cost_usd": pytest.approx(20 / 3600 * 3.6),
        "checkpoint": "checkpoints/a/2",
        "reproduce": f"python -m sweeps.reproduce {folder.path} a",
    }  # fmt: skip
    results = rows(folder, RESULTS_FILE)
    assert [(row["trial_id"], row["epoch"]) for row in results] == [("a", 1), ("a", 2)]
    reported = make_result(2) | {
        "trial_id": "a",
        "parent_trial_id": None,
        "gpu_seconds": 40.0,
    }
    for name in set(RESULTS_SCHEMA.names) - {"cost_usd"}:
        assert results[1][name] == reported.get(name), name
    assert results[1]["cost_usd"] == first["cost_usd"]


def test_a_run_without_a_result_is_a_run(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.close()
    assert rows(folder, RESULTS_FILE) == []
    (row,) = rows(folder)
    assert (row["epoch"], row["val_accuracy"], row["checkpoint"]) == (0, None, None)


def test_how_a_trial_ended_is_kept_with_the_reason(folder):
    recorder = make_recorder(folder)
    for name in ("refused", "failed", "stopped", "completed", "pending", "running", "paused"):
        recorder.add(name, A)
    recorder.on_refuse("refused", TOO_SLOW)
    recorder.set_status("running", "running")
    recorder.set_status("paused", "paused")
    recorder.report("running", make_result(1))
    recorder.finish("failed", "failed", "out of memory\nTraceback: ...")
    recorder.finish("stopped", "stopped", "stopped by asha after epoch 1")
    recorder.finish("completed", "completed")
    recorder.close()
    ended = {row["trial_id"]: (row["status"], row["reason"]) for row in rows(folder)}
    interrupted = ("interrupted", "the sweep ended before it did")
    assert ended == {
        "refused": ("refused", "too slow"),
        "failed": ("failed", "out of memory\nTraceback: ..."),
        "stopped": ("stopped", "stopped by asha after epoch 1"),
        "completed": ("completed", None),
        "pending": interrupted,
        "running": interrupted,
        "paused": interrupted,
    }


def test_an_exploit_takes_over_the_donors_past(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.add("b", B)
    recorder.exploit("b", "a", 2, C)
    recorder.begin("b")
    record = recorder.trials["b"]
    assert record.config == B  # until it reports, its figures are those of what it was
    recorder.report("b", make_result(3))
    assert lineage(record) == [(0, None, A), (2, "a", C)]
    assert (record.parent_trial_id, record.parent_epoch, record.num_exploits) == ("a", 2, 1)
    assert record.config == C
    assert record.architecture == "width 24"  # C's, not B's
    assert lineage(recorder.trials["a"]) == [(0, None, A)]


def test_a_trial_that_went_back_behind_an_exploit_has_that_in_its_lineage(folder):
    recorder = make_recorder(folder)
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    second = {**A, "learning_rate": 0.7}
    recorder.exploit("b", "a", 3, second)
    recorder.begin("b")
    recorder.report("b", make_result(4))
    recorder.report("b", make_result(5, went_back_to_epoch=4))  # its own checkpoint, damaged
    assert lineage(recorder.trials["b"]) == [(0, None, A), (3, "a", second)]
    recorder.report("b", make_result(6, went_back_to_epoch=2))  # and the one it copied
    assert lineage(recorder.trials["b"]) == [(0, None, A), (2, "a", second)]
    assert recorder.trials["b"].parent_epoch == 2
    third = {**A, "learning_rate": 0.8}
    recorder.exploit("c", "b", 5, third)
    recorder.begin("c")
    recorder.report("c", make_result(6, went_back_to_epoch=1))  # before b copied anything
    assert lineage(recorder.trials["c"]) == [(0, None, A), (1, "b", third)]


def test_a_checkpoint_that_was_deleted_is_named_no_more(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.report("a", make_result(1, checkpoint=f"{folder.path}/checkpoints/a/epoch_0001-1"))
    recorder.forget_checkpoint("a")
    assert recorder.trials["a"].checkpoint is None


def test_lineage_follows_two_exploits_in_a_row(folder):
    recorder = make_recorder(folder)
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    second = {**A, "learning_rate": 0.7}
    recorder.exploit("b", "a", 2, second)  # b: a's weights after epoch 2
    recorder.begin("b")
    recorder.report("b", make_result(3))
    third = {**A, "learning_rate": 0.8}
    recorder.exploit("c", "b", 4, third)  # c: b's after epoch 4, so two epochs are still a's
    recorder.begin("c")
    recorder.report("c", make_result(5))
    assert lineage(recorder.trials["c"]) == [(0, None, A), (2, "a", second), (4, "b", third)]
    assert lineage(recorder.trials["b"]) == [(0, None, A), (2, "a", second)]

    # The same trial again: what it inherited before counts no more.
    fourth = {**A, "learning_rate": 0.9}
    recorder.exploit("c", "a", 5, fourth)
    recorder.begin("c")
    recorder.report("c", make_result(6))
    assert lineage(recorder.trials["c"]) == [(0, None, A), (5, "a", fourth)]
    assert recorder.trials["c"].num_exploits == 2


def test_the_first_epoch_after_an_exploit_names_the_donor(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.add("b", B)
    for name in "ab":
        recorder.report(name, make_result(1))
    recorder.exploit("b", "a", 1, C)
    recorder.begin("b")
    for epoch in (2, 3):
        for name in "ab":
            recorder.report(name, make_result(epoch))
    recorder.close()
    named = [
        (row["trial_id"], row["epoch"], row["parent_trial_id"])
        for row in rows(folder, RESULTS_FILE)
        if row["parent_trial_id"] is not None
    ]
    assert named == [("b", 2, "a")]


def test_a_donors_config_that_never_trained_is_no_past(folder):
    recorder = make_recorder(folder)
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    recorder.exploit("b", "a", 2, B)
    recorder.exploit("c", "b", 2, C)  # b took a's weights and has not trained since
    recorder.begin("c")
    recorder.report("c", make_result(3))
    assert lineage(recorder.trials["c"]) == [(0, None, A), (2, "b", C)]


def test_the_report_that_led_to_an_exploit_is_still_the_trials_own(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.add("b", B)
    recorder.exploit("b", "a", 1, C)
    recorder.report("b", make_result(2))
    assert recorder.trials["b"].config == B
    recorder.begin("b")
    recorder.report("b", make_result(2))
    assert recorder.trials["b"].config == C
    recorder.close()
    named = [row["parent_trial_id"] for row in rows(folder, RESULTS_FILE)]
    assert named == [None, "a"]


def test_a_given_config_is_not_kept_by_reference(folder):
    recorder, config = make_recorder(folder), dict(A)
    recorder.add("a", config)
    config["learning_rate"] = 99.0
    assert recorder.trials["a"].config == A


@pytest.mark.parametrize(
    ("pricing", "seconds", "cost"),
    [
        (Pricing(0, None), 3600, None),
        (Pricing(0, 0.1), 3600, 0.1),
        (Pricing(8, 32.0), 900, 8.0),
        (Pricing(0.5, 2.0), 0, 0.0),
    ],
)
def test_a_gang_is_paid_by_the_hour(pricing, seconds, cost):
    assert pricing.cost_usd(seconds) == (None if cost is None else pytest.approx(cost))


def test_a_lineage_costs_what_its_donors_spent_before_the_exploits_and_its_own_since(folder):
    recorder = make_recorder(folder, price=3600.0)
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    for epoch in (1, 2, 3):
        recorder.report("a", make_result(epoch, gang_seconds=10.0 * epoch))
    recorder.report("b", make_result(1, gang_seconds=50.0))
    recorder.exploit("b", "a", 2, C)  # 20 s of a's, and b's 50 s before are not in its weights
    recorder.begin("b")
    recorder.report("b", make_result(3, gang_seconds=57.0))
    record = recorder.trials["b"]
    assert (record.gang_seconds, record.lineage_gang_seconds) == (57.0, 27.0)
    assert (record.cost_usd, record.lineage_cost_usd) == pytest.approx((57.0, 27.0))
    recorder.exploit("c", "b", 3, A)  # through both
    recorder.begin("c")
    recorder.report("c", make_result(4, gang_seconds=4.0))
    assert recorder.trials["c"].lineage_gang_seconds == 31.0
    recorder.settle(Account(by_trial={"b": 60.0}, lost_by_trial={"b": 2.0}))
    assert (record.gang_seconds, record.lineage_gang_seconds) == (60.0, 30.0)
    assert record.lost_seconds == 2.0


def test_an_epoch_is_told_from_what_is_around_it(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    for epoch, gang_seconds in ((1, 5.0), (2, 7.0)):
        recorder.report("a", make_result(epoch, gang_seconds=gang_seconds))
    record = recorder.trials["a"]  # 1 s of training and 0.5 s of validation
    assert (record.epoch_seconds, record.around_seconds) == ([1.5, 1.5], [3.5, 0.5])


def test_a_donor_that_has_not_trained_since_its_own_exploit_hands_on_what_it_took(folder):
    recorder = make_recorder(folder)
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    recorder.report("a", make_result(1, gang_seconds=10.0))
    recorder.report("b", make_result(1, gang_seconds=99.0))
    recorder.exploit("b", "a", 1, B)
    recorder.exploit("c", "b", 1, C)
    recorder.begin("c")
    recorder.report("c", make_result(2, gang_seconds=3.0))
    assert recorder.trials["c"].lineage_gang_seconds == 13.0


def test_the_budget_leaves_trials_where_they_are(folder):
    recorder = make_recorder(folder)
    for name in ("begun", "denied", "new", "done"):
        recorder.add(name, A)
    for name in ("begun", "denied", "done"):
        recorder.report(name, make_result(2))
    recorder.finish("done", "completed")
    recorder.end_all_unpaid({"denied": "an epoch takes too long"}, "nothing is left")
    ended = {name: (t.status, t.reason) for name, t in recorder.trials.items()}
    assert ended == {
        "begun": ("stopped", "stopped by the budget after epoch 2: nothing is left"),
        "denied": ("stopped", "stopped by the budget after epoch 2: an epoch takes too long"),
        "new": ("refused", "trained no epoch: nothing is left"),
        "done": ("completed", None),
    }


def test_carbon_is_that_of_measured_energy_or_null(folder):
    recorder = make_recorder(folder, carbon=0.4)
    for name, joules in (("a", 3.6e6), ("b", None)):
        recorder.add(name, A)
        recorder.report(name, make_result(1, energy_joules=joules))
    recorder.close()
    assert [row["carbon_kg"] for row in rows(folder)] == [0.4, None]


def test_files_are_written_now_and_then_and_at_the_end(folder):
    now_s = [0.0]
    recorder = make_recorder(folder, clock=lambda: now_s[0])
    recorder.add("a", A)

    def num_written():
        return len(rows(folder, RESULTS_FILE))

    recorder.report("a", make_result(1))
    assert num_written() == 1  # the first at once, so that a run can be looked at
    recorder.report("a", make_result(2))
    assert num_written() == 1
    now_s[0] += FLUSH_INTERVAL_S
    recorder.report("a", make_result(3))
    assert num_written() == 3
    recorder.report("a", make_result(4))
    recorder.close()
    assert [row["epoch"] for row in rows(folder, RESULTS_FILE)] == [1, 2, 3, 4]


@pytest.mark.parametrize("num_trials", [1, 20])
def test_the_run_folder_holds_as_many_files_however_many_trials(folder, num_trials):
    recorder = make_recorder(folder)
    for index in range(num_trials):
        recorder.add(f"t{index}", A)
        recorder.report(f"t{index}", make_result(1))
        recorder.finish(f"t{index}", "completed")
    recorder.close()
    assert {path.name for path in folder.path.iterdir()} == {
        TRIALS_FILE,
        RESULTS_FILE,
        "tensorboard",
    }
    assert len(list(folder.tensorboard.rglob("*tfevents*"))) == num_trials


def test_a_checkpoint_outside_the_run_keeps_its_address(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.report("a", make_result(1, checkpoint="s3://bucket/a/1"))
    assert recorder.trials["a"].checkpoint == "s3://bucket/a/1"
    recorder.report("a", make_result(2))  # an epoch that was not saved
    assert recorder.trials["a"].checkpoint == "s3://bucket/a/1"


def test_what_was_written_opens_in_the_analysis(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.add("b", B)
    recorder.report("a", make_result(1))
    recorder.exploit("b", "a", 1, C)
    recorder.begin("b")
    recorder.finish("a", "failed", "loss must be finite")
    recorder.close()
    folder.write_json("sweep.json", {"schema_version": SCHEMA_VERSION})
    folder.write_table(LATENCY_FILE, LATENCY_SCHEMA, [])
    run = load_run(folder.path)
    assert run.trials["status"].to_pylist() == ["failed", "interrupted"]
    assert len(run.results) == 1


def test_an_exploited_trial_has_no_checkpoint_of_what_it_was(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.add("b", B)
    recorder.report("b", make_result(1, checkpoint="s3://bucket/b/1"))
    recorder.exploit("b", "a", 1, C)
    recorder.begin("b")
    assert recorder.trials["b"].checkpoint == "s3://bucket/b/1"
    recorder.report("b", make_result(2))  # an epoch that was not saved
    assert recorder.trials["b"].checkpoint is None
    recorder.report("b", make_result(3, checkpoint="s3://bucket/b/3"))
    assert recorder.trials["b"].checkpoint == "s3://bucket/b/3"


@pytest.mark.parametrize(
    ("joules", "sums"),
    [
        ([3.6e6, 1.8e6, 3.6e6], [1.0, 1.5, 2.5]),
        ([0.0, 3.6e6], [0.0, 1.0]),
        ([None, None], [None, None]),
        ([3.6e6, None, 3.6e6], [1.0, None, None]),  # less than the whole would be a made-up sum
        ([None, 3.6e6], [None, None]),
    ],
)
def test_energy_adds_up_as_long_as_every_epoch_tells_of_it(folder, joules, sums):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    for epoch, value in enumerate(joules, start=1):
        recorder.report("a", make_result(epoch, energy_joules=value))
    recorder.close()
    assert [row["energy_kwh"] for row in rows(folder, RESULTS_FILE)] == sums
    assert rows(folder)[0]["energy_kwh"] == sums[-1]


def test_each_trial_has_an_energy_of_its_own(folder):
    recorder = make_recorder(folder)
    for name in "ab":
        recorder.add(name, A)
        recorder.report(name, make_result(1, energy_joules=3.6e6))
    assert [trial.figures["energy_kwh"] for trial in recorder.trials.values()] == [1.0, 1.0]


DETAILS = {
    "confusion": [[3, 1], [0, 4]],
    "per_class": [
        {"precision": 1.0, "recall": 0.75, "f1": 0.9, "support": 4, "roc_auc": None},
        {"precision": 0.8, "recall": 1.0, "f1": 0.9, "support": 4, "roc_auc": 0.5},
    ],
    "roc_curve": [{"fpr": [], "tpr": []}, {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}],
}


def test_tables_are_those_of_the_last_epoch_and_of_the_trials_row_alone(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    recorder.add("b", B)
    recorder.report("a", make_result(1, val_details=json.dumps({"confusion": [[1]]})))
    recorder.report("a", make_result(2, val_details=json.dumps(DETAILS)))
    recorder.close()
    first, second = rows(folder)
    for name, table in DETAILS.items():
        assert first[f"val_{name}"] == table
        assert second[f"val_{name}"] is None
        assert f"val_{name}" not in RESULTS_SCHEMA.names


def test_what_an_epoch_scores_stands_in_both_files(folder):
    recorder = make_recorder(folder)
    recorder.add("a", A)
    columns = [field.name for field in VAL_SCORES] + ["samples_per_second", "data_wait_fraction"]
    scores = {name: index / 16 for index, name in enumerate(columns)}
    recorder.report("a", make_result(1, **scores, peak_memory_bytes=2**33))
    recorder.close()
    for row in (rows(folder)[0], rows(folder, RESULTS_FILE)[0]):
        assert {name: row[name] for name in columns} == scores
        assert row["peak_memory_bytes"] == 2**33


def test_a_finalists_test_scores_stand_in_its_row_alone(folder):
    recorder = make_recorder(folder)
    for name, config in (("a", A), ("b", B)):
        recorder.add(name, config)
        recorder.report(name, make_result(1))
        recorder.finish(name, "completed")
    before = dict(recorder.trials["a"].row())
    scores = {name: None if name == "top5_accuracy" else 0.5 for name in SCORE_NAMES}
    recorder.enter_test("a", scores)
    recorder.close()
    first, second = rows(folder)
    assert {name: first[f"test_{name}"] for name in SCORE_NAMES} == scores
    assert all(second[field.name] is None for field in TEST_SCORES)
    after = recorder.trials["a"].row()
    assert {name for name in after if after[name] != before[name]} == {
        f"test_{name}" for name in SCORE_NAMES if name != "top5_accuracy"
    }


def test_what_was_written_down_gives_the_same_records(folder, tmp_path):
    events = []

    def write(kind, *, is_synced=False, **fields):
        events.append(Event(len(events), kind, json.loads(json.dumps(fields))))

    recorder = make_recorder(folder, price=3.6)
    recorder._write = write
    for name, config in (("a", A), ("b", B), ("c", C)):
        recorder.add(name, config)
    recorder.refuse("c", "too slow")
    for name in "ab":
        recorder.begin(name)
        recorder.report(
            name, make_result(1, checkpoint=f"{folder.checkpoints}/{name}/epoch_0001-1")
        )
    recorder.exploit("a", "b", 1, C)
    recorder.report("a", make_result(2), {"decision": "NOOP"})
    recorder.begin("a")
    recorder.report("a", make_result(2, is_stopped_early=True, done=True))
    recorder.finish("a", "stopped", "its patience")
    recorder.finish("b", "failed", "out of memory")
    again = make_recorder(RunFolder(tmp_path / "again", overwrite=False), price=3.6)
    again.replay(events)
    for name, record in recorder.trials.items():
        other = again.trials[name]
        other.reproduce = record.reproduce
        assert other == record
    recorder.close()
    again.close()
    results = [rows(f, RESULTS_FILE) for f in (folder, again._folder)]
    assert results[0] == results[1]


def test_what_the_budget_ended_is_no_end_in_the_journal(folder):
    kinds = []
    recorder = make_recorder(folder)
    recorder._write = lambda kind, **_: kinds.append(kind)
    recorder.add("a", A)
    recorder.end_unpaid("a", "spent")
    assert kinds == ["add", "unpaid"]
    assert recorder.trials["a"].status == "refused"


def test_a_checkpoint_is_told_once(folder):
    written = []
    recorder = make_recorder(folder)
    recorder._write = lambda kind, **fields: written.append((kind, fields.get("checkpoint")))
    recorder.add("a", A)
    location = f"{folder.checkpoints}/a/epoch_0001-1"
    recorder.report("a", make_result(1, checkpoint=location))
    assert not recorder.save("a", location)
    assert recorder.save("a", f"{folder.checkpoints}/a/epoch_0002-1")
    assert written[-1] == ("saved", "checkpoints/a/epoch_0002-1")
