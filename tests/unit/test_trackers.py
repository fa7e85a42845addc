"""MLflow and W&B as they are, without a server; and trackers that fail."""

import importlib.util
import json
import struct
import threading

import pytest
from fake_run import fake_sweep, fake_trial, write_run
from PIL import Image
from sample_sweep import make_recorder, make_result

from sweeps.run_folder import RunFolder
from sweeps.trackers.background import MAX_FAILURES, BackgroundTracker
from sweeps.trackers.choose import check_trackers, start_trackers
from sweeps.trackers.trial_words import lineage_words
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

A, B = (TrialConfig(learning_rate=rate).to_dict() for rate in (0.1, 0.2))
LINEAGE = [
    {"from_epoch": 0, "parent_trial_id": None, "config": json.dumps(A)},
    {"from_epoch": 2, "parent_trial_id": "a", "config": json.dumps(B)},
]
SWEEP = fake_sweep(spec={"epochs": 3, "models": ["resnet8"]}, scheduler="pbt")


@pytest.fixture
def run(tmp_path):
    run = write_run(tmp_path / "pbt-1", [fake_trial("a")], sweep={"name": "pbt"})
    (run / "report").mkdir()
    Image.new("RGB", (30, 20), "red").save(run / "report" / "front.png")
    (run / "report" / "front.csv").write_text("trial\na\n")
    return run


def tell_all(tracker, run):
    """Tell of two trials that train, of which one takes over the other's weights, and one fails."""
    for name in "ab":
        for epoch in (1, 2):
            tracker.report(name, A, make_result(epoch))
    tracker.report("b", B, make_result(3))
    tracker.finish("a", A, fake_trial("a", test_accuracy=None))
    told = {"lineage": LINEAGE, "parent_trial_id": "a", "parent_epoch": 2, "num_exploits": 1}
    tracker.finish("b", B, fake_trial("b", **told))
    failed = {"status": "failed", "reason": "NaN", "epoch": 0, "val_accuracy": None}
    tracker.finish("c", A, fake_trial("c", **failed))
    tracker.examine("a", {"test_accuracy": 0.75, "test_ece": None})
    tracker.conclude(run, {**SWEEP, "status": "finished"})


def test_mlflow_has_a_run_a_trial_below_one_of_the_sweep(run, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)  # artifacts of a local store lie beside it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    warnings = []
    (tracker,) = start_trackers(["mlflow"], {**SWEEP, "name": "pbt"}, run, warnings.append)
    tell_all(tracker, run)
    assert warnings == []
    from mlflow import MlflowClient

    client = MlflowClient()
    (experiment,) = [e for e in client.search_experiments() if e.name == "pbt"]
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"pbt-1", "a", "b", "c"}
    parent, b = runs["pbt-1"], runs["b"]
    assert {runs[n].data.tags["mlflow.parentRunId"] for n in "abc"} == {parent.info.run_id}
    assert parent.data.params["epochs"] == "3"
    assert (parent.data.tags["status"], parent.info.status) == ("finished", "FINISHED")
    pictures = client.list_artifacts(parent.info.run_id, "report")
    assert [a.path for a in pictures] == ["report/front.csv", "report/front.png"]
    curve = client.get_metric_history(b.info.run_id, "val_accuracy")
    points = [(point.step, round(point.value, 3)) for point in curve]
    assert points == [(1, 0.5), (2, 0.75), (3, 0.833)]
    assert b.data.params["learning_rate"] == "0.1"
    assert b.data.tags["final.learning_rate"] == "0.2"
    assert b.data.tags["lineage"] == "a to epoch 2, then b"
    assert b.data.tags["parent_trial_id"] == "a"
    assert b.data.metrics["num_parameters"] == 1000
    assert runs["a"].data.metrics["test_accuracy"] == 0.75
    assert (runs["c"].info.status, runs["c"].data.tags["reason"]) == ("FAILED", "NaN")


