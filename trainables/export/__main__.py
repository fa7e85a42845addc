"""Ship a trial: python -m trainables.export runs/NAME --trial trial_0004 --to DIR.

Writes its weights (safetensors), a torch.export program and an ONNX file, both with preprocessing
and a dynamic batch, a tokenizer for texts, and a model card. All are read back and compared with
the checkpoint, and the sweep's latency SLO is measured anew: what fails is not written.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from trainables.errors import EXIT_BAD_INPUT, InputError
from trainables.export import ExportError
from trainables.latency import LatencyError

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Export, and exit: 0, 1 what was exported doesn't hold, 2 bad input, 130 interrupted."""
    asked = _parser().parse_args(arguments)
    # So that what was begun is deleted then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from trainables.export.export_folder import ExportRequest, export_trial

        export_trial(ExportRequest(**vars(asked)), lambda line: print(line, flush=True))
    except InputError as error:
        _end(f"error: {error}", EXIT_BAD_INPUT)
    except (ExportError, LatencyError) as error:
        _end(f"error: {error}", _EXIT_FAILED)
    except KeyboardInterrupt:
        _end("interrupted; nothing was written", _EXIT_INTERRUPTED)
    print(f"Wrote {asked.to}")


def _end(line: str, exit_code: int) -> None:
    print(" ".join(line.split()), file=sys.stderr)
    sys.exit(exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--trial", required=True, dest="trial_id", help="of the run")
    parser.add_argument("--to", required=True, type=Path, help="folder to make")
    parser.add_argument("--data-dir", help="where the run's data lie, if they moved")
    parser.add_argument(
        "--force-slo",
        action="store_true",
        help="ship what misses the SLO or isn't known to meet it; the card says so",
    )
    return parser


if __name__ == "__main__":
    main()
