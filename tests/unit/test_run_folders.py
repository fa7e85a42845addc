import os

import pytest
from fake_run import fake_trial, write_run

from analysis.load import RunError, load_run
from analysis.records import SWEEP_FILE
from analysis.run_folders import find_runs


def write_at(folder, written_s):
    write_run(folder, [fake_trial("a")])
    os.utime(folder / SWEEP_FILE, (written_s, written_s))
    return str(folder)


def test_the_run_written_last_comes_first_and_seeds_are_found(tmp_path):
    old = write_at(tmp_path / "old", 1)
    seeds = [write_at(tmp_path / "replay" / f"seed_{seed}", 2 + seed) for seed in range(2)]
    new = write_at(tmp_path / "new", 9)
    (tmp_path / "not_a_run").mkdir()
    assert find_runs(tmp_path) == (new, seeds[1], seeds[0], old)


def test_a_run_folder_is_itself_and_what_lies_in_it_is_none(tmp_path):
    run = write_at(tmp_path / "run", 1)
    write_at(tmp_path / "run" / "report" / "inner", 2)
    assert find_runs(run) == (run,)
    assert find_runs(tmp_path) == (run,)


def test_paths_come_back_as_they_were_given(tmp_path, monkeypatch):
    write_at(tmp_path / "runs" / "a? b", 1)
    monkeypatch.chdir(tmp_path)
    assert find_runs("runs/") == ("runs/a? b",)
    (found,) = find_runs((tmp_path / "runs").as_uri())
    assert found.startswith("file://")
    assert len(load_run(find_runs("runs")[0]).trials) == 1


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_no_run_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="must hold a run folder, got"):
        find_runs(tmp_path / name)


def test_what_cannot_be_opened_is_refused():
    with pytest.raises(RunError, match="must be a local path or a URI"):
        find_runs("nowhere://runs")
