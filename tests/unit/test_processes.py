import os
import subprocess
import sys

from sweeps.processes import describe_driver, is_driver_alive, processes_of


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
