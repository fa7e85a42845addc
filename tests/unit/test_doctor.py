"""The doctor as a person calls it."""

import json

import pytest

from sweeps.doctor import before
from sweeps.doctor.__main__ import main
from sweeps.resources import Node
from tests.fake_run import fake_trial, write_run

FLAGS = ("--dataset", "digits", "--limit-train", "256", "--models", "resnet8", "--widths", "4",
         "--workers-per-trial", "2")  # fmt: skip


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return stopped.value.code, printed.out.splitlines(), printed.err


def found(lines, what):
    return [line for line in lines if line[9:].startswith(f"{what}: ")]


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch):
    monkeypatch.setattr(before, "local_node", lambda: Node(4.0))


def test_before_a_sweep_that_fits(capsys, tmp_path):
    code, lines, _ = call(
        capsys, *FLAGS, "--gangs", "2", "--storage", str(tmp_path), "--price-usd-per-hour", "1"
    )
    assert code == 0
    assert {line[9:].partition(":")[0] for line in lines} == {
        "gangs", "shared memory", "ports", "temporary folder", "open files", "authentication",
        "price", "plan", "storage", "disk",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (("--gangs", "50"), "gangs"),
        (("--budget-usd", "1"), "price"),
        (("--checkpoint-quota-gb", "0.0000001"), "plan"),
        (("--storage", "nowhere://bucket"), "storage"),
    ],
)
def test_before_a_sweep_that_does_not_fit(capsys, flags, what):
    code, lines, _ = call(capsys, *FLAGS, *flags)
    assert code == 1
    (line,) = found(lines, what)
    assert line.startswith("fault")
    assert "; " in line


def test_a_disk_that_is_too_small(capsys, monkeypatch):
    monkeypatch.setattr(before, "disk_free_bytes", lambda path: 1000)
    code, lines, _ = call(capsys, *FLAGS)
    assert code == 1
    assert found(lines, "disk")[0].startswith("fault")


def test_a_run_that_went_well(capsys, tmp_path):
    trials = [fake_trial(name, config={"width": n}) for n, name in enumerate("ab")]
    code, lines, _ = call(capsys, str(write_run(tmp_path / "run", trials)))
    assert code == 0
    assert {line.split()[0] for line in lines} == {"ok"}


def test_a_trial_that_copied_another_is_no_duplicate(capsys, tmp_path):
    trials = [fake_trial("a", config={"width": 8}), fake_trial("b", num_exploits=1)]
    trials[1]["lineage"] = [*trials[0]["lineage"], *trials[1]["lineage"]]
    code, lines, _ = call(capsys, str(write_run(tmp_path / "run", trials)))
    assert code == 0
    assert found(lines, "duplicates") == ["ok       duplicates: none in 1 configs"]


def test_a_run_that_went_wrong(capsys, tmp_path):
    config = {"width": 8}
    trials = [fake_trial(name, config=config, epoch=9) for name in "abc"]
    ledger = [
        {"gang": 0, "generation": 1, "kind": kind, "started_s": start, "ended_s": end}
        for kind, start, end in (("training", 0.0, 10.0), ("idle", 10.0, 20.0))
    ]
    run = write_run(
        tmp_path / "run",
        trials,
        ledger=ledger,
        sweep={"scheduler": "pbt", "perturbation_epochs": 1, "status": "running"},
    )
    stray = run / "checkpoints" / "a" / "epoch_0001-1"
    stray.mkdir(parents=True)
    (stray / "state.pt").touch()
    code, lines, _ = call(capsys, str(run))
    assert code == 1
    levels = {line[9:].partition(":")[0]: line.split()[0] for line in lines}
    assert levels == {
        "processes": "fault",  # it says that it runs, and nothing does
        "exploits": "fault",
        "idle": "warning",
        "failures": "ok",
        "duplicates": "warning",
        "checkpoint churn": "ok",
        "checkpoints": "fault",  # those that are named are not there
    }


@pytest.mark.parametrize("arguments", [("/nowhere",), ("--trails", "3"), ("--gangs", "0")])
def test_wrong_input_is_one_line(capsys, arguments):
    code, lines, errors = call(capsys, *arguments)
    assert (code, lines) == (2, [])
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_a_run_that_has_just_begun_has_no_tables_yet(capsys, tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"schema_version": 3, "status": "finished"}))
    assert call(capsys, str(tmp_path))[0] == 0
