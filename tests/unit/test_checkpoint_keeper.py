from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps import checkpoint_keeper
from sweeps.checkpoint_keeper import CheckpointKeeper, Quota


class Storage:
    """Checkpoints as folders, and a keeper of them."""

    def __init__(self, root: Path, quota_bytes: int | None = None) -> None:
        self.root = root
        self.front: set[str] = set()
        self.forgotten: list[str] = []
        self.said: list[str] = []
        quota = None
        if quota_bytes is not None:
            quota = Quota(quota_bytes, lambda: self.front, self.forgotten.append, self.said.append)
        self.keeper = CheckpointKeeper(quota)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def add(self, name: str, *needed: str, previous: str | None = None) -> None:
        """Write a checkpoint of 10 bytes, named trial/epoch, and enter it."""
        (self.root / name).mkdir(parents=True)
        (self.root / name / "state.pt").write_bytes(bytes(10))
        trial_id = name.partition("/")[0]
        needs = {self.path(other) for other in needed}
        origin = None if previous is None else self.path(previous)
        self.keeper.add(trial_id, self.path(name), needs, origin)

    def left(self) -> set[str]:
        """Close the keeper and return what lies in storage."""
        self.keeper.close()
        return {str(path.parent.relative_to(self.root)) for path in self.root.rglob("state.pt")}


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path)


def test_only_each_trials_newest_is_kept(storage):
    for name in ("a/1", "b/1", "a/2", "a/3", "b/2", "c/1"):
        storage.add(name)
    assert storage.left() == {"a/3", "b/2", "c/1"}


def test_what_is_needed_stays_until_it_is_not(storage):
    storage.add("donor/1")
    storage.add("donor/2", "donor/1")
    storage.add("donor/3", "donor/1")
    assert Path(storage.path("donor/1")).exists()
    storage.add("victim/1", "donor/1")
    storage.add("victim/2")  # any trial's report frees what has become superfluous
    assert storage.left() == {"donor/3", "victim/2"}


def test_the_newest_stays_even_if_nothing_needs_it(storage):
    storage.add("a/1")
    for epoch in range(1, 4):
        storage.add(f"b/{epoch}")
    assert storage.left() == {"a/1", "b/3"}


def test_an_epoch_passed_a_second_time_is_the_newest_again(storage):
    storage.add("a/2")
    storage.add("a/3", "a/2")
    storage.keeper.add("a", storage.path("a/2"), set())  # after an exploit: written anew
    assert storage.left() == {"a/2"}


def test_a_donors_path_without_the_scheme_protects_its_uri(monkeypatch):
    deleted = []
    monkeypatch.setattr(checkpoint_keeper, "delete_checkpoint", deleted.append)
    keeper = CheckpointKeeper()
    for epoch in (1, 2, 3):
        keeper.add("a", f"s3://bucket/a/{epoch}", {"bucket/a/1"})
    keeper.close()
    assert deleted == ["s3://bucket/a/2"]


def test_another_trials_path_protects_nothing(monkeypatch):
    deleted = []
    monkeypatch.setattr(checkpoint_keeper, "delete_checkpoint", deleted.append)
    keeper = CheckpointKeeper()
    keeper.add("a", "/runs/a/1", set())
    keeper.add("a", "/runs/a/2", {"/runs/b/1", "/runs/a/11"})
    keeper.close()
    assert deleted == ["/runs/a/1"]


def test_every_deletion_that_failed_is_told_at_the_end(monkeypatch):
    def refuse(location):
        raise PermissionError(location)

    monkeypatch.setattr(checkpoint_keeper, "delete_checkpoint", refuse)
    keeper = CheckpointKeeper()
    keeper.add("a", "/runs/a/1", set())
    keeper.add("a", "/runs/a/2", set())
    keeper.add("a", "/runs/a/3", set())
    errors = keeper.close()
    assert [(type(error), str(error)) for error in errors] == [
        (PermissionError, "/runs/a/1"),
        (PermissionError, "/runs/a/2"),
    ]


def test_a_keeper_that_saw_nothing_closes():
    CheckpointKeeper().close()


def test_what_the_newest_came_from_stays_while_its_trial_may_go_on(storage):
    storage.add("a/1")
    storage.add("a/2", previous="a/1")
    storage.add("a/3", previous="a/2")
    storage.add("b/1")
    assert storage.left() == {"a/2", "a/3", "b/1"}


def test_what_the_last_came_from_goes_with_the_end_of_its_trial(storage):
    storage.add("a/1")
    storage.add("a/2", previous="a/1")
    storage.keeper.end("a")
    storage.add("b/1")
    assert storage.left() == {"a/2", "b/1"}


def test_a_donors_checkpoint_and_the_one_before_it_stay(storage):
    storage.add("donor/1")
    storage.add("donor/2", previous="donor/1")
    storage.add("donor/3", "donor/2", previous="donor/2")
    storage.keeper.end("donor")
    storage.add("victim/3", "donor/2", previous="donor/2")
    assert storage.left() == {"donor/1", "donor/2", "donor/3", "victim/3"}


def test_one_that_no_result_told_of_is_deleted_like_the_others(storage):
    storage.add("a/1")
    (storage.root / "a" / "2").mkdir()
    (storage.root / "a" / "2" / "state.pt").touch()
    storage.add("a/3", previous="a/2")  # 2 was trained again on the way
    storage.add("a/4", previous="a/3")
    assert storage.left() == {"a/3", "a/4"}


