"""Looks at a sweep before it starts, or at a run: a line for each thing that it finds.

    python -m sweeps.doctor [the flags of a sweep]     before: does it fit, is there room?
    python -m sweeps.doctor RUN [--address ADDRESS]    during and after: what went wrong?

It exits with 0, with 1 if it found a fault, with 2 for wrong input.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from sweeps.doctor.after import examine_run
from sweeps.doctor.before import examine_before
from sweeps.doctor.finding import Finding, num_faults
from sweeps.flags import parse_spec
from sweeps.spec import SweepSpec
from trainables.errors import EXIT_BAD_INPUT, InputError

EXIT_FAULTS = 1


@dataclass(frozen=True)
class _Run:
    """What to look at during a sweep and after it.

    Attributes:
        run: run folder.
        address: of the cluster on which it ran, to look for machines that it still holds.
    """

    run: Annotated[Path, tyro.conf.Positional]
    address: str | None = None


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, look, print, and exit."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        findings = _examine(words)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    for finding in findings:
        print(finding)
    sys.exit(EXIT_FAULTS if num_faults(findings) else 0)


def _examine(words: list[str]) -> list[Finding]:
    if words and words[0] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0)
    if words and not words[0].startswith("-"):
        request = tyro.cli(_Run, args=words, prog="python -m sweeps.doctor")
        return examine_run(request.run, request.address)
    return examine_before(parse_spec(SweepSpec(), words))


if __name__ == "__main__":
    main()
