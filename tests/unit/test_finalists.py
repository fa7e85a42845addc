import dataclasses
from collections import defaultdict, deque
from types import SimpleNamespace

import pyarrow as pa
import pytest
import ray
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_data import random_data
from sample_sweep import TWO_GANGS
from sample_text import random_source

from analysis.records import (
    ATTRIBUTIONS_SCHEMA,
    RESULTS_SCHEMA,
    ROBUSTNESS_SCHEMA,
    TEST_SCORES,
    TRIALS_SCHEMA,
    Objective,
)
from sweeps import gangs
from sweeps.errands import MAX_LOSSES
from sweeps.finalists import (
    Finding,
    attribution_rows,
    choose_finalists,
    examine_finalists,
    robustness_rows,
)
from sweeps.front import front, ranks
from sweeps.plan import plan_sweep
from sweeps.spec import STEERING_COLUMNS, SweepSpec
from sweeps.trial_record import TrialRecord
from trainables.data.text.dataset import split_text
from trainables.errors import InputError
from trainables.examine import ExamineOptions, examine
from trainables.orders import Examine, Finished, Lost, NoGangLeftError, Start, Ticket, TrialFailure
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig

OBJECTIVES = (Objective("val_accuracy", "max"), Objective("latency_p50_ms", "min"))
OPTIONS = ExamineOptions(robustness_samples=2, attribution_samples=2, seed=0)
TEST_COLUMNS = [field.name for field in TEST_SCORES]


def make_trial(index, *, accuracy=None, latency_ms=None, **fields):
    """A trial; by default one of a front that gets better and slower with the index."""
    figures = {
        "val_accuracy": index / 100 if accuracy is None else accuracy,
        "latency_p50_ms": float(index) if latency_ms is None else latency_ms,
    }
    values = {
        "status": "completed",
        "epoch": 1,
        "checkpoint": f"checkpoints/{index}/epoch_0001-1",
    } | fields
    return TrialRecord(f"t{index}", {"width": index}, figures=figures, **values)


def ids(trials):
    return [trial.trial_id for trial in trials]


# Choosing


@pytest.mark.parametrize(
    ("num_finalists", "expected"),
    [
        (0, []),
        (1, ["t9"]),
        (2, ["t9", "t1"]),
        (3, ["t9", "t5", "t1"]),
        (8, ["t9", "t8", "t7", "t6", "t4", "t3", "t2", "t1"]),
        (9, [f"t{index}" for index in range(9, 0, -1)]),
        (50, [f"t{index}" for index in range(9, 0, -1)]),
    ],
)
def test_finalists_are_spread_along_the_front_with_both_ends(num_finalists, expected):
    trials = [make_trial(index) for index in range(1, 10)]
    assert ids(choose_finalists(trials, OBJECTIVES, num_finalists)) == expected


VALUES = st.integers(0, 6).map(float)
TRIALS = st.lists(
    st.tuples(VALUES, VALUES, st.sampled_from(["completed", "stopped", "failed", "refused"]),
              st.booleans()),
    max_size=12,
)  # fmt: skip
SCORES = st.none() | st.floats(allow_nan=True)


def drawn_trials(drawn):
    return [
        make_trial(
            index,
            accuracy=accuracy,
            latency_ms=latency_ms,
            status=status,
            checkpoint=f"checkpoints/{index}/epoch_0001-1" if is_saved else None,
        )
        for index, (accuracy, latency_ms, status, is_saved) in enumerate(drawn)
    ]


@given(TRIALS, st.integers(0, 13))
def test_finalists_are_saved_and_of_the_front_first(drawn, num_finalists):
    trials = drawn_trials(drawn)
    saved = [t for t in trials if t.checkpoint and t.status in ("completed", "stopped")]
    members = [trial for trial in front(trials, OBJECTIVES) if trial.checkpoint]
    chosen = choose_finalists(trials, OBJECTIVES, num_finalists)
    assert len(chosen) == min(num_finalists, len(saved))
    assert len(set(ids(chosen))) == len(chosen)
    assert all(trial in saved for trial in chosen)
    of_front = chosen[: len(members)]
    assert all(trial in members for trial in of_front)
    if len(of_front) > 1:
        assert (of_front[0], of_front[-1]) == (members[0], members[-1])
    rank_of = {t.trial_id: n for n, rank in enumerate(ranks(trials, OBJECTIVES)) for t in rank}
    num_ranks = max((rank_of[t.trial_id] for t in chosen), default=0)
    better = {t.trial_id for t in saved if rank_of[t.trial_id] < num_ranks}
    assert better <= set(ids(chosen))  # nobody is chosen before one of a better rank