def test_over_the_quota_the_oldest_that_ended_goes_first(tmp_path):
    storage = Storage(tmp_path, quota_bytes=30)
    storage.front = {"b"}
    for name in "abcd":
        storage.add(f"{name}/1")
        storage.keeper.end(name)
    assert storage.forgotten == ["a", "c"]  # down to 27 bytes; b is of the front
    assert storage.said == []
    assert storage.left() == {"b/1", "d/1"}


def test_over_the_quota_what_a_trial_goes_on_from_stays(tmp_path):
    storage = Storage(tmp_path, quota_bytes=30)
    storage.add("a/1")
    storage.add("a/2", previous="a/1")
    storage.add("b/1")
    storage.add("b/2", previous="b/1")  # 40 bytes: a/1 is there for the case of damage alone
    assert storage.forgotten == []
    assert storage.left() == {"a/2", "b/1", "b/2"}


def test_what_is_needed_is_kept_even_over_the_quota_and_that_is_told_once(tmp_path):
    storage = Storage(tmp_path, quota_bytes=15)
    for name in "abc":
        storage.add(f"{name}/1")
    assert len(storage.said) == 1
    assert "take 2e-08 GB, more than --checkpoint-quota-gb 1.5e-08" in storage.said[0]
    assert storage.left() == {"a/1", "b/1", "c/1"}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_referred_to_is_ever_deleted(data):
    """Any course of a sweep: trials report, copy one another and end, under a small quota."""
    deleted: list[str] = []
    front: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_keeper, "delete_checkpoint", deleted.append)
        patch.setattr(checkpoint_keeper, "checkpoint_bytes", lambda location: 10)
        quota = Quota(40, lambda: front, lambda trial: None, lambda line: None)
        keeper = CheckpointKeeper(quota)
        newest: dict[str, str] = {}
        ended: set[str] = set()
        for number in range(data.draw(st.integers(1, 30))):
            trial = data.draw(st.sampled_from([t for t in "abcde" if t not in ended] or ["f"]))
            donor = data.draw(st.sampled_from([None, *newest]))
            location = f"/run/{trial}/epoch_{number:04d}-1"
            previous = newest.get(donor or trial)
            if previous in deleted:
                previous = None
            newest[trial] = location
            needed = {newest[t] for t in newest if t not in ended} | ({previous} - {None})
            keeper.add(trial, location, needed, previous)
            keeper._deleter.submit(int).result()  # what was ordered before is done
            kept = needed | {newest[t] for t in front if t in newest and t in ended}
            assert not kept & set(deleted)
            if data.draw(st.booleans()) and trial != "f":
                keeper.end(trial)
                ended.add(trial)
                if newest[trial] not in deleted and data.draw(st.booleans()):
                    front.add(trial)
        keeper.close()
    assert len(deleted) == len(set(deleted))


def write(folder):
    folder.mkdir(parents=True)
    (folder / "state.pt").write_bytes(bytes(10))


def test_what_an_earlier_process_left_over_is_deleted(tmp_path):
    root = str(tmp_path)
    names = [
        "a/epoch_0001-1",
        "a/epoch_0002-1",
        "a/epoch_0003-1",
        "b/epoch_0001-2",
        "c/epoch_0001-3",
    ]
    for name in names:
        write(tmp_path / name)
    (tmp_path / "a" / "epoch_0002-1" / "previous").write_text("a/epoch_0001-1")
    keeper = CheckpointKeeper()
    newest = {"a": "checkpoints/a/epoch_0002-1", "b": None, "c": "checkpoints/c/epoch_0001-3"}
    keeper.adopt(root, newest, needed=[], ended=["c"])
    assert keeper.close() == []
    left = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("state.pt"))
    # The newest, what it came from in case it is damaged, and that of the trial that has ended.
    assert left == ["a/epoch_0001-1", "a/epoch_0002-1", "c/epoch_0001-3"]
    assert keeper.knows(f"{root}/a/epoch_0002-1")


def test_a_donors_checkpoint_stays_for_the_trial_that_goes_on_from_it(tmp_path):
    for name in ("a/epoch_0001-1", "a/epoch_0002-1"):
        write(tmp_path / name)
    keeper = CheckpointKeeper()
    keeper.adopt(
        str(tmp_path), {"a": "a/epoch_0002-1"}, needed=[f"{tmp_path}/a/epoch_0001-1"], ended=[]
    )
    assert keeper.knows("a/epoch_0001-1")
    keeper.close()


def test_after_all_trials_have_ended_only_what_they_ended_with_is_left(storage):
    storage.add("a/1")
    storage.add("a/2", previous="a/1")
    storage.add("b/2", "a/1", previous="a/1")
    for trial_id in "ab":
        storage.keeper.end(trial_id)
    assert storage.left() == {"a/2", "b/2"}


def test_what_an_interrupted_trial_would_go_on_from_is_left(storage):
    storage.add("a/1")
    storage.add("a/2", previous="a/1")
    storage.add("b/1")
    storage.keeper.end("b")
    assert storage.left() == {"a/1", "a/2", "b/1"}
