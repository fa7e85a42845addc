import logging
import os
import subprocess
import sys

import pytest

from sweeps.quiet import quiet, say_on

SCRIPT = """
import logging, os, subprocess, sys, warnings
from pathlib import Path
from sweeps.quiet import quiet, say_on
print("before")
with quiet(Path(sys.argv[1])) as shown:
    print("python")
    print("python error", file=sys.stderr)
    os.write(1, b"native\\n")
    subprocess.run(["sh", "-c", "echo child; echo child error >&2"], check=True)
    logging.getLogger("ray").warning("logged")
    warnings.warn("careful")
    shown.print("for the user")
print("after")
"""


def test_only_the_console_reaches_the_user(tmp_path):
    log = tmp_path / "sweep.log"
    # In a process of its own: pytest has replaced this one's streams.
    command = [sys.executable, "-c", SCRIPT, str(log)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["before", "for the user", "after"]
    assert process.stderr == ""
    written = log.read_text()
    for text in ("python", "python error", "native", "child", "child error", "careful"):
        assert text in written
    assert "ray WARNING logged" in written


def test_everything_is_as_before_after_an_error(tmp_path, capfd):
    handlers = list(logging.getLogger().handlers)
    num_open = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt), quiet(tmp_path / "log"):
        raise KeyboardInterrupt
    print("after")
    assert capfd.readouterr().out == "after\n"
    assert logging.getLogger().handlers == handlers
    assert len(os.listdir("/proc/self/fd")) == num_open


def test_a_log_is_continued(tmp_path):
    for word in ("first", "second"):
        with quiet(tmp_path / "log"):
            os.write(1, f"{word}\n".encode())
    assert (tmp_path / "log").read_text().split() == ["first", "second"]


def test_a_line_reaches_the_user_during_and_after(tmp_path, capfd):
    with quiet(tmp_path / "log") as shown:
        say = say_on(shown)
        say("during [it]")
        os.write(1, b"hidden\n")
    say("after")
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("during [it]\n", "after\n")
    assert (tmp_path / "log").read_text() == "hidden\n"
