"""The fixtures that integration tests share, and figures that no sweep here has to measure."""

from tests.integration.conftest import digits, known_latencies

__all__ = ["digits", "known_latencies"]
