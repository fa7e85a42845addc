"""Runs a test by name inside the namespaces that scripts/cluster-test made."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cluster import autoscaling, several_hosts
from tests.cluster.course import LOG, ClusterTestError, Course
from tests.cluster.hosts import HOME, ROOT

TESTS = {"hosts": several_hosts.check, "autoscaling": autoscaling.check}


def main() -> None:
    """Exit 0, 1 if something did not go as it must, or 2 for an unknown name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "hosts"
    if name not in TESTS:
        print(f"error: test must be one of {', '.join(TESTS)}, got {name}", file=sys.stderr)
        sys.exit(2)
    os.environ |= {
        "HOME": str(HOME),
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    course = Course()
    try:
        TESTS[name](course)
    except (ClusterTestError, subprocess.SubprocessError) as error:
        if LOG.exists():
            print(LOG.read_text()[-6000:], file=sys.stderr)
        print(f"cluster-test {name} failed: {error}", file=sys.stderr)
        sys.exit(1)
    course.say(f"cluster-test {name} passed")


os.chdir(ROOT)
main()
