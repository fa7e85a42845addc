"""During a sweep and after it: what its run folder and its processes tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.records import (
    CHECKPOINTS_FOLDER,
    LEDGER_FILE,
    LEDGER_SCHEMA,
    RESULTS_FILE,
    RESULTS_SCHEMA,
    TRIALS_FILE,
    TRIALS_SCHEMA,
)
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
from sweeps.doctor.finding import Finding
from sweeps.processes import is_driver_alive, processes_of, remove_left_folder
from sweeps.recorded_run import number, read_json, read_rows, read_sweep
from trainables.checkpoint_store import STATE_FILE, checkpoint_key, previous_checkpoint


def examine_run(run: Path, address: str | None = None) -> list[Finding]:
    """Look at a run.

    Args:
        run: its folder.
        address: of the cluster on which it ran, to look for placement groups of it; None: not.

    Raises:
        InputError: if it is no run folder, or there is no such cluster.
    """
    sweep = read_sweep(run)
    trials = read_rows(run, TRIALS_FILE, TRIALS_SCHEMA, is_required=False)  # none at first
    results = read_rows(run, RESULTS_FILE, RESULTS_SCHEMA, is_required=False)
    spans = read_rows(run, LEDGER_FILE, LEDGER_SCHEMA, is_required=False)
    configs = [read_json(trial["config"], f"config in {TRIALS_FILE}") for trial in trials]
    spec = sweep["spec"] if isinstance(sweep.get("spec"), dict) else {}
    driver = sweep["driver"] if isinstance(sweep.get("driver"), dict) else {}
    has_ended = not is_driver_alive(driver)
    exploits = check_exploits(
        trials, str(sweep.get("scheduler")), int(number(sweep, "perturbation_epochs", 1))
    )
    return [
        check_processes(not has_ended, str(sweep.get("status")), processes_of(driver)),
        *_clean_up(driver),
        *([] if address is None else [_placement_groups(driver, address, has_ended=has_ended)]),
        *([] if exploits is None else [exploits]),
        check_idle(spans),
        *check_failures(trials, configs),
        check_duplicates(_first_configs(trials)),
        check_churn(results, int(number(spec, "checkpoint_epochs", 1))),
        *_examine_checkpoints(run, trials, has_ended=has_ended),
    ]


def _clean_up(driver: dict[str, Any]) -> list[Finding]:
    """Remove the temporary folder of a driver that was killed."""
    removed = remove_left_folder(driver)
    if removed is None:
        return []
    return [Finding("ok", "temporary folder", f"removed {removed}, which a killed driver had left")]


def _first_configs(trials: list[dict[str, Any]]) -> list[str]:
    """Return with what each trial began that copied no other, its seed aside.

    The past of one that did is its donor's.
    """
    drawn = [trial["config"] for trial in trials if not trial["num_exploits"]]
    configs = [read_json(config, f"config in {TRIALS_FILE}") for config in drawn]
    return [json.dumps({**config, "seed": None}, sort_keys=True) for config in configs]


def _examine_checkpoints(
    run: Path, trials: list[dict[str, Any]], *, has_ended: bool
) -> list[Finding]:
    """Look at the checkpoints in the run folder; those elsewhere are not listed."""
    folder = run / CHECKPOINTS_FOLDER
    names = [str(t["checkpoint"]) for t in trials if t["checkpoint"]]
    named = {checkpoint_key(n) for n in names if n.startswith(f"{CHECKPOINTS_FOLDER}/")}
    if not folder.is_dir():
        return []
    states = folder.glob(f"*/epoch_*[0-9]/{STATE_FILE}")  # without pruned ones beside them
    present = {checkpoint_key(str(path.parent)) for path in states}
    origins = set()
    for key in named & present:
        try:
            origin = previous_checkpoint(f"{folder}/{key}")
        except OSError:
            origin = None
        if origin is not None:
            origins.add(checkpoint_key(origin))
    return [check_left_checkpoints(present - (origins - named), named, has_ended=has_ended)]


def _placement_groups(driver: dict[str, Any], address: str, *, has_ended: bool) -> Finding:
    from sweeps.cluster import running_cluster
    from sweeps.doctor.cluster_probe import placement_groups_of

    with running_cluster(address):
        left = placement_groups_of(str(driver.get("ray_job")))
    return check_placement_groups(left, has_ended=has_ended)
