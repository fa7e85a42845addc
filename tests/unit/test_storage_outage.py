import errno
from pathlib import Path

import pytest
import torch

from trainables import storage_outage
from trainables.checkpoint_store import read_checkpoint, write_checkpoint
from trainables.storage_outage import outage, ride_out


class Storage:
    """Fails as often as it is told to, then takes what it is given."""

    def __init__(self, *errors: OSError) -> None:
        self.errors = list(errors)
        self.said: list[str] = []
        self.waits_s: list[float] = []

    def write(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "written"

    def ride_out(self) -> str:
        return ride_out(self.write, "a/epoch_0001-1", self.said.append, self.waits_s.append)


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_storage_that_is_there_is_not_spoken_of():
    storage = Storage()
    assert storage.ride_out() == "written"
    assert (storage.said, storage.waits_s) == ([], [])


def test_a_full_disk_is_waited_for_and_told_once():
    storage = Storage(*[FULL] * 9)
    assert storage.ride_out() == "written"
    assert storage.waits_s == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert storage.said == [
        "a/epoch_0001-1 waits for the storage: it is full ([Errno 28] No space left on device)",
        "a/epoch_0001-1 goes on: the storage is there again",
    ]


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [
        (FULL, True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), True),
        (
            OSError(
                "When writing 'x': AWS Error NETWORK_CONNECTION during PutObject operation: "
                "curlCode: 7, Couldn't connect to server"
            ),
            True,
        ),
        (OSError("AWS Error UNKNOWN (HTTP status 503) during PutObject operation"), True),
        (OSError("AWS Error SLOW_DOWN during UploadPart operation"), True),
        (OSError("AWS Error ACCESS_DENIED during PutObject operation: Access Denied"), False),
        (OSError("AWS Error NO_SUCH_BUCKET during PutObject operation"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (OSError(errno.EROFS, "Read-only file system"), False),
    ],
)
def test_only_what_ends_by_itself_is_waited_for(error, is_passing):
    assert (outage(error) is not None) == is_passing
    if not is_passing:
        with pytest.raises(OSError, match=str(error.args[-1])):
            Storage(error).ride_out()


def test_a_checkpoint_waits_until_there_is_room(tmp_path, monkeypatch):
    """The disk is full where the system says so: when the bytes are written."""
    errors, said = [FULL, FULL], []
    write_bytes = Path.write_bytes

    def fill(path, content):
        if errors and path.name.startswith(".state.pt"):
            write_bytes(path, content[: len(content) // 2])  # as far as it fits
            raise errors.pop()
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    monkeypatch.setattr(storage_outage, "FIRST_WAIT_S", 0.001)
    location = str(tmp_path / "a" / "epoch_0001-1")
    write_checkpoint({"epoch": 1}, location, tell=said.append)
    assert len(said) == 2
    assert "a/epoch_0001-1, to be saved, waits for the storage: it is full" in said[0]
    assert read_checkpoint(location, torch.device("cpu"))["epoch"] == 1
    assert sorted(file.name for file in (tmp_path / "a" / "epoch_0001-1").iterdir()) == [
        "previous",
        "state.pt",
    ]
