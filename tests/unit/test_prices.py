import datetime

import pytest

from sweeps.prices import BUNDLED_FILE, PriceRequest, find_price, read_prices
from sweeps.resources import GangPlan, Node
from trainables.errors import InputError

TODAY = datetime.date(2026, 10, 4)
CPU = GangPlan(2, 2, 0.5, 0, 1)
GPU = GangPlan(2, 4, 1, 1, 1)
L4_NODES = [Node(48, 4, "L4")] * 2

MINE = """
[instances."g6.12xlarge"]
on_demand_usd_per_hour = 4.0
spot_usd_per_hour = 1.5
date = 2026-10-01
source = "our contract"

[accelerators.L4]
spot_usd_per_hour = 0.3
date = 2026-10-01
source = "our contract"
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return str(path)


def price(request, nodes=L4_NODES, gangs=GPU):
    return find_price(request, nodes, gangs, TODAY)


def test_every_bundled_price_has_a_date_and_a_source():
    table = read_prices(None)
    assert {kind for kind, _ in table} == {"instances", "accelerators"}
    for entry in table.values():
        assert entry.is_bundled
        assert entry.source
        assert entry.date < datetime.date.today()


def test_the_price_of_a_worker_beats_all_others(mine):
    found = price(PriceRequest(0.5, "g6.12xlarge", mine, is_spot=True))
    assert found.usd_per_gang_hour == 4 * 0.5
    assert "as given" in found.note


def test_an_instance_is_paid_for_whole_and_shared_by_the_gangs():
    found = price(PriceRequest(instance="g6.12xlarge"))
    assert found.usd_per_gang_hour == pytest.approx(4.6016 * 2 / 2)
    three = price(PriceRequest(instance="g6.12xlarge"), [*L4_NODES, Node(48, 4, "L4")])
    assert three.usd_per_gang_hour == pytest.approx(4.6016 * 3 / 2)


def test_a_bundled_price_says_where_it_is_from_and_how_old_it_is():
    note = price(PriceRequest(instance="g6.12xlarge")).note
    assert "2 x g6.12xlarge, on demand, USD 4.6016 an hour" in note
    assert "read on 2026-09-24, 10 days old: check it" in note
    assert "AWS Price List" in note


def test_the_users_entries_replace_bundled_ones_one_by_one(mine):
    found = price(PriceRequest(instance="g6.12xlarge", prices=mine))
    assert found.usd_per_gang_hour == 4.0
    assert "days old" not in found.note
    spot = price(PriceRequest(instance="g6.12xlarge", prices=mine, is_spot=True))
    assert spot.usd_per_gang_hour == 1.5
    other = price(PriceRequest(instance="g5.xlarge", prices=mine))
    assert other.usd_per_gang_hour == 1.006


def test_the_accelerator_of_the_nodes_gives_the_price_of_their_gpus(mine):
    assert price(PriceRequest()).usd_per_gang_hour == pytest.approx(4 * 0.7992)
    spot = price(PriceRequest(prices=mine, is_spot=True))
    assert spot.usd_per_gang_hour == pytest.approx(4 * 0.3)


@pytest.mark.parametrize(
    ("request_", "nodes", "gangs", "parts"),
    [
        (
            PriceRequest(),
            [Node(4)],
            CPU,
            ["--price-usd-per-hour or --instance must be given where CPUs train, got neither; "],
        ),
        (
            PriceRequest(),
            [Node(4, 1, "X9000")],
            GPU,
            ["the accelerator must be a type with a known price", "H100", "got X9000; ",
             '[accelerators."X9000"]', "--prices"],
        ),
        (PriceRequest(), [Node(4, 1)], GPU, ["one known type", "got unknown; "]),
        (
            PriceRequest(),
            [Node(4, 1, "L4"), Node(4, 1, "T4")],
            GPU,
            ["one known type", "got L4, T4; "],
        ),
        (PriceRequest(instance="x1"), [Node(4)], CPU, ["--instance must be", "got x1; "]),
        (
            PriceRequest(instance="g6.xlarge", is_spot=True),
            [Node(4)],
            CPU,
            ["whose price spot is known, got g6.xlarge without; ", "--prices"],
        ),
        (PriceRequest(prices="/none.toml"), [Node(4)], GPU, ["--prices must be", "/none.toml"]),
    ],
)  # fmt: skip
def test_a_price_that_is_not_known_is_asked_for(request_, nodes, gangs, parts):
    with pytest.raises(InputError) as caught:
        find_price(request_, nodes, gangs, TODAY)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


ENTRY = 'on_demand_usd_per_hour = 1.0\ndate = 2026-01-01\nsource = "x"\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[instances", ["a TOML file"]),
        ("[machines.x]\n" + ENTRY, ["instances and accelerators", "got machines"]),
        ("instances = 3", ["instances.TYPE", "got instances = 3"]),
        ("[instances]\nx = 3", ["[instances.x]", "got 3"]),
        ("[instances.x]\nusd = 1\n" + ENTRY, ["no keys in instances.x but", "got usd"]),
        ("[instances.x]\n" + ENTRY.replace("1.0", "-1"), ["> 0 in instances.x", "got -1"]),
        ("[instances.x]\n" + ENTRY.replace("1.0", "0"), ["> 0 in instances.x", "got 0"]),
        ("[instances.x]\n" + ENTRY.replace("1.0", "inf"), ["> 0 in instances.x", "got inf"]),
        ("[instances.x]\n" + ENTRY.replace("1.0", "true"), ["> 0 in instances.x", "got True"]),
        ("[instances.x]\n" + ENTRY.replace("1.0", '"1"'), ["> 0 in instances.x", "got '1'"]),
        ('[instances.x]\ndate = 2026-01-01\nsource = "x"', ["a price in instances.x", "got none"]),
        ("[instances.x]\non_demand_usd_per_hour = 1\nsource = 'x'", ["the date", "got None"]),
        ("[instances.x]\non_demand_usd_per_hour = 1\ndate = 2026-01-01", ["the source"]),
        ("[instances.x]\n" + ENTRY.replace("2026-01-01", '"2026"'), ["the date", "got '2026'"]),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_it(tmp_path, text, parts):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_prices(path)
    for part in [*parts, "--prices must", str(path), "; "]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bundled_file_lies_in_the_package():
    assert BUNDLED_FILE.is_file()
