"""One model in one way of serving, as it passes from process to process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.latency.serving import Serving
from trainables.task import Task

Arrays = dict[str, NDArray[Any]]

_EXPECTED_FILE = "expected.npz"
_ARTEFACT_FOLDER = "artefact"


@dataclass(frozen=True)
class Job:
    """What the steps of a measurement share.

    Attributes:
        subject: as `trainables.latency.measure` writes it.
        task: what the model must fit; None for an ONNX file.
        serving: how it is served.
        folder: for what passes between the steps.
        samples_file: of `trainables.latency.measure.Samples`; None: there are none.
    """

    subject: Mapping[str, Any]
    task: Task | None
    serving: Serving
    folder: Path
    samples_file: Path | None

    @property
    def artefact_folder(self) -> Path:
        """Where the artefact lies, and nothing else."""
        return self.folder / _ARTEFACT_FOLDER

    @property
    def compression(self) -> str | None:
        """What is done to the model first, in words; None for nothing."""
        fraction = self.subject.get("pruned_fraction")
        return f"pruned {fraction:g}" if fraction else None

    def load_samples(self) -> Arrays:
        """Return the samples by their names; none if there are none."""
        return {} if self.samples_file is None else _load(self.samples_file)

    def save_expected(self, arrays: Arrays) -> None:
        """Keep what eager PyTorch in fp32 computes: `example`, its `logits`, and so on."""
        np.savez(self.folder / _EXPECTED_FILE, **arrays)  # type: ignore[arg-type]

    def load_expected(self) -> Arrays:
        """Return what `save_expected` kept."""
        return _load(self.folder / _EXPECTED_FILE)


def _load(path: Path) -> Arrays:
    with np.load(path) as file:
        return dict(file)
