import io

from rich.console import Console

from sweeps.gangs_table import gangs_table, hosts_words
from trainables.ledger import GangStanding


def gang(number, kind="training", trial_id=None, seconds=0.0, hosts=("a", "a")):
    return GangStanding(number, 1, kind, trial_id, seconds, hosts)


def shown(*gangs, epochs=None, **options):
    stream = io.StringIO()
    console = Console(file=stream, width=120, color_system=None)
    for part in gangs_table(gangs, epochs or {}, **options):
        console.print(part)
    return stream.getvalue()


def rows(text):
    lines = (line for line in text.splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_a_gang_is_shown_with_its_trial_its_hosts_and_since_when():
    text = shown(gang(3, trial_id="trial_0007", seconds=75, hosts=("a", "b")), gang(4, "start_up"),
                 epochs={"trial_0007": "2/9"})  # fmt: skip
    assert rows(text) == [
        ["3", "training", "trial_0007", "2/9", "1:15", "a, b"],
        ["4", "start-up", "", "", "0:00", "a x2"],
    ]


def test_the_price_is_shown_where_it_is_known():
    assert "USD" not in shown(gang(0))
    assert rows(shown(gang(0), usd_per_gang_hour=1.25))[0][-1] == "1.25"


def test_of_many_gangs_the_rest_is_counted():
    text = shown(*[gang(i, "idle" if i == 9 else "training") for i in range(10)], max_rows=2)
    assert len(rows(text)) == 2
    assert "8 more gangs: 7 training, 1 idle" in text


def test_nothing_is_shown_without_gangs():
    assert shown() == ""


def test_hosts_are_counted_in_the_order_of_ranks():
    assert hosts_words(("b", "a", "b", "b")) == "b x3, a"
    assert hosts_words(()) == ""
