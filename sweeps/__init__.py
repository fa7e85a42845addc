"""What a person runs, and how a sweep is scheduled."""

import os

# Before Ray is imported: a call that comes after a sweep's Ray has ended must fail, not start
# another Ray behind the sweep's back.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
