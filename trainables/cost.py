"""What time and energy cost: plain arithmetic, each quantity with its unit. No Torch, no Ray."""

from __future__ import annotations

from typing import Final

JOULES_PER_KWH: Final = 3.6e6
SECONDS_PER_HOUR: Final = 3600.0


def time_usd(seconds: float, price_usd_per_hour: float) -> float:
    """Return what is paid for what is held.

    Example:
        >>> time_usd(1800, 3.0)
        1.5
    """
    return seconds / SECONDS_PER_HOUR * price_usd_per_hour


def paid_seconds(usd: float, price_usd_per_hour: float) -> float:
    """Return for how long an amount pays.

    Args:
        usd: >= 0.
        price_usd_per_hour: > 0.

    Example:
        >>> paid_seconds(1.5, 3.0)
        1800.0
    """
    return usd / price_usd_per_hour * SECONDS_PER_HOUR


def energy_kwh(joules: float) -> float:
    """Return joules as kilowatt-hours."""
    return joules / JOULES_PER_KWH


def carbon_kg(kwh: float | None, carbon_kg_per_kwh: float | None) -> float | None:
    """Return what the energy emitted [kg CO2-equivalent]; None where either isn't known.

    Nothing is guessed from a processor's rating: energy comes from NVML's counter or not at all.
    """
    if kwh is None or carbon_kg_per_kwh is None:
        return None
    return kwh * carbon_kg_per_kwh


def serving_usd_per_million(inferences_per_second: float, price_usd_per_hour: float) -> float:
    """Return the price of a million inferences on what serves them, busy all the time.

    Args:
        inferences_per_second: samples, not calls; > 0.
        price_usd_per_hour: of that which reaches this throughput.

    Example:
        >>> serving_usd_per_million(1000, 3.6)
        1.0
    """
    return time_usd(1e6 / inferences_per_second, price_usd_per_hour)
