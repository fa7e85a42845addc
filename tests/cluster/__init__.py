"""Several hosts on one machine, and a sweep on them; run by scripts/cluster-test."""
