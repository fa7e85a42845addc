"""A cluster of four hosts on this machine: up, a sweep over them, a host lost, down.

What is wrong ends it with a line and exit code 1; figures are printed, never asserted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from analysis.records import GANGS_FILE, RESULTS_FILE, SWEEP_FILE, TRIALS_FILE
from tests.cluster.hosts import HOME, KEYS, ROOT, SHARED, Host, make_hosts

NAMES: Final = ("head", "worker-1", "worker-2", "worker-3")
CONFIG: Final = Path("/mnt/cluster.yaml")
LOG: Final = Path("/mnt/cluster-test.log")
RUN: Final = SHARED / "runs/two_hosts"
SWEEP: Final = (
    "--address auto --dataset digits --trials 4 --epochs 24 --perturbation-epochs 6 --models "
    f"resnet8 --widths 8 --gangs 1 --workers-per-trial 2 --finalists 0 --out {RUN}"
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


class ClusterTestError(Exception):
    """The cluster did not do what it must."""


def main() -> None:
    """Make the hosts and take a cluster through its life."""
    os.environ |= {
        "HOME": str(HOME),
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    # The first process of a namespace ignores what it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started_s = time.monotonic()
    hosts = make_hosts(list(NAMES))
    os.chdir(ROOT)
    _say(started_s, f"{len(hosts)} hosts answer by SSH")
    CONFIG.write_text(yaml.safe_dump(_config(hosts)))
    (SHARED / "await_nodes.py").write_text(AWAIT_NODES)
    try:
        _ray("get-auth-token", "--generate")
        nodes = _bring_up(hosts, started_s)
        _bring_up_again(hosts, nodes, started_s)
        _sweep(hosts, started_s)
        _take_down(started_s)
    except (ClusterTestError, subprocess.SubprocessError) as error:
        print(LOG.read_text()[-6000:], file=sys.stderr)
        print(f"cluster-test failed: {error}", file=sys.stderr)
        sys.exit(1)
    _say(started_s, "cluster-test passed")


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


def _bring_up(hosts: list[Host], started_s: float) -> dict[str, str]:
    since_s = time.monotonic()
    _ray("up", "--yes", str(CONFIG))
    up_s = time.monotonic() - since_s
    nodes = _await_nodes(hosts[0], len(hosts), timeout_s=180)
    all_s = time.monotonic() - since_s
    _say(started_s, f"ray up took {up_s:.1f} s, and all {len(nodes)} nodes {all_s:.1f} s")
    return nodes


def _bring_up_again(hosts: list[Host], nodes: dict[str, str], started_s: float) -> None:
    _ray("up", "--yes", "--no-restart", str(CONFIG))
    if _await_nodes(hosts[0], len(hosts), timeout_s=30) != nodes:
        raise ClusterTestError("a second ray up --no-restart must leave all nodes as they are")
    _say(started_s, "a second ray up --no-restart changed nothing")


def _sweep(hosts: list[Host], started_s: float) -> None:
    """Run a sweep, take a host of its gang away in the middle, and give it back."""
    since_s = time.monotonic()
    with LOG.open("a") as log:
        arguments = ["submit", str(CONFIG), "sweeps/pbt_cifar.py", "--", *SWEEP.split()]
        sweep = subprocess.Popen(["ray", *arguments], stdout=log, stderr=log)
    _await("the first epochs", lambda: len(_epochs()) >= 4, sweep, timeout_s=180)
    used = _gang()["hosts"]
    _say(started_s, f"the gang trains on {' and '.join(used)}, {time.monotonic() - since_s:.1f} s "
         "after the submit")  # fmt: skip
    if len(set(used)) != 2:
        raise ClusterTestError(f"the gang must span two hosts, got {used}")
    lost = next(host for host in hosts if host.name == used[1])
    before = len(_epochs())
    lost.cut()
    cut_s = time.monotonic()
    _say(started_s, f"the link of {lost.name} is cut after {before} epochs")
    _await("training on the rest", lambda: _epochs()[-1]["generation"] > 1, sweep, timeout_s=180)
    _say(started_s, f"training went on {time.monotonic() - cut_s:.1f} s after the cut")
    _await("the gang's hosts", lambda: _gang()["generation"] > 1, sweep, timeout_s=30)
    if lost.name in _gang()["hosts"]:
        raise ClusterTestError(f"the gang must have left {lost.name}, got {_gang()['hosts']}")
    lost.heal()
    healed_s = time.monotonic()
    _await_nodes(hosts[0], len(hosts), timeout_s=120)
    _say(started_s, f"{lost.name} was back {time.monotonic() - healed_s:.1f} s after its link")
    code = sweep.wait(timeout=300)
    trials = pq.read_table(RUN / TRIALS_FILE, columns=["trial_id", "status", "epoch"]).to_pylist()
    done = [trial for trial in trials if trial["status"] == "completed"]
    status = json.loads((RUN / SWEEP_FILE).read_text())["status"]
    if code or status != "finished" or len(done) != 4:
        raise ClusterTestError(
            f"the sweep must finish with all trials, got {code}, {status}, {trials}"
        )
    _say(started_s, f"{len(done)} of 4 trials done, {time.monotonic() - since_s:.1f} s after the "
         f"submit; the run folder lies in {RUN}")  # fmt: skip
    subprocess.run([sys.executable, "-m", "sweeps.status", str(RUN)], check=True)


def _take_down(started_s: float) -> None:
    since_s = time.monotonic()
    _ray("down", "--yes", str(CONFIG))
    _say(started_s, f"ray down took {time.monotonic() - since_s:.1f} s")
    # It stops the head alone; the workers' Ray ends when it has missed the head for a minute. This
    # process sees the processes of all hosts.
    while subprocess.run(["pgrep", "-x", "raylet|gcs_server"], capture_output=True).stdout:
        if time.monotonic() - since_s > 240:
            raise ClusterTestError("Ray must end on all hosts within 240 s of ray down")
        time.sleep(0.5)
    _say(
        started_s, f"Ray had ended on all hosts {time.monotonic() - since_s:.1f} s after its start"
    )


def _epochs() -> list[dict[str, Any]]:
    """Return the epochs that the sweep has written down."""
    if not (RUN / RESULTS_FILE).exists():
        return []
    # Read at once: the sweep puts another file in its place every few seconds.
    content = pa.BufferReader((RUN / RESULTS_FILE).read_bytes())
    epochs: list[dict[str, Any]] = pq.read_table(content, columns=["generation"]).to_pylist()
    return epochs


def _gang() -> dict[str, Any]:
    (gang,) = json.loads((RUN / GANGS_FILE).read_text())["gangs"]
    assert isinstance(gang, dict)
    return gang


def _await(
    what: str, has_come: Callable[[], bool], sweep: subprocess.Popen[bytes], timeout_s: float
) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not has_come():
        if sweep.poll() is not None:
            raise ClusterTestError(f"the sweep must not end before {what}, got {sweep.returncode}")
        if time.monotonic() > deadline_s:
            raise ClusterTestError(f"{what} must come within {timeout_s:g} s, and did not")
        time.sleep(0.1)


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


def _ray(*arguments: str) -> None:
    with LOG.open("a") as log:
        subprocess.run(["ray", *arguments], check=True, stdout=log, stderr=log)


def _say(started_s: float, line: str) -> None:
    print(f"{time.monotonic() - started_s:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    main()
