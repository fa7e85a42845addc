"""What is paid an hour, found in a price file or given by the user.

A price file is TOML: a table for each type,

    [instances."g6.12xlarge"]           # or [accelerators.L4]
    on_demand_usd_per_hour = 4.6016
    spot_usd_per_hour = 1.84            # optional
    date = 2026-09-24                   # when it was read
    source = "where it was read"
"""

from __future__ import annotations

import datetime
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sweeps.resources import GangPlan, Node
from trainables.errors import InputError

BUNDLED_FILE: Final = Path(__file__).with_name("prices.toml")

Kind = Literal["instances", "accelerators"]
KINDS: Final[tuple[Kind, ...]] = ("instances", "accelerators")

_PRICES: Final = ("on_demand_usd_per_hour", "spot_usd_per_hour")
_KEYS: Final = (*_PRICES, "date", "source")


@dataclass(frozen=True)
class PriceEntry:
    """What one type costs.

    Attributes:
        on_demand_usd_per_hour: None where only spot is known.
        spot_usd_per_hour: None where only on demand is known.
        date: when it was read.
        source: where.
        is_bundled: it came with this package.
    """

    on_demand_usd_per_hour: float | None
    spot_usd_per_hour: float | None
    date: datetime.date
    source: str
    is_bundled: bool


@dataclass(frozen=True)
class Price:
    """What a sweep pays for its gangs.

    Attributes:
        usd_per_gang_hour: of one gang, its part of the nodes included where they are paid for.
        note: what it was made of, one line.
    """

    usd_per_gang_hour: float
    note: str


PriceTable = Mapping[tuple[Kind, str], PriceEntry]


def read_prices(path: Path | None) -> PriceTable:
    """Return the bundled entries, with those of the user's file in their place.

    Raises:
        InputError: if the file isn't TOML of the form above; names the entry.
    """
    table = _read_file(BUNDLED_FILE, is_bundled=True)
    return table if path is None else {**table, **_read_file(path, is_bundled=False)}


def _read_file(path: Path, *, is_bundled: bool) -> dict[tuple[Kind, str], PriceEntry]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError(
            f"--prices must be a TOML file that can be read, got {path} ({error}); see "
            f"{BUNDLED_FILE} for the form"
        ) from None
    unknown = sorted(content.keys() - set(KINDS))
    if unknown:
        raise _wrong(path, "have no tables but instances and accelerators", unknown[0])
    entries: dict[tuple[Kind, str], PriceEntry] = {}
    for kind in KINDS:
        types = content.get(kind, {})
        if not isinstance(types, dict):
            raise _wrong(path, f"have a table [{kind}.TYPE] for each type", f"{kind} = {types!r}")
        for name, entry in types.items():
            entries[kind, name] = _read_entry(path, f"{kind}.{name}", entry, is_bundled=is_bundled)
    return entries


def _read_entry(path: Path, name: str, entry: Any, *, is_bundled: bool) -> PriceEntry:
    if not isinstance(entry, dict):
        raise _wrong(path, f"have a table [{name}]", repr(entry))
    unknown = sorted(entry.keys() - set(_KEYS))
    if unknown:
        raise _wrong(path, f"have no keys in {name} but {', '.join(_KEYS)}", unknown[0])
    for key in _PRICES:
        value = entry.get(key, 1.0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0:
            raise _wrong(path, f"have {key} > 0 in {name} [USD per hour]", repr(value))
    if not any(key in entry for key in _PRICES):
        raise _wrong(path, f"have a price in {name}: {' or '.join(_PRICES)}", "none")
    date = entry.get("date")
    if type(date) is not datetime.date:
        raise _wrong(path, f"have the date in {name} when the price was read", repr(date))
    source = entry.get("source")
    if not isinstance(source, str) or not source.strip():
        raise _wrong(path, f"have the source in {name} where the price was read", repr(source))
    on_demand, spot = (entry.get(key) for key in _PRICES)
    return PriceEntry(on_demand, spot, date, source, is_bundled)


def _wrong(path: Path, rule: str, got: str) -> InputError:
    return InputError(f"--prices must {rule}, got {got} in {path}; correct the file")


@dataclass(frozen=True)
class PriceRequest:
    """What the user said of prices.

    Attributes:
        price_usd_per_hour: of one worker; beats all else.
        instance: the type of every node that holds workers.
        prices: a file of the user's own.
        is_spot: spot prices instead of those on demand.
    """

    price_usd_per_hour: float | None = None
    instance: str | None = None
    prices: str | None = None
    is_spot: bool = False


def find_price(
    request: PriceRequest, nodes: Sequence[Node], gangs: GangPlan, today: datetime.date
) -> Price:
    """Return what a gang costs.

    A worker's price counts for its workers. An instance's price counts for the whole nodes, which
    the gangs share evenly, used or not. Without either, the nodes' accelerators say what a GPU
    costs.

    Args:
        request: what the user said.
        nodes: that may hold workers.
        gangs: on them.
        today: to tell how old a bundled price is.

    Raises:
        InputError: if a price is not known; says what to give.
    """
    if request.price_usd_per_hour is not None:
        price = request.price_usd_per_hour
        gang = gangs.workers_per_gang * price
        return Price(gang, f"USD {price:g} an hour and worker, as given")
    table = read_prices(None if request.prices is None else Path(request.prices))
    if request.instance is not None:
        price, note = _look_up(table, "instances", request.instance, request, today)
        gang = price * len(nodes) / gangs.num_gangs
        return Price(gang, f"{len(nodes)} x {note}")
    accelerator = _accelerator(nodes, gangs)
    price, note = _look_up(table, "accelerators", accelerator, request, today)
    return Price(price * gangs.gpus_per_gang, note)


def _accelerator(nodes: Sequence[Node], gangs: GangPlan) -> str:
    """Return the one type of GPU that the gangs run on."""
    if not gangs.gpus_per_worker:
        raise InputError(
            "--price-usd-per-hour or --instance must be given where CPUs train, got neither; give "
            "the price of a worker, or the type of the nodes"
        )
    types = {node.accelerator for node in nodes if node.num_gpus}
    if len(types) != 1 or None in types:
        found = ", ".join(sorted(name or "unknown" for name in types))
        raise InputError(
            f"accelerators must be of one known type to find their price, got {found}; give "
            "--price-usd-per-hour, the price of a worker"
        )
    return str(types.pop())


def _look_up(
    table: PriceTable, kind: Kind, name: str, request: PriceRequest, today: datetime.date
) -> tuple[float, str]:
    """Return a type's price and what is to be said of it."""
    what = "--instance" if kind == "instances" else "the accelerator"
    entry = table.get((kind, name))
    if entry is None:
        known = ", ".join(other for other_kind, other in table if other_kind == kind)
        raise InputError(
            f"{what} must be a type with a known price ({known}), got {name}; add [{kind}."
            f'"{name}"] to a file for --prices, or give --price-usd-per-hour'
        )
    way = "spot" if request.is_spot else "on demand"
    price = entry.spot_usd_per_hour if request.is_spot else entry.on_demand_usd_per_hour
    if price is None:
        raise InputError(
            f"{what} must be a type whose price {way} is known, got {name} without; add it to a "
            "file for --prices, or give --price-usd-per-hour"
        )
    age = f", {(today - entry.date).days} days old: check it" if entry.is_bundled else ""
    origin = "bundled with paretune" if entry.is_bundled else str(request.prices)
    return price, (
        f"{name}, {way}, USD {price:g} an hour ({origin}, read on {entry.date}{age}; "
        f"{entry.source})"
    )
