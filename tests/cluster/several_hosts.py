"""A cluster of four hosts on this machine: up, a sweep over them, a host lost, down."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.course import ClusterTestError, Course, Sweep, run_logged
from tests.cluster.hosts import KEYS, ROOT, SHARED, Host, make_hosts

NAMES: Final = ("head", "worker-1", "worker-2", "worker-3")
CONFIG: Final = Path("/mnt/cluster.yaml")
RUN: Final = SHARED / "runs/two_hosts"
FLAGS: Final = (
    "--address auto --dataset digits --trials 4 --epochs 16 --perturbation-epochs 4 --models "
    f"resnet8 --widths 8 --gangs 1 --workers-per-trial 2 --finalists 0 "
    f"--objectives val_accuracy:max gang_seconds:min --out {RUN}"
)

# Run on the head; prints the nodes that are alive once there are as many as there should be.
AWAIT_NODES: Final = """\
import json, sys, time
import ray
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
while True:
    nodes = {n["NodeManagerHostname"]: n["NodeID"] for n in ray.nodes() if n["Alive"]}
    if len(nodes) >= int(sys.argv[1]):
        break
    time.sleep(0.2)
print(json.dumps(nodes))
"""


def check(course: Course) -> None:
    """Take a cluster through its life."""
    hosts = make_hosts(list(NAMES))
    course.say(f"{len(hosts)} hosts answer by SSH")
    CONFIG.write_text(yaml.safe_dump(_config(hosts)))
    (SHARED / "await_nodes.py").write_text(AWAIT_NODES)
    run_logged("ray", "get-auth-token", "--generate")
    _bring_up(hosts, course)
    _train(hosts, course)
    _take_down(course)


def _config(hosts: list[Host]) -> dict[str, Any]:
    """Return clusters/onprem.yaml with its EDITs filled in, and what only this test needs."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "clusters/onprem.yaml").read_text())
    head, *workers = (host.address for host in hosts)
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(KEYS / "id")}
    # There is no package index here, and the environment has all that is needed.
    config["setup_commands"] = [
        command.replace("pip install", "pip install --quiet --no-deps --no-build-isolation")
        for command in config["setup_commands"]
    ]
    # One worker a host, so a gang of two must span two.
    config["worker_start_ray_commands"][-1] += " --num-cpus=1"
    return config


def _bring_up(hosts: list[Host], course: Course) -> None:
    since_s = time.monotonic()
    run_logged("ray", "up", "--yes", str(CONFIG))
    up_s = time.monotonic() - since_s
    nodes = _await_nodes(hosts[0], len(hosts), timeout_s=600)
    all_s = time.monotonic() - since_s
    course.say(f"ray up took {up_s:.1f} s, and all {len(nodes)} nodes {all_s:.1f} s")
    run_logged("ray", "up", "--yes", "--no-restart", str(CONFIG))
    if _await_nodes(hosts[0], len(hosts), timeout_s=60) != nodes:
        raise ClusterTestError("a second ray up --no-restart must leave all nodes as they are")
    course.say("a second ray up --no-restart changed nothing")


def _train(hosts: list[Host], course: Course) -> None:
    """Run a sweep, take a host of its gang away in the middle, and give it back."""
    since_s = time.monotonic()
    submit = ["ray", "submit", str(CONFIG), "sweeps/pbt_cifar.py", "--", *FLAGS.split()]
    sweep = Sweep(submit, RUN)
    sweep.wait_for("the first epochs", lambda: len(sweep.epochs()) >= 4, timeout_s=600)
    (gang,) = sweep.gangs()
    used = gang["hosts"]
    if len(set(used)) != 2:
        raise ClusterTestError(f"the gang must span two hosts, got {used}")
    took_s = time.monotonic() - since_s
    course.say(f"the gang trains on {' and '.join(used)}, {took_s:.1f} s after the submit")
    lost = next(host for host in hosts if host.name == used[1])
    lost.cut()
    cut_s = time.monotonic()
    course.say(f"the link of {lost.name} is cut after {len(sweep.epochs())} epochs")
    sweep.wait_for(
        "training on the rest", lambda: sweep.epochs()[-1]["generation"] > 1, timeout_s=600
    )
    course.say(f"training went on {time.monotonic() - cut_s:.1f} s after the cut")
    sweep.wait_for("word of it", lambda: sweep.gangs()[0]["generation"] > 1, timeout_s=60)
    if lost.name in sweep.gangs()[0]["hosts"]:
        raise ClusterTestError(f"the gang must have left {lost.name}, got {sweep.gangs()}")
    lost.heal()
    healed_s = time.monotonic()
    _await_nodes(hosts[0], len(hosts), timeout_s=600)
    course.say(f"{lost.name} was back {time.monotonic() - healed_s:.1f} s after its link")
    sweep.wait(timeout_s=600)
    course.say(f"all trials are done, {time.monotonic() - since_s:.1f} s after the submit")
    subprocess.run([sys.executable, "-m", "sweeps.status", str(RUN)], check=True)


def _take_down(course: Course) -> None:
    since_s = time.monotonic()
    run_logged("ray", "down", "--yes", str(CONFIG))
    course.say(f"ray down took {time.monotonic() - since_s:.1f} s")
    # It stops the head alone; the workers' Ray ends when it has missed the head for a minute. This
    # process sees the processes of all hosts.
    while subprocess.run(["pgrep", "-x", "raylet|gcs_server"], capture_output=True).stdout:
        if time.monotonic() - since_s > 240:
            raise ClusterTestError("Ray must end on all hosts within 240 s of ray down")
        time.sleep(0.5)
    course.say(f"Ray had ended on all hosts {time.monotonic() - since_s:.1f} s after its start")


def _await_nodes(head: Host, num_nodes: int, timeout_s: float) -> dict[str, str]:
    """Return the ids of the nodes by host, once as many are alive."""
    command = head.ssh(f"python {SHARED}/await_nodes.py {num_nodes}")
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ClusterTestError(f"{num_nodes} nodes must be alive within {timeout_s:g} s") from None
    if found.returncode:
        raise ClusterTestError(f"the head must tell of its nodes, got {found.stderr}")
    nodes: dict[str, str] = json.loads(found.stdout.splitlines()[-1])
    return nodes
