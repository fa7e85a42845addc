"""`python -m trainables.latency`, with the process that measures made up."""

import io
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from fake_run import fake_trial, write_run
from sample_latency import make_figure

from trainables.data.load import load_dataset
from trainables.latency import lock
from trainables.latency.__main__ import main
from trainables.latency.cache import KeptFigure, add_to_cache, default_cache_path, read_cache
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig(width=8)
_POPEN = subprocess.Popen


class FakeServer:
    """Takes a request and has a figure for each subject of it, of the status that it is given."""

    def __init__(self, status="exact", exit_code=0):
        self.requests = []
        self._status, self._exit_code = status, exit_code

    def __call__(self, command, **options):
        if "trainables.latency.server" not in command:
            return _POPEN(command, **options)
        self.stdin = io.StringIO()
        self.stdin.close = lambda: None
        return self

    @property
    def stdout(self):
        request = json.loads(self.stdin.getvalue())
        self.requests.append(request)
        for subject in request["subjects"] if self._exit_code == 0 else ():
            name = subject.get("onnx_file") or subject["trial_id"]
            figure = make_figure(
                None if self._status == "failed" else 2.0,
                description=json.dumps({"onnx_file": name.rpartition("/")[2]}),
                trial_id=subject["trial_id"],
                batch_size=request["serving"]["batch_size"],
                status=self._status,
                reason=None if self._status == "exact" else "that is why",
            )
            yield json.dumps(asdict(figure)) + "\n"

    def wait(self):
        return self._exit_code

    def kill(self):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Put a server in the place of the one that measures; nobody else measures on this machine."""
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "lock")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(server):
        monkeypatch.setattr("trainables.latency.measure.subprocess.Popen", server)
        return server

    return put


@pytest.fixture
def model(tmp_path):
    onnx_file = pytest.importorskip("test_latency_onnx_file")
    return onnx_file.write_model(tmp_path / "net.onnx")


@pytest.fixture
def run(tmp_path):
    data, _ = load_dataset("digits", "data", seed=0, limit_train=200)
    trials = [
        fake_trial("best", val_accuracy=0.9, config=CONFIG.to_dict()),
        fake_trial("worse", val_accuracy=0.8, config=CONFIG.to_dict()),
    ]
    return write_run(
        tmp_path / "run",
        trials,
        sweep={
            "spec": {"dataset": "digits", "data_dir": "data", "seed": 0},
            "dataset": {"name": "digits", "fingerprint": data.fingerprint, "limit_train": 200},
        },
    )


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def test_an_onnx_file_is_measured_in_every_way_that_was_asked_for(serve, model, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    server = serve(FakeServer())
    out = tmp_path / "figures.json"
    assert call(model, "--batch-sizes", 1, 8, "--min-time-s", 60, "--out", out) == 0
    assert [r["serving"]["batch_size"] for r in server.requests] == [1, 8]
    assert {r["serving"]["runtime"] for r in server.requests} == {"onnxruntime"}
    assert server.requests[0]["limits"] == {"min_time_s": 60.0, "time_limit_s": 120.0}
    assert [row["batch_size"] for row in json.loads(out.read_text())] == [1, 8]
    shown = capsys.readouterr()
    assert shown.out.count("net.onnx") == 4  # a row in each of two tables
    assert f"Wrote {out}" in shown.out
    assert shown.err.splitlines() == ["measured 1 in 2.0 s", "measured 2 in 2.0 s"]


def test_samples_of_an_onnx_file_are_passed_on(serve, model, tmp_path):
    pytest.importorskip("onnxruntime")
    server = serve(FakeServer())
    np.savez(tmp_path / "samples.npz", calibration=np.zeros((2, 4), np.float32))
    flags = ("--batch-sizes", 1, "--samples", tmp_path / "samples.npz")
    assert call(model, "--precision", "fp32", "int8", *flags) == 0
    assert [r["serving"]["precision"] for r in server.requests] == ["fp32", "int8"]
    assert all(r["samples_file"] is not None for r in server.requests)


@pytest.mark.parametrize(("flags", "trial_id"), [([], "best"), (["--trial", "worse"], "worse")])
def test_trials_of_a_run_are_measured_from_their_checkpoints(serve, run, flags, trial_id, capsys):
    server = serve(FakeServer())
    assert call(run, "--runtime", "eager", "--batch-sizes", 1, *flags) == 0
    ((subject,),) = [request["subjects"] for request in server.requests]
    assert subject["checkpoint"] == str(run / f"checkpoints/{trial_id}/epoch_3")
    assert subject["config"] == CONFIG.to_dict()
    assert "not to be shipped: its accuracy was not measured" in capsys.readouterr().out


def test_nothing_measured_is_exit_code_1(serve, run, capsys):
    serve(FakeServer(status="failed"))
    assert call(run, "--runtime", "eager", "--batch-sizes", 1) == 1
    assert "best, eager fp32, failed: that is why" in capsys.readouterr().out
    serve(FakeServer(exit_code=3))
    assert call(run, "--runtime", "eager", "--batch-sizes", 1) == 1
    assert "error: measuring latencies failed" in capsys.readouterr().err


def test_figures_of_another_machine_are_imported(serve, tmp_path, capsys):
    add_to_cache(tmp_path / "there.parquet", [KeptFigure(make_figure(3.0))])
    assert call("import", tmp_path / "there.parquet", "pi5") == 0
    assert read_cache(default_cache_path()) == [KeptFigure(make_figure(3.0), "pi5")]
    assert capsys.readouterr().out.startswith("1 figures of pi5 added to ")


def test_bad_input_is_one_line_and_exit_code_2(serve, run, tmp_path, capsys):
    server = serve(FakeServer())
    samples = tmp_path / "samples.npz"
    np.savez(samples, evaluation=np.zeros(2))
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"no model")
    for arguments, said in [
        ((tmp_path,), "MODEL must be an ONNX file or a run folder"),
        ((run, "--trial", "other"), "--trial must be a trial of"),
        ((run, "--samples", samples), "--samples must be left out for a run"),
        ((foreign, "--trial", "best"), "--trial must be left out for an ONNX file"),
        ((foreign, "--data-dir", tmp_path), "--data-dir must be left out for an ONNX file"),
        ((foreign, "--samples", foreign), "--samples must be a NumPy file"),
        ((foreign, "--samples", samples), "--samples must hold calibration, and may hold"),
        ((foreign,), "MODEL must be an ONNX file, got"),
        ((foreign, "--precision", "int1"), "precision of onnxruntime must be one of fp32, int8"),
        ((run, "--batch-sizes", 0), "batch_size must be > 0, got 0"),
        ((run, "--min-time-s", 0), "min_time_s must be > 0, got 0"),
        ((run, "--out", tmp_path / "x.csv"), "--out must end in .json or .parquet"),
        (("import", tmp_path / "none", "pi5"), "what is imported must be a latency cache"),
        (("import", run, "cpu"), "the name of a machine must be one of your own"),
    ]:
        assert call(*arguments) == 2, said
        errors = capsys.readouterr().err
        assert errors.startswith(f"error: {said}"), errors
        assert errors.count("\n") == 1
    assert server.requests == []


def test_the_command_is_a_program(tmp_path):
    command = [sys.executable, "-m", "trainables.latency", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
