"""Inference latency of an architecture, measured alone in a fresh process. Imports no Torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class RuntimeEntry(NamedTuple):
    """Where a runtime stands.

    Attributes:
        target: module:class of a `trainables.latency.protocol.Runtime`.
        precision: of its arithmetic.
    """

    target: str
    precision: str


RUNTIMES: Mapping[str, RuntimeEntry] = {
    "eager": RuntimeEntry("trainables.latency.eager:EagerRuntime", "fp32"),
}
"""By name."""