def test_wandb_keeps_runs_in_the_run_folder_without_an_account(run, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    assert not wandb.login(prompt=False, verify=False)
    warnings = []
    (tracker,) = start_trackers(["wandb"], SWEEP, run, warnings.append)
    tell_all(tracker, run)
    assert warnings == []
    wandb.teardown()  # waits until its process has written all
    kept = [KeptRun(file) for file in (run / "wandb").glob("offline-run-*/run-*.wandb")]
    runs = {one.name: one for one in kept}
    assert sorted(runs) == ["a", "b", "c", "pbt-1"]
    assert {one.group for one in kept} == {"pbt-1"}
    assert {name: one.kind for name, one in runs.items() if one.kind != "trial"} == {
        "pbt-1": "sweep"
    }
    parent, b = runs["pbt-1"], runs["b"]
    assert b.curve("val_accuracy") == [(1, 0.5), (2, 0.75), (3, pytest.approx(0.8333, abs=1e-4))]
    assert b.summary["lineage"] == "a to epoch 2, then b"
    assert b.summary["val_accuracy"] == 0.8
    assert b.config["learning_rate"] == 0.2
    assert b.tags == ["completed", "donor:a"]
    assert runs["c"].summary["reason"] == "NaN"
    assert parent.summary["a/test_accuracy"] == 0.75
    assert parent.summary["status"] == "finished"
    assert parent.config["epochs"] == 3
    assert parent.artifacts == ["front.csv", "front.png"]
    assert len(list((run / "wandb").rglob("media/images/front_*.png"))) == 1


class KeptRun:
    """A run that W&B keeps for later, read from its file: a LevelDB log of protobuf records."""

    def __init__(self, path):
        self.config, self.summary, self.artifacts = {}, {}, []
        self._history = []
        for record in _wandb_records(path):
            if record.HasField("run"):
                run = record.run
                self.name, self.group, self.kind = run.display_name, run.run_group, run.job_type
                self.tags = list(run.tags)
                self.config |= self._values(run.config.update)
            elif record.HasField("config"):
                self.config |= self._values(record.config.update)
            elif record.HasField("summary"):
                self.summary |= self._values(record.summary.update)
            elif record.HasField("history"):
                self._history.append(self._values(record.history.item))
            elif record.HasField("artifact"):
                self.artifacts += [entry.path for entry in record.artifact.manifest.contents]

    def curve(self, name):
        return [(row["epoch"], row[name]) for row in self._history if name in row]

    @staticmethod
    def _values(items):
        return {
            item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items
        }


def _wandb_records(path):
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:  # a block's end that no header fits in
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, or last
            yield Record.FromString(whole)
            whole = b""


class Recording:
    """Keeps what it is told; fails, or waits, if it is asked to."""

    def __init__(self, fails=lambda: False, waits=None):
        self.told = []
        self._fails, self._waits = fails, waits

    def __getattr__(self, method):
        def tell(*arguments):
            if self._waits is not None:
                self._waits.wait(60)
            self.told.append((method, *arguments))
            if self._fails():
                raise OSError("no route\nto host")

        return tell


def test_calls_come_in_order_and_the_end_waits_for_them(run):
    recording, warnings = Recording(), []
    tracker = BackgroundTracker("x", lambda: recording, warnings.append)
    tell_all(tracker, run)
    methods = [call[0] for call in recording.told]
    assert methods == ["report"] * 5 + ["finish"] * 3 + ["examine", "conclude"]
    assert warnings == []


def test_what_is_told_stays_as_it_was(run):
    waits = threading.Event()
    recording = Recording(waits=waits)
    tracker = BackgroundTracker("x", lambda: recording, print)
    row = make_result(1)
    tracker.report("a", A, row)
    row["epoch"] = 2
    waits.set()
    tracker.conclude(run, SWEEP)
    assert recording.told[0][3]["epoch"] == 1


def test_one_line_is_said_of_a_tracker_that_fails_and_it_is_given_up(run):
    recording, warnings = Recording(fails=lambda: True), []
    tracker = BackgroundTracker("x", lambda: recording, warnings.append)
    tell_all(tracker, run)
    assert warnings == ["x misses something of this sweep: no route to host; the sweep goes on"]
    assert len(recording.told) == MAX_FAILURES


def test_a_tracker_that_fails_now_and_then_is_not_given_up(run):
    recording, warnings = Recording(fails=lambda: len(recording.told) % 2), []
    tracker = BackgroundTracker("x", lambda: recording, warnings.append)
    tell_all(tracker, run)
    assert len(recording.told) == 10
    assert len(warnings) == 1


def test_a_tracker_that_can_not_begin_stops_nothing(run):
    def make():
        raise ImportError("no module")

    warnings = []
    tell_all(BackgroundTracker("x", make, warnings.append), run)
    assert warnings == ["x misses something of this sweep: no module; the sweep goes on"]


def test_nobody_waits_for_a_tracker_that_hangs(run):
    waits, warnings = threading.Event(), []
    recording = Recording(waits=waits)
    tracker = BackgroundTracker(
        "x", lambda: recording, warnings.append, max_waiting=3, last_wait_s=0.1
    )
    tell_all(tracker, run)
    assert warnings == ["x misses something of this sweep: it is behind by 3 calls; the sweep "
                        "goes on"]  # fmt: skip
    assert recording.told == []
    waits.set()


def test_the_end_of_a_sweep_waits_no_longer_than_it_should(run):
    waits, warnings = threading.Event(), []
    tracker = BackgroundTracker(
        "x", lambda: Recording(waits=waits), warnings.append, last_wait_s=0.1
    )
    tracker.conclude(run, SWEEP)
    assert "it was not done 0.1 s after the sweep" in warnings[0]
    waits.set()


def test_the_recorder_tells_its_trackers_all(tmp_path):
    folder = RunFolder(tmp_path / "run", overwrite=False)
    recorder = make_recorder(folder)
    recording = Recording()
    recorder.follow([recording])
    for name in "ab":
        recorder.add(name, A)
    recorder.report("a", make_result(1))
    recorder.exploit("b", "a", 1, B)
    recorder.begin("b")
    recorder.report("b", make_result(2))
    recorder.finish("a", "completed")
    recorder.enter_test("a", {"accuracy": 0.5})
    recorder.close()
    recorder.conclude({**SWEEP, "status": "finished"})
    calls = [(method, *arguments[:2]) for method, *arguments in recording.told]
    assert calls == [
        ("report", "a", A),
        ("report", "b", B),
        ("finish", "a", A),
        ("examine", "a", {"test_accuracy": 0.5}),
        ("finish", "b", B),
        ("conclude", folder.path, {**SWEEP, "status": "finished"}),
    ]
    assert recording.told[4][3]["lineage"][-1]["parent_trial_id"] == "a"


def test_lineages_in_words():
    steps = [(0, None), (2, "a"), (5, "c")]
    lineage = [{"from_epoch": epoch, "parent_trial_id": donor} for epoch, donor in steps]
    row = {"trial_id": "b", "lineage": lineage}
    assert lineage_words(row) == "a to epoch 2, then c to epoch 5, then b"
    assert lineage_words({**row, "lineage": lineage[:1]}) == "b"


def test_what_is_not_installed_is_said_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("mlflow", "wandb"):
        with pytest.raises(InputError) as caught:
            check_trackers([name])
        assert f"got {name} without " in str(caught.value)
        assert str(caught.value).endswith(f'run: pip install -e ".[{name}]"')


def test_a_tracker_is_named_once():
    with pytest.raises(InputError, match="--track must be mlflow or wandb, each once, got wandb"):
        check_trackers(["wandb", "wandb"])
