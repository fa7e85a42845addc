import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.processes import (
    describe_driver,
    is_driver_alive,
    make_folder,
    processes_of,
    remove_left_folder,
)


def test_this_process_is_the_driver_and_another_is_not(tmp_path):
    driver = describe_driver(str(tmp_path))
    assert is_driver_alive(driver)
    assert not is_driver_alive({**driver, "started": driver["started"] + 1})  # its pid came again
    assert not is_driver_alive({**driver, "host": "elsewhere"})
    assert not is_driver_alive({**driver, "pid": "1; rm"})
    assert not is_driver_alive({})


def test_a_driver_that_ended_is_gone():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert not is_driver_alive({**describe_driver("/tmp/x"), "pid": process.pid})


def test_processes_are_found_by_their_log_and_by_their_command(tmp_path):
    session = tmp_path / "paretune-abc"
    session.mkdir()
    wait = "import sys; sys.stdin.read()"
    with (session / "worker.out").open("w") as log:
        by_log = subprocess.Popen(
            [sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    by_command = subprocess.Popen(
        [sys.executable, "-c", wait, f"--session={session}/x"], stdin=subprocess.PIPE
    )
    other = subprocess.Popen([sys.executable, "-c", wait, str(tmp_path)], stdin=subprocess.PIPE)
    try:
        driver = describe_driver(f"{session}/scratch")
        assert set(processes_of(driver)) == {by_log.pid, by_command.pid}
        assert os.getpid() not in processes_of({**driver, "scratch": "/"})
        assert processes_of({**driver, "scratch": "/"}) == {}
    finally:
        for process in (by_log, by_command, other):
            process.kill()
            process.communicate()


@pytest.fixture
def left():
    """The folder of a process that has ended, as a sweep.json names it."""
    code = "from sweeps.processes import make_folder; print(make_folder())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_folder_of_a_process_that_is_gone_is_removed(left):
    (left / "session").mkdir()
    assert remove_left_folder({"scratch": f"{left}/scratch"}) == str(left)
    assert not left.exists()
    assert remove_left_folder({"scratch": f"{left}/scratch"}) is None


def test_that_of_one_that_is_there_stays():
    folder = make_folder()
    try:
        assert remove_left_folder(describe_driver(folder)) is None
        assert Path(folder).is_dir()
    finally:
        shutil.rmtree(folder)


def test_that_of_one_whose_ray_is_there_stays(left):
    with (left / "worker.out").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    try:
        assert remove_left_folder({"scratch": f"{left}/scratch"}) is None
        assert left.is_dir()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "change", [{"host": "elsewhere"}, {"boot": "another"}, {"boot": None}, {"pids": "pid:[1]"}]
)
def test_that_of_one_that_may_be_elsewhere_stays(left, change):
    owner = json.loads((left / "driver.json").read_text())
    (left / "driver.json").write_text(json.dumps(owner | change))
    assert remove_left_folder({"scratch": str(left)}) is None
    assert left.is_dir()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "3"])
def test_one_that_does_not_say_whose_it_is_stays(left, content):
    (left / "driver.json").unlink()
    if content is not None:
        (left / "driver.json").write_text(content)
    assert remove_left_folder({"scratch": str(left)}) is None
    assert left.is_dir()


def test_nothing_else_is_removed_whatever_a_sweep_json_says(left, tmp_path):
    other = tmp_path / "results"
    shutil.copytree(left, other)
    link = tmp_path / "paretune-link"
    link.symlink_to(left)
    for scratch in (str(other), str(link), f"{left}/..", "paretune-x", "", None, 3, [str(left)]):
        assert remove_left_folder({"scratch": scratch}) is None
    for driver in (None, [], "x", {}):
        assert remove_left_folder(driver) is None
    assert other.is_dir()
    assert left.is_dir()