def test_where_the_front_is_short_the_next_ranks_follow():
    good = [make_trial(index) for index in (5, 3)]
    near = [make_trial(4, latency_ms=6.0), make_trial(2, latency_ms=4.0)]
    assert ids(choose_finalists([*near, *good], OBJECTIVES, 3)) == ["t5", "t3", "t4"]
    assert ids(choose_finalists([*near, *good], OBJECTIVES, 9)) == ["t5", "t3", "t4", "t2"]


# The test part


@given(TRIALS, st.integers(0, 5), st.data())
def test_what_the_test_part_says_chooses_nobody(drawn, num_finalists, data):
    trials = drawn_trials(drawn)
    expected = ids(choose_finalists(trials, OBJECTIVES, num_finalists))
    for trial in trials:
        trial.figures.update({name: data.draw(SCORES) for name in TEST_COLUMNS})
    assert ids(choose_finalists(trials, OBJECTIVES, num_finalists)) == expected


@pytest.mark.parametrize("column", TEST_COLUMNS)
def test_what_the_test_part_says_is_no_objective(column):
    assert column in TRIALS_SCHEMA.names
    for direction in ("max", "min"):
        with pytest.raises(
            ValueError, match=f"must not read the test part, got '{column}'; use val"
        ):
            Objective.parse(f"{column}:{direction}")
        with pytest.raises(InputError, match="--objectives must not read the test part"):
            SweepSpec(objectives=(f"{column}:{direction}",))


def test_no_epoch_tells_of_the_test_part():
    for names in (RESULTS_SCHEMA.names, STEERING_COLUMNS):
        assert not [name for name in names if "test" in name]


@pytest.mark.parametrize("kind", ["image", "text"])
def test_the_search_gives_no_worker_the_test_part(kind, monkeypatch):
    data = random_data() if kind == "image" else split_text(random_source(150), seed=0)
    given_out = []

    def start_desk(workers_per_gang, payload, held_from_s, gate, first_lease, num_there):
        given_out.append(payload)
        return SimpleNamespace(close=Remote(lambda: None))

    class FakeGang:
        def __init__(self, *arguments):
            given_out.extend(arguments)

        def closing(self):
            pass

        def join(self, timeout_s):
            return True

    monkeypatch.setattr(gangs, "start_desk", start_desk)
    monkeypatch.setattr(gangs, "Gang", FakeGang)
    monkeypatch.setattr(ray, "get", lambda value: value)
    cluster = SimpleNamespace(is_local=True, scratch="scratch", node_types=(), node_wait_s=0.0)
    with gangs.hold_gangs(TWO_GANGS, data, cluster, "storage"):
        pass
    payload, *others = given_out
    assert len(payload.test) == 0
    base = payload.test.inputs.base
    assert base is None or base.size == 0  # no view of what it was taken out of
    for part in ("train", "val"):
        assert getattr(payload, part) is getattr(data, part)
    assert not any(isinstance(value, type(data)) for value in others)
    assert len(data.test) > 0


class Closed:
    """Stands for a test part that nobody may look at."""

    def __getattr__(self, name):
        raise AssertionError(f"the search read {name} of the test part")

    def __len__(self):
        raise AssertionError("the search read the length of the test part")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_planning_training_and_stopping_early_do_not_look_at_the_test_part(kind):
    data = random_data() if kind == "image" else split_text(random_source(150), seed=0)
    closed = dataclasses.replace(data, test=Closed())
    spec = SweepSpec(space=("optimizer", "regularisation"), epochs=2)
    assert plan_sweep(spec, TWO_GANGS, closed, None).num_trials
    config = TrialConfig(
        model="resnet8" if kind == "image" else "text_cnn", width=4, batch_size=16,
        crop_padding_px=4, patience_epochs=1,
    )  # fmt: skip
    cpu = torch.device("cpu")
    Training(config, closed.on_device(cpu), Ranks(0, 1, cpu, None)).train_epoch()


