"""Keeps Ray's noise out of sight: everything but our own lines goes to a log file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console


@contextlib.contextmanager
def quiet(log_path: Path) -> Iterator[Console]:
    """Send what this process and its children print to `log_path`.

    File descriptors are redirected, not only `sys.stdout`: Ray's C++ parts print too.

    Yields:
        A console that still reaches the user.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    shown = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    saved_stdout, saved_stderr = os.dup(1), os.dup(2)
    log = log_path.open("a", buffering=1, encoding="utf-8")
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        with warnings.catch_warnings():
            logging.captureWarnings(True)
            yield Console(file=shown)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        logging.captureWarnings(False)
        root.removeHandler(handler)
        os.dup2(saved_stdout, 1)
        os.dup2(saved_stderr, 2)
        os.close(saved_stdout)
        os.close(saved_stderr)
        shown.close()
        log.close()


def say_on(shown: Console) -> Callable[[str], None]:
    """Return what shows a line to the user: on the console of `quiet`, and once that is over."""

    def say(line: str) -> None:
        console = Console(stderr=True) if shown.file.closed else shown
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    return say
