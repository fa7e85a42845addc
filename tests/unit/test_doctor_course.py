import pytest

from sweeps.doctor.course import (
    check_churn,
    check_duplicates,
    check_exploits,
    check_failures,
    check_idle,
    check_left_checkpoints,
    check_placement_groups,
    check_processes,
)


def trial(status="completed", epoch=8, num_exploits=0, reason=None):
    return {"status": status, "epoch": epoch, "num_exploits": num_exploits, "reason": reason}


@pytest.mark.parametrize(
    ("trials", "level"),
    [
        ([trial(num_exploits=1), trial()], "ok"),
        ([trial(), trial()], "fault"),
        ([trial(epoch=2), trial(epoch=1)], "ok"),  # it is early
        ([], "ok"),
    ],
)
def test_a_population_that_copied_nothing(trials, level):
    assert check_exploits(trials, "pbt", 2).level == level
    assert check_exploits(trials, "mo_pbt", 2).level == level
    assert check_exploits(trials, "asha", 2) is None


def span(kind, started_s, ended_s):
    return {"kind": kind, "started_s": started_s, "ended_s": ended_s}


@pytest.mark.parametrize(("idle_s", "level"), [(10.0, "ok"), (60.0, "warning")])
def test_gangs_that_stood_idle(idle_s, level):
    finding = check_idle([span("training", 0.0, 100.0), span("idle", 100.0, 100.0 + idle_s)])
    assert finding.level == level
    assert check_idle([]).level == "ok"


def test_no_failures():
    (finding,) = check_failures([trial(), trial("pending", 0)], [{}, {}])
    assert (finding.level, finding.value) == ("ok", "none in 1 trials that began")


def test_all_failed():
    failed = trial("failed", 0, reason="out of memory\nTraceback ...")
    (finding,) = check_failures([failed] * 3, [{"model": "vit"}] * 3)
    assert (finding.level, finding.value) == ("fault", "all 3 trials that began: out of memory")


def test_a_value_with_which_everything_failed_is_named():
    failed, sound = trial("failed", 0, reason="NaN"), trial()
    configs = [{"optimizer": name, "width": 8} for name in ("muon", "muon", "sgd", "sgd")]
    findings = check_failures([failed, failed, failed, sound], configs)
    assert [finding.value for finding in findings] == [
        'all 2 trials with optimizer = "muon", e.g. NaN'
    ]
    (finding,) = check_failures([failed, sound, sound, sound], configs)
    assert (finding.level, finding.value) == ("warning", "1 of 4 trials, e.g. NaN")


def test_configs_that_were_drawn_twice():
    assert check_duplicates(["a", "b"]).level == "ok"
    finding = check_duplicates(["a", "b", "a", "a"])
    assert (finding.level, finding.value) == ("warning", "2 of 4 configs had been drawn before")


def result(trial_id, gang_seconds, train_seconds=10.0):
    return {
        "trial_id": trial_id,
        "gang_seconds": gang_seconds,
        "train_seconds": train_seconds,
        "val_seconds": None,
    }


def test_time_that_goes_into_saving():
    quick = [result("a", 11.0), result("a", 22.0), result("b", 11.0)]
    assert check_churn(quick, 1).level == "ok"
    finding = check_churn([result("a", 20.0), result("a", 40.0)], 1)
    assert finding.level == "warning"
    assert finding.value.startswith("50% of the trials' time")
    assert check_churn([], 1).level == "ok"


def test_checkpoints_that_nobody_names_and_names_without_one():
    assert check_left_checkpoints({"a/1"}, {"a/1"}, has_ended=True).level == "ok"
    left = check_left_checkpoints({"a/1", "a/2"}, {"a/1"}, has_ended=True)
    assert (left.level, "a/2" in left.next_step) == ("warning", True)
    missing = check_left_checkpoints(set(), {"a/1"}, has_ended=True)
    assert (missing.level, "a/1" in missing.value) == ("fault", True)
    assert check_left_checkpoints({"a/2"}, {"a/1"}, has_ended=False).level == "ok"


def test_processes_that_outlive_their_sweep():
    assert check_processes(True, "running", {7: "raylet"}).level == "ok"
    assert check_processes(False, "finished", {}).level == "ok"
    killed = check_processes(False, "running", {})
    assert (killed.level, "was killed" in killed.value) == ("fault", True)
    left = check_processes(False, "finished", {8: "gcs_server", 7: "raylet"})
    assert (left.level, left.next_step) == ("fault", "kill 7 8")


def test_placement_groups_that_outlive_their_sweep():
    assert check_placement_groups(["x"], has_ended=False).level == "ok"
    assert check_placement_groups([], has_ended=True).level == "ok"
    assert check_placement_groups(["x"], has_ended=True).level == "fault"
