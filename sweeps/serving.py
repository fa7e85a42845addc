"""How the models of a sweep will be served, as its flags say."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sweeps.latency_bench import Bench, Identity
from sweeps.spec import SweepSpec
from trainables.errors import InputError
from trainables.latency.cache import default_cache_path
from trainables.latency.serving import Serving
from trainables.latency.slo import Slo

_FLAGS: Final = {
    "runtime": "--runtime",
    "precision": "--precision",
    "device": "--latency-device",
    "batch_size": "--latency-batch-size",
    "num_threads": "--latency-threads",
}
"""By what `check_serving` calls it."""

_HINT: Final = (
    "; --precision is that of the model that is served, --fix precision=bf16 sets training's"
)


@dataclass(frozen=True)
class Target:
    """How and on what the models will be served, and how fast they must be there.

    Attributes:
        serving: asked for.
        fallback: for models that can't run so; None: they are refused.
        machine: whose imported figures are used; None: figures are measured.
        slo: what is held against them.
        cache_path: where they are kept for other sweeps.
        price_usd_per_hour: of the host that serves; None: not known.
    """

    serving: Serving
    fallback: Serving | None
    machine: str | None
    slo: Slo
    cache_path: Path
    price_usd_per_hour: float | None

    @property
    def servings(self) -> tuple[Serving, ...]:
        """What is asked for, then what it may fall back to."""
        return (self.serving,) if self.fallback is None else (self.serving, self.fallback)

    def to_dict(self) -> dict[str, Any]:
        """Return it as `sweep.json` has it."""
        return {
            **dataclasses.asdict(self.serving),
            "fallback_runtime": self.fallback and self.fallback.runtime,
            "machine": self.machine,
            "slo_ms": self.slo.limit_ms,
            "percentile": self.slo.percentile,
            "price_usd_per_hour": self.price_usd_per_hour,
        }


def serving_words(serving: Serving) -> str:
    """Return a way of serving in words, without the device."""
    plural = "" if serving.num_threads == 1 else "s"
    return (
        f"{serving.runtime} {serving.precision}, batch {serving.batch_size}, "
        f"{serving.num_threads} thread{plural}"
    )


def target_of(spec: SweepSpec) -> Target:
    """Return what the flags ask for.

    Raises:
        InputError: if flags contradict one another.
    """
    machine = None if spec.latency_device in ("cpu", "cuda") else spec.latency_device
    serving = Serving(
        runtime=spec.runtime,
        precision=spec.precision,
        batch_size=spec.latency_batch_size,
        num_threads=spec.latency_threads,
        device="cpu" if machine else spec.latency_device,
    )
    if machine is not None and spec.compress_fraction is not None:
        raise InputError(
            "--compress-fraction must be left out with --latency-device of another machine, where "
            f"finalists can't be measured, got {spec.compress_fraction:g}; leave it out"
        )
    if spec.fallback_runtime == spec.runtime:
        raise InputError(
            f"--fallback-runtime must be another than --runtime, got {spec.runtime} for both; "
            "leave it out"
        )
    if spec.latency_percentile in (95, 99) and spec.latency_threads > 1:
        raise InputError(
            "--latency-percentile must be 50 or left out with more than one thread, got "
            f"{spec.latency_percentile} with {spec.latency_threads}: preemptions of the others "
            "are not seen; leave it out"
        )
    fallback = (
        None
        if spec.fallback_runtime is None
        else dataclasses.replace(serving, runtime=spec.fallback_runtime)
    )
    return Target(
        serving=serving,
        fallback=fallback,
        machine=machine,
        slo=Slo(spec.latency_slo_ms, spec.latency_percentile),
        cache_path=Path(spec.latency_cache) if spec.latency_cache else default_cache_path(),
        price_usd_per_hour=spec.serving_price_usd_per_hour,
    )


def identify(target: Target, bench: Bench) -> dict[Serving, Identity]:
    """Return what figures of a bench have in common, for each way of serving.

    Raises:
        InputError: if the bench can't serve so; names the flag.
    """
    known = {}
    for serving in target.servings:
        try:
            known[serving] = bench.identify(serving)
        except InputError as error:
            text = _with_flags(str(error), is_fallback=serving is target.fallback)
            raise InputError(text) from error
    return known


def _with_flags(message: str, *, is_fallback: bool) -> str:
    """Return what `check_serving` says with the flag in place of the field."""
    name = next((name for name in _FLAGS if message.startswith(f"{name} ")), None)
    if name is None:
        return message
    flag = "--fallback-runtime" if is_fallback and name == "runtime" else _FLAGS[name]
    return flag + message.removeprefix(name) + (_HINT if name == "precision" else "")
