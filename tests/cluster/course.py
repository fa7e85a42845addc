"""The course of a cluster test: what it says, waits for and looks at."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records import GANGS_FILE, RESULTS_FILE, SWEEP_FILE, TRIALS_FILE

LOG: Final = Path("/mnt/cluster-test.log")


class ClusterTestError(Exception):
    """A cluster did not do what it must."""


class Course:
    """Says what happened, and when."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"{time.monotonic() - self._started_s:6.1f} s  {line}", flush=True)


def run_logged(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command; what it prints goes to the log. More environment can be given."""
    with LOG.open("a") as log:
        whole = {**os.environ, **(environment or {})}
        subprocess.run(command, check=True, stdout=log, stderr=log, env=whole)


class Sweep:
    """A sweep that runs, and its run folder.

    Args:
        command: that starts it and waits for its end.
        run: its run folder.
    """

    def __init__(self, command: list[str], run: Path) -> None:
        self.run = run
        with LOG.open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_for(self, what: str, has_come: Callable[[], Any], timeout_s: float) -> None:
        """Wait until something holds, as long as the sweep runs."""
        deadline_s = time.monotonic() + timeout_s
        while not has_come():
            code = self._process.poll()
            if code is not None:
                raise ClusterTestError(f"the sweep must not end before {what}, got {code}")
            if time.monotonic() > deadline_s:
                raise ClusterTestError(f"{what} must come within {timeout_s:g} s, and did not")
            time.sleep(0.1)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end, and check that all trials were trained."""
        code = self._process.wait(timeout_s)
        status = json.loads((self.run / SWEEP_FILE).read_text())["status"]
        trials = pq.read_table(self.run / TRIALS_FILE, columns=["trial_id", "status", "epoch"])
        is_done = all(trial == "completed" for trial in trials["status"].to_pylist())
        if code or status != "finished" or not is_done:
            raise ClusterTestError(
                "the sweep must finish with all trials completed, got exit code "
                f"{code}, {status}, {trials.to_pylist()}"
            )

    def epochs(self) -> list[dict[str, Any]]:
        """Return gang and generation of each epoch that was written down."""
        if not (self.run / RESULTS_FILE).exists():
            return []
        # Read at once: the sweep puts another file in its place every few seconds.
        content = pa.BufferReader((self.run / RESULTS_FILE).read_bytes())
        epochs: list[dict[str, Any]] = pq.read_table(
            content, columns=["gang", "generation"]
        ).to_pylist()
        return epochs

    def gangs(self) -> list[dict[str, Any]]:
        """Return what each gang does."""
        gangs: list[dict[str, Any]] = json.loads((self.run / GANGS_FILE).read_text())["gangs"]
        return gangs
