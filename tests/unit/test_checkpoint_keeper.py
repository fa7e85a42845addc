from pathlib import Path

import pytest

from sweeps import checkpoint_keeper
from sweeps.checkpoint_keeper import CheckpointKeeper


class Storage:
    """Checkpoints as folders, and a keeper of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keeper = CheckpointKeeper()

    def path(self, name: str) -> str:
        return str(self.root / name)

    def add(self, name: str, *needed: str) -> None:
        """Write a checkpoint named trial/epoch and enter it."""
        (self.root / name).mkdir(parents=True)
        (self.root / name / "state.pt").touch()
        trial_id = name.partition("/")[0]
        self.keeper.add(trial_id, self.path(name), {self.path(other) for other in needed})

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
