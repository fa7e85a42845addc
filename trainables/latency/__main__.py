"""Measure an ONNX file or the trials of a run by hand, or bring in another machine's figures.

python -m trainables.latency MODEL.onnx --runtime openvino --batch-sizes 1 8
python -m trainables.latency runs/NAME --runtime openvino --precision int8 --trial trial_0004
python -m trainables.latency import FILE MACHINE
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from trainables.errors import EXIT_BAD_INPUT, InputError
from trainables.latency import RUNTIMES, LatencyError
from trainables.latency.blocks import Limits
from trainables.latency.cache import default_cache_path, import_figures
from trainables.latency.figure import LatencyFigure
from trainables.latency.lock import measuring_alone
from trainables.latency.measure import Samples, check_onnx, measure_all, measure_onnx
from trainables.latency.serving import Serving, check_serving
from trainables.latency.table import check_out, figure_tables, notes, write_figures

_EXIT_FAILED = 1
_TABLE_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, and exit: 0, 1 nothing could be measured, 2 bad input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_import(given[1:]) if given[:1] == ["import"] else _measure(given))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except LatencyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_EXIT_FAILED)


def _import(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.latency import",
        description="Add the figures of another machine to a latency cache.",
    )
    parser.add_argument("file", type=Path, help="cache, run folder or latency.parquet from there")
    parser.add_argument("machine", help="a name for it, as --latency-device takes it")
    parser.add_argument("--cache", type=Path, default=default_cache_path(), help="to add to")
    asked = parser.parse_args(given)
    num_figures = import_figures(asked.file, asked.machine, asked.cache)
    print(f"{num_figures} figures of {asked.machine} added to {asked.cache}")
    return 0


def _measure(given: Sequence[str]) -> int:
    asked = _parser().parse_args(given)
    servings = [
        Serving(
            runtime=runtime,
            precision=precision,
            batch_size=batch_size,
            num_threads=asked.threads,
            device=asked.device,
        )
        for runtime in asked.runtime
        for precision in asked.precision
        for batch_size in asked.batch_sizes
    ]
    for serving in servings:
        check_serving(serving)
    if asked.out is not None:
        check_out(asked.out)
    console = Console(width=max(Console().width, _TABLE_WIDTH))
    figures = []
    with measuring_alone(lambda: console.print("waiting for another measurement to end")):
        for figure in _figures(asked, servings):
            figures.append(figure)
            print(f"measured {len(figures)} in {figure.measure_seconds:.1f} s", file=sys.stderr)
    for table in figure_tables(figures):
        console.print()
        console.print(table)
    for line in notes(figures):
        console.print(line, highlight=False, soft_wrap=True)
    if asked.out is not None:
        write_figures(figures, asked.out)
        console.print(f"Wrote {asked.out}", highlight=False, soft_wrap=True)
    return _EXIT_FAILED if all(figure.status == "failed" for figure in figures) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file or run folder")
    parser.add_argument("--runtime", nargs="+", default=["onnxruntime"], choices=RUNTIMES)
    parser.add_argument("--precision", nargs="+", default=["fp32"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--min-time-s", type=float, default=1.5, help="of calls; 60 where a decision stands on it"
    )
    parser.add_argument("--out", type=Path, help="JSON or Parquet file for the figures")
    parser.add_argument("--trial", nargs="+", default=[], help="of the run; default: its front")
    parser.add_argument("--data-dir", help="where the run's data lie, if they moved")
    parser.add_argument(
        "--samples",
        type=Path,
        help="NumPy file (.npz) with calibration, evaluation and labels, for an ONNX file",
    )
    return parser


def _figures(asked: argparse.Namespace, servings: Sequence[Serving]) -> Iterator[LatencyFigure]:
    limits = Limits(asked.min_time_s, max(10.0, 2 * asked.min_time_s))
    if asked.model.suffix == ".onnx":
        _refuse(asked, "an ONNX file", ("trial", "data_dir"))
        samples = None if asked.samples is None else _read_samples(asked.samples)
        for serving in servings:
            check_onnx(asked.model, serving, samples)
        for serving in servings:
            yield measure_onnx(asked.model, serving, samples=samples, limits=limits)
        return
    from trainables.latency.samples import shipping_samples
    from trainables.latency.trained_run import read_run

    _refuse(asked, "a run, which has its own", ("samples",))
    run = read_run(asked.model)
    subjects = run.subjects(asked.trial)
    data = run.load_data(asked.data_dir)
    samples = shipping_samples(data)
    for serving in servings:
        yield from measure_all(subjects, data.task, serving, samples=samples, limits=limits)


def _refuse(asked: argparse.Namespace, kind: str, names: Sequence[str]) -> None:
    for name in names:
        if getattr(asked, name):
            raise InputError(
                f"--{name.replace('_', '-')} must be left out for {kind}, got "
                f"{getattr(asked, name)}; leave it out"
            )


def _read_samples(path: Path) -> Samples:
    try:
        with np.load(path) as file:
            arrays = dict(file)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--samples must be a NumPy file (.npz), got {path} ({error}); name another"
        ) from None
    unknown = set(arrays) - {"calibration", "evaluation", "labels"}
    if "calibration" not in arrays or unknown:
        raise InputError(
            f"--samples must hold calibration, and may hold evaluation and labels, got {path} with "
            f"{', '.join(sorted(arrays))}; write it so"
        )
    return Samples(**arrays)


if __name__ == "__main__":
    main()
