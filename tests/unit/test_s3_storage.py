"""Checkpoints and run folders on a real S3-compatible server, through pyarrow.fs."""

import threading

import pyarrow.fs
import pytest
import torch

from analysis.load import load_run
from tests.fake_run import fake_trial, write_run
from tests.s3_server import BUCKET, S3Server, s3_server
from trainables.checkpoint import CheckpointError
from trainables.checkpoint_store import (
    checkpoint_bytes,
    delete_checkpoint,
    open_location,
    previous_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

CPU = torch.device("cpu")
STATE = {"model": {"weight": torch.arange(6.0)}, "epoch": 3}


@pytest.fixture(scope="module")
def server():
    with s3_server() as server:
        yield server


@pytest.fixture
def root(server: S3Server, monkeypatch, request):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{request.node.name}"


def listed(location: str) -> list[str]:
    filesystem, path = open_location(location)
    selector = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
    found = filesystem.get_file_info(selector)
    return sorted(info.path.removeprefix(f"{path}/") for info in found if info.is_file)


def test_what_is_written_is_read_replaced_and_deleted(root):
    first, second = f"{root}/a/epoch_0001-1", f"{root}/a/epoch_0002-1"
    write_checkpoint(STATE, first)
    write_checkpoint({**STATE, "epoch": 4}, second, previous=first)
    write_checkpoint({**STATE, "epoch": 5}, second, previous=first)
    assert listed(root) == [
        f"a/epoch_000{n}-1/{file}" for n in (1, 2) for file in ("previous", "state.pt")
    ]
    assert torch.equal(read_checkpoint(first, CPU)["model"]["weight"], torch.arange(6.0))
    assert read_checkpoint(second, CPU)["epoch"] == 5
    assert (previous_checkpoint(second), previous_checkpoint(first)) == (first, None)
    assert checkpoint_bytes(first) > 100
    for _ in range(2):
        delete_checkpoint(first)
    assert listed(root) == ["a/epoch_0002-1/previous", "a/epoch_0002-1/state.pt"]
    with pytest.raises(CheckpointError, match="must be a whole checkpoint, got none"):
        read_checkpoint(first, CPU)


def test_a_damaged_object_is_not_read(root):
    location = f"{root}/a/epoch_0001-1"
    write_checkpoint(STATE, location)
    filesystem, path = open_location(location)
    with filesystem.open_input_stream(f"{path}/state.pt") as stream:
        whole = stream.read()
    for content in (whole[:-30], whole[:200] + b"?" + whole[201:], b""):
        with filesystem.open_output_stream(f"{path}/state.pt") as stream:
            stream.write(content)
        with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
            read_checkpoint(location, CPU)


def test_a_reader_never_sees_half_an_object(root):
    """Of one that is large enough to be sent in several parts."""
    location = f"{root}/a/epoch_0001-1"
    state = {"weight": torch.ones(4_000_000), "epoch": 1}
    writer = threading.Thread(target=write_checkpoint, args=(state, location))
    writer.start()
    refusals = []
    while not refusals or refusals[-1] is not None:
        try:
            assert read_checkpoint(location, CPU)["epoch"] == 1
            refusals.append(None)
        except CheckpointError as error:
            refusals.append(str(error))
            assert len(refusals) < 10_000
    writer.join()
    assert {line for line in refusals if line} <= {
        f"{location} must be a whole checkpoint, got none; go on from an earlier one"
    }


def test_a_bucket_that_is_not_there_is_no_outage(root):
    with pytest.raises(OSError, match="nobucket"):
        write_checkpoint(STATE, "s3://nobucket/a/epoch_0001-1")


def test_an_outage_is_waited_for(root, server):
    """It takes ten seconds: so long the AWS SDK tries by itself, without a word."""
    location, said = f"{root}/a/epoch_0001-1", []

    def tell(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            server.start()  # it is back once somebody was told

    server.stop()
    write_checkpoint(STATE, location, tell=tell)
    assert "waits for the storage: it doesn't answer" in said[0]
    assert said[1:] == ["a/epoch_0001-1, to be saved, goes on: the storage is there again"]
    assert read_checkpoint(location, CPU)["epoch"] == 3


def test_a_run_folder_in_a_bucket_is_opened(root, tmp_path):
    write_run(tmp_path, [fake_trial("a")])
    filesystem, path = open_location(root)
    pyarrow.fs.copy_files(str(tmp_path), path, destination_filesystem=filesystem)
    assert load_run(root).trials["trial_id"].to_pylist() == ["a"]
