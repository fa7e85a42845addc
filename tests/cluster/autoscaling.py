"""Ray's autoscaler with its fake nodes: gangs bring nodes up, and let them go."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ray
import yaml

from tests.cluster.course import ClusterTestError, Course, Sweep, run_logged
from tests.cluster.hosts import make_hosts, put_environment_on_top

HEAD_ID: Final = "f" * 51 + "00000"
HEAD_TYPE: Final = "ray.head.default"  # the fake provider knows no other
CONFIG: Final = Path("/mnt/autoscaling.yaml")
RUN: Final = Path("/mnt/run")
NUM_NODES: Final = 2
TYPES: Final[dict[str, dict[str, Any]]] = {
    HEAD_TYPE: {"resources": {"CPU": 0, "trial_slot": 8}, "node_config": {}, "max_workers": 0},
    "worker": {
        "resources": {"CPU": 1},
        "node_config": {},
        "min_workers": 0,
        "max_workers": NUM_NODES,
    },
}
FLAGS: Final = (
    f"--address auto --cluster-file {CONFIG} --dataset digits --trials 4 --epochs 30 "
    f"--models resnet8 --widths 8 --workers-per-trial 1 --finalists 0 "
    f"--objectives val_accuracy:max gang_seconds:min --out {RUN}"
)


def check(course: Course) -> None:
    """Start a cluster without workers, and run a sweep that brings them up."""
    make_hosts([])
    _start_head()
    course.say("a head is up, and no worker")
    refused = subprocess.run([*_sweep(), "--gangs", "9"], capture_output=True, text=True)
    if refused.returncode != 2 or "must fit the hardware" not in refused.stderr:
        raise ClusterTestError(f"9 gangs on {NUM_NODES} nodes must be refused, got {refused}")
    course.say(f"refused: {refused.stderr.strip()}")
    sweep = Sweep([*_sweep(), "--gangs", str(NUM_NODES)], RUN)
    sweep.wait_for("the run folder", (RUN / "gangs.json").exists, timeout_s=600)
    since_s = time.monotonic()
    sweep.wait_for("all nodes", lambda: _num_workers() == NUM_NODES, timeout_s=600)
    course.say(f"{NUM_NODES} nodes came {time.monotonic() - since_s:.1f} s after the gangs")
    for count in range(1, NUM_NODES + 1):
        sweep.wait_for(
            f"training on {count} gangs",
            lambda count=count: len({epoch["gang"] for epoch in sweep.epochs()}) >= count,
            timeout_s=600,
        )
        course.say(f"{count} gangs have trained, {time.monotonic() - since_s:.1f} s after that")
    sweep.wait(timeout_s=600)
    course.say("all trials are done")
    _wait_for(lambda: _num_workers() == 0, timeout_s=600)
    # The report is written while the nodes are idle already.
    ended_unix_s = json.loads((RUN / "sweep.json").read_text())["ended_unix_s"]
    course.say(f"no node is left {time.time() - ended_unix_s:.1f} s after the gangs' end")


def _start_head() -> None:
    """Start Ray with the fake provider, whose default file is not in Ray's wheel."""
    put_environment_on_top()
    default = Path(ray.__file__).parent / "autoscaler/_private/fake_multi_node/example.yaml"
    default.write_text("{}")
    CONFIG.write_text(yaml.safe_dump(_config()))
    environment = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    resources = f"--resources={json.dumps({'trial_slot': 8})}"
    start = ["ray", "start", "--head", "--num-cpus=0", resources, f"--autoscaling-config={CONFIG}"]
    run_logged(*start, environment=environment)


def _config() -> dict[str, Any]:
    lists = ("initialization_commands", "setup_commands", "head_setup_commands",
             "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands",
             "cluster_synced_files", "rsync_exclude", "rsync_filter")  # fmt: skip
    return {
        "cluster_name": "fake",
        "max_workers": NUM_NODES,
        "upscaling_speed": 8.0,
        "idle_timeout_minutes": 0.2,
        "provider": {"type": "fake_multinode", "launch_multiple": True, "head_node_id": HEAD_ID},
        "available_node_types": TYPES,
        "head_node_type": HEAD_TYPE,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in lists},
    }


def _sweep() -> list[str]:
    return [sys.executable, "sweeps/random_cifar.py", *FLAGS.split()]


def _num_workers() -> int:
    """Count the nodes by their processes: asking Ray would take seconds each time."""
    found = subprocess.run(["pgrep", "-c", "-x", "raylet"], capture_output=True, text=True)
    return int(found.stdout) - 1


def _wait_for(has_come: Callable[[], bool], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not has_come():
        if time.monotonic() > deadline_s:
            raise ClusterTestError(f"idle nodes must go within {timeout_s:g} s, and did not")
        time.sleep(0.5)
