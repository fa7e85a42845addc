"""Every notebook runs from top to bottom, in a kernel of its own, on runs that are small."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from fake_run import fake_latency, fake_serving, fake_trial, write_run
from nbclient import NotebookClient
from sample_table import write_table

from analysis.records import SWEEP_FILE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "analysis" / "notebooks"
PICTURES = ("image/png", "application/vnd.plotly.v1+json")
FORBIDDEN = ("ray", "torch", "sweeps", "trainables")

TOLD = {
    "comparing_sweeps": "val_accuracy:max, latency_ms:min on digits: 2 of 3 runs",
    "front": "latency_ms <= 1.25: 2 of 5 trials, 2 on the front",
    "latency_accuracy": "4 of 5 ranked trials with latency_ms <= 2.5",
    "pbt_schedules": "with another's weights: 1 trials; changed: learning_rate",
    "replay_searches": "table, error:min latency_ms:min: 4 of 4 replayed runs",
}
"""What each prints of the runs below."""


def write_sweep(folder, shift=0.0, **sweep):
    """Write a run of five trials: wider ones are better and slower, the last one took over."""
    rates = [{"learning_rate": rate} for rate in (0.1, 0.02)]
    lineage = [
        {"from_epoch": 0, "parent_trial_id": None, "config": json.dumps(rates[0])},
        {"from_epoch": 2, "parent_trial_id": "t3", "config": json.dumps(rates[1])},
    ]
    trials = [
        fake_trial(
            f"t{index}",
            config=rates[0] | {"width": 8 * (index + 1)},
            val_accuracy=0.6 + shift + 0.05 * min(index, 3),
            latency_ms=0.5 + 0.5 * index + (0.5 if index == 4 else 0.0),
            architecture=f"arch-{index}",
        )
        for index in range(5)
    ]
    trials[4] |= {"lineage": lineage, "num_exploits": 1}
    results = [
        {
            "trial_id": trial["trial_id"],
            "epoch": epoch,
            "val_accuracy": trial["val_accuracy"] * epoch / 3,
            "gang_seconds": 10 / 3 * epoch,
            "parent_trial_id": "t3" if (trial["trial_id"], epoch) == ("t4", 3) else None,
        }
        for trial in trials
        for epoch in (1, 2, 3)
    ]
    scores = {"accuracy": 0.74, "fp32_accuracy": 0.75, "agreement_fraction": 0.99}
    latency = [
        fake_latency(trial["latency_ms"], architecture=trial["architecture"]) for trial in trials
    ]
    latency.append(fake_latency(1.9, architecture="arch-3", trial_id="t3", **scores))
    spec = {
        "objectives": ["val_accuracy:max", "latency_ms:min"],
        "serving": fake_serving(slo_ms=2.5),
    }
    return write_run(folder, trials, results=results, latency=latency, sweep=spec | sweep)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return a folder of two sweeps of the same kind, and an older one of other data."""
    folder = tmp_path_factory.mktemp("swept")
    write_sweep(folder / "first")
    write_sweep(folder / "second", shift=0.01)
    other = write_sweep(folder / "other", dataset={"name": "other", "fingerprint": "1" * 16})
    os.utime(other / SWEEP_FILE, (0, 0))
    return folder


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Return a folder of two searches of two seeds each, as `python -m sweeps.simulate` writes."""
    from sweeps.simulate.__main__ import main  # imports Ray, which the others don't need

    folder = tmp_path_factory.mktemp("replayed")
    table = str(write_table(tmp_path_factory.mktemp("tables") / "table"))
    for scheduler in ("asha", "mo_asha"):
        flags = ["--scheduler", scheduler, "--searcher", "random", "--seeds", "2"]
        assert main([table, *flags, "--out", str(folder / scheduler)]) == 0
    return folder


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def is_drawn(figure):
    """Return whether a Plotly figure shows anything."""
    return any(trace.get("x") or trace.get("dimensions") for trace in figure["data"])


def test_all_notebooks_are_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(TOLD)
    assert not list(FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", TOLD)
def test_git_holds_no_outputs_and_no_paths(name):
    notebook = read(name)
    nbformat.validate(notebook)
    first = notebook.cells[0]
    assert "parameters" in first.metadata.tags
    assert 'os.environ.get("PARETUNE_RUNS", "../../runs")' in first.source
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not any(path in cell.source for path in ("/home", "/tmp", "/root", str(ROOT)))


@pytest.mark.parametrize("name", TOLD)
def test_it_runs_from_top_to_bottom(name, request, tmp_path, monkeypatch):
    runs = request.getfixturevalue("replayed" if name.startswith("replay") else "swept")
    monkeypatch.setenv("PARETUNE_RUNS", str(runs))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    notebook = read(name)
    loaded = f"import sys; print('loaded', [name for name in {FORBIDDEN} if name in sys.modules])"
    notebook.cells.append(nbformat.v4.new_code_cell(loaded))
    where = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert TOLD[name] in text
    assert "loaded []" in text
    shown = [output.data for output in outputs if "data" in output]
    figures = [data[PICTURES[1]] for data in shown if PICTURES[1] in data]
    assert len([data for data in shown if set(PICTURES) & set(data)]) >= 2
    assert all(map(is_drawn, figures))
    assert any("text/html" in data for data in shown)  # a table