# Examining


class Remote:
    """A method of an actor, called here and now."""

    def __init__(self, method):
        self.remote = method


class FakeDesk:
    """A desk whose gang answers each order with what is next in the trial's replies.

    Args:
        replies: by trial id; where there are none left, the order is carried out.
    """

    def __init__(self, replies=(), leases=()):
        self.replies = defaultdict(
            deque, {name: deque(given) for name, given in dict(replies).items()}
        )
        self.failing_leases = dict(leases)
        self.orders = defaultdict(list)
        self.leased, self.released = [], []
        self.lease, self.order, self.release = map(
            Remote, (self._lease, self._order, self._release)
        )

    def _lease(self, trial_id, purpose, owner):
        assert (purpose, owner) == ("examination", trial_id)
        if trial_id in self.failing_leases:
            raise self.failing_leases[trial_id]
        ticket = Ticket(len(self.leased), trial_id, 0, 1)
        self.leased.append(ticket)
        return ticket

    def _order(self, ticket, order):
        self.orders[ticket.trial_id].append(order)
        reply = self.replies[ticket.trial_id].popleft() if self.replies[ticket.trial_id] else DONE
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _release(self, ticket):
        self.released.append(ticket)


FOUND = {"scores": {"accuracy": 0.5}, "robustness": [], "attributions": []}
DONE = Finished(FOUND, gang_seconds=1.0, generation=1)
LOST = Lost("worker 1 died")
FAILED = TrialFailure("out of memory", "Traceback ...")


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    """Objects are their own references."""
    monkeypatch.setattr(ray, "get", lambda value, timeout=None: value)
    monkeypatch.setattr(ray, "put", lambda value: value)


def run_examination(desk, num_trials=1, data=None, *, is_stopping=False):
    trials = [make_trial(index) for index in range(num_trials)]
    findings = examine_finalists(
        trials,
        desk,
        data or random_data(),
        OPTIONS,
        locate=lambda name: f"/run/{name}",
        num_gangs=2,
        is_stopping=lambda: is_stopping,
    )
    assert [finding.trial_id for finding in findings] == ids(trials)
    assert sorted(desk.released, key=vars_of) == sorted(desk.leased, key=vars_of)
    return findings


def vars_of(ticket):
    return dataclasses.astuple(ticket)


def test_a_finalist_starts_from_its_checkpoint_and_meets_the_test_part():
    desk, data = FakeDesk(), random_data()
    assert run_examination(desk, data=data) == [Finding("t0", FOUND, None)]
    start, order = desk.orders["t0"]
    assert start == Start({"width": 0}, "/run/checkpoints/0/epoch_0001-1")
    assert order == Examine([data.test], OPTIONS)


def test_findings_come_in_the_order_of_the_finalists():
    findings = run_examination(FakeDesk(), num_trials=5)
    assert all(finding.found == FOUND for finding in findings)


@pytest.mark.parametrize("num_losses", range(MAX_LOSSES))
@pytest.mark.parametrize("is_at_start", [False, True])
def test_a_lost_gang_is_no_ones_fault(num_losses, is_at_start):
    replies = ([LOST] if is_at_start else [DONE, LOST]) * num_losses
    desk = FakeDesk({"t0": replies})
    assert run_examination(desk) == [Finding("t0", FOUND, None)]
    assert len(desk.leased) == num_losses + 1


def test_a_finalist_whose_gang_is_lost_too_often_is_given_up():
    desk = FakeDesk({"t0": [DONE, LOST] * MAX_LOSSES})
    (finding,) = run_examination(desk)
    assert finding == Finding("t0", None, "its gang was lost 3 times: worker 1 died")
    assert len(desk.leased) == MAX_LOSSES


