"""What it takes to read a run of a million trials, to write a report of 10,000, and to import.

Each figure is of a fresh process: seconds by the wall and of the CPU, and the most memory that the
process held. The trials are random: accuracy grows with what a model costs, and parameters, latency
and cost are correlated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import records

OBJECTIVES = ("val_accuracy:max", "latency_ms:min", "cost_usd:min")

MEASURE = """
import json, sys, time
started_s, cpu_s = time.perf_counter(), time.process_time()
{body}
# Not getrusage's figure: that holds what the process was before it became this program.
status = open("/proc/self/status").read()
peak_kb = int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({{
    "wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - cpu_s,
    "peak_mb": peak_kb * 1.024e-3, **told,
}}))
"""
FRONT = """
import analysis
from analysis.hypervolume import hypervolume, reference_point
objectives = [analysis.Objective.parse(text) for text in sys.argv[2:]]
trials = analysis.load_trials(sys.argv[1], [objective.column for objective in objectives])
losses = analysis.losses(trials, objectives)
front = losses[analysis.is_front(losses)]
told = {"num_front": len(front), "hypervolume": hypervolume(front, reference_point(losses))}
"""
REPORT = """
import io
from pathlib import Path
from rich.console import Console
from analysis.report import write_report
write_report(sys.argv[1], Console(file=io.StringIO(), width=100))
told = {"page_bytes": (Path(sys.argv[1]) / "report" / "report.html").stat().st_size}
"""
IMPORT = "import analysis\ntold = {}"


def write_trials(folder: Path, count: int, *, num_epochs: int) -> None:
    """Write a run folder; with epochs each trial has reported them, and has a config."""
    generator = np.random.default_rng(0)
    size = generator.random(count)
    accuracy = 0.5 + 0.4 * size + 0.05 * generator.standard_normal(count)
    columns = {
        "trial_id": [f"trial_{i:07}" for i in range(count)],
        "status": ["completed"] * count,
        "config": [_config(generator) if num_epochs else "{}" for _ in range(count)],
        "lineage": [[]] * count,
        "epoch": np.full(count, num_epochs, np.int32),
        "val_accuracy": accuracy,
        "latency_ms": np.exp(2 * size + 0.3 * generator.standard_normal(count)),
        "cost_usd": np.exp(size + 0.3 * generator.standard_normal(count)),
        "gang_seconds": 10 * np.exp(size),
    }
    folder.mkdir()
    _write(folder / records.TRIALS_FILE, records.TRIALS_SCHEMA, columns, count)
    rows = np.repeat(np.arange(count), num_epochs)
    epochs = np.tile(np.arange(1, num_epochs + 1), count)
    results = {
        "trial_id": np.array(columns["trial_id"], dtype=object)[rows],
        "epoch": epochs.astype(np.int32),
        "val_accuracy": accuracy[rows] * (1 - 0.5 / epochs),
        "cost_usd": columns["cost_usd"][rows] * epochs / max(1, num_epochs),
        "gang_seconds": columns["gang_seconds"][rows] * epochs / max(1, num_epochs),
    }
    _write(folder / records.RESULTS_FILE, records.RESULTS_SCHEMA, results, len(rows))
    content = {
        "schema_version": records.SCHEMA_VERSION,
        "name": f"{count:,} random trials",
        "objectives": OBJECTIVES,
        "status": "finished",
        "dataset": {"name": "none", "num_val": 10_000},
    }
    (folder / records.SWEEP_FILE).write_text(json.dumps(content))


def _config(generator: np.random.Generator) -> str:
    """Return a config of a dozen hyperparameters, as a sweep draws them."""
    config = {f"rate_{i}": float(10 ** generator.uniform(-4, 0)) for i in range(5)}
    config |= {f"size_{i}": int(2 ** generator.integers(3, 8)) for i in range(4)}
    config |= {f"choice_{i}": str(generator.choice(["a", "b", "c"])) for i in range(3)}
    return json.dumps(config)


def _write(path: Path, schema: pa.Schema, columns: dict, count: int) -> None:
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in schema
    ]
    pq.write_table(pa.table(arrays, schema=schema), path)


def measure(body: str, *arguments: str) -> dict:
    """Return what a fresh process needed for it."""
    program = MEASURE.format(body=body)
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def show(name: str, found: list[dict]) -> None:
    """Print the median of each figure, with the least and the greatest."""
    parts = []
    for key in found[0]:
        values = sorted(one[key] for one in found)
        middle = f"{statistics.median(values):.4g}"
        parts.append(f"{key} {middle} [{values[0]:.4g}, {values[-1]:.4g}]")
    print(f"{name}: {', '.join(parts)}; n = {len(found)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--report-trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        large, middle = Path(name) / "large", Path(name) / "middle"
        write_trials(large, asked.trials, num_epochs=0)
        write_trials(middle, asked.report_trials, num_epochs=asked.epochs)
        rounds = range(asked.rounds)
        show("import analysis", [measure(IMPORT) for _ in rounds])
        front = [measure(FRONT, str(large), *OBJECTIVES) for _ in rounds]
        show(f"load, front and hypervolume of {asked.trials:,} trials", front)
        pages = [measure(REPORT, str(middle)) for _ in rounds]
        show(f"report of {asked.report_trials:,} trials of {asked.epochs} epochs", pages)


if __name__ == "__main__":
    main()