@pytest.mark.parametrize("replies", [[FAILED], [DONE, FAILED], [LOST, FAILED]])
def test_a_failure_is_that_finalists_alone(replies):
    desk = FakeDesk({"t1": replies})
    findings = run_examination(desk, num_trials=3)
    assert [finding.failure for finding in findings] == [None, "out of memory", None]
    assert findings[1].found is None


def test_without_any_gang_left_the_search_is_not_lost():
    error = ray.exceptions.RayTaskError("lease", "Traceback ...", NoGangLeftError("gang 0 ended"))
    desk = FakeDesk(leases={"t1": error})
    findings = run_examination(desk, num_trials=3)
    assert [finding.failure for finding in findings] == [None, "it got no gang: gang 0 ended", None]


def test_the_lease_is_given_back_whatever_happens():
    desk = FakeDesk({"t0": [RuntimeError("the desk is gone")]})
    with pytest.raises(RuntimeError, match="the desk is gone"):
        run_examination(desk)
    assert desk.released == desk.leased != []


def test_none_begins_once_the_sweep_is_interrupted():
    desk = FakeDesk()
    findings = run_examination(desk, num_trials=2, is_stopping=True)
    assert [finding.failure for finding in findings] == ["the sweep was interrupted"] * 2
    assert desk.leased == []


def test_an_end_of_ray_is_that_finalists_failure():
    desk = FakeDesk({"t0": [ray.exceptions.RayActorError()]})
    (finding,) = run_examination(desk)
    assert finding.failure.startswith("Ray failed: ")


def test_figures_of_a_later_epoch_than_the_checkpoint_are_not_examined():
    older = make_trial(0, epoch=4)
    assert choose_finalists([older], OBJECTIVES, 3) == []


# Rows


def findings_of(data, config):
    """What one finalist of an epoch of training gives, and one that failed."""
    cpu = torch.device("cpu")
    placed, ranks = data.on_device(cpu), Ranks(0, 1, cpu, None)
    training = Training(config, placed, ranks)
    found = examine(training, placed, placed.place(data.test), ranks, OPTIONS)
    return [Finding("a", found, None), Finding("b", None, "out of memory")]


def stored(rows, schema):
    return pa.Table.from_pylist(rows, schema=schema).to_pylist()


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_images_keep_to_the_schema(channels):
    data = random_data(shape=(channels, 8, 6))
    findings = findings_of(data, TrialConfig(width=4, batch_size=16))
    rows = stored(robustness_rows(findings), ROBUSTNESS_SCHEMA)
    assert {row["trial_id"] for row in rows} == {"a"}
    assert {row["kind"] for row in rows} == {"corruption", "attack"}
    rows = stored(attribution_rows(findings, data), ATTRIBUTIONS_SCHEMA)
    assert [row["sample"] for row in rows] == [0, len(data.test) - 1]
    for row in rows:
        sample = row["sample"]
        assert row["label"] == data.class_names[data.test.labels[sample]]
        assert row["predicted"] in data.class_names
        assert (row["height"], row["width"], row["tokens"]) == (8, 6, None)
        assert len(row["attribution"]) == 8 * 6
        pixels = torch.frombuffer(bytearray(row["image"]), dtype=torch.uint8).view(8, 6, 3)
        image = torch.from_numpy(data.test.inputs[sample]).expand(3, -1, -1)
        assert torch.equal(pixels.permute(2, 0, 1), image)


def test_rows_of_texts_keep_to_the_schema():
    data = split_text(random_source(150), seed=0)
    # Half of the tokens, so that some texts are cut.
    data = dataclasses.replace(data, max_tokens=data.max_tokens // 2)
    config = TrialConfig(model="text_cnn", width=8, batch_size=16)
    findings = findings_of(data, config)
    assert robustness_rows(findings) == []
    rows = stored(attribution_rows(findings, data), ATTRIBUTIONS_SCHEMA)
    assert len(rows) == 2
    for row in rows:
        ids_of_text = data.pieces[data.test.inputs[row["sample"]]]
        num_tokens = min(int((ids_of_text > 0).sum()), data.max_tokens)
        assert len(row["tokens"]) == len(row["attribution"]) == num_tokens
        assert (row["height"], row["width"], row["image"]) == (None, None, None)
        assert max(row["attribution"]) == 1
