import io
import json

import pytest
from rich.console import Console

from sweeps.status import main, print_status
from tests.fake_run import fake_trial, write_run
from trainables.errors import InputError

GANG = {
    "gang": 0,
    "generation": 2,
    "kind": "training",
    "trial_id": "trial_1",
    "seconds": 10.0,
    "hosts": ["worker-1", "worker-2"],
}
START_S = 1_000_000.0


def status(run, now_unix_s=START_S + 100):
    stream = io.StringIO()
    print_status(run, Console(file=stream, width=120, color_system=None), now_unix_s)
    return stream.getvalue()


def write(folder, *, is_over=False, gangs=(GANG,), written_s=95.0, **now):
    """Write a run that began at `START_S`, with one span of its gang in the ledger."""
    state = {"status": "finished", "ended_unix_s": START_S + 95} if is_over else {
        "status": "running", "ended_unix_s": None
    }  # fmt: skip
    span = {"gang": 0, "generation": 1, "kind": "start_up", "started_s": 0.0, "ended_s": 25.0}
    write_run(
        folder,
        [fake_trial("trial_0"), fake_trial("trial_1", status="running", epoch=2)],
        ledger=[span],
        sweep={"num_epochs": 9, "num_trials": 3, "started_unix_s": START_S, **state},
    )
    content = {"written_unix_s": START_S + written_s, "usd_per_gang_hour": None, **now}
    (folder / "gangs.json").write_text(json.dumps({**content, "gangs": list(gangs)}))
    return folder


def test_a_running_sweep_tells_what_each_gang_does_where_and_since_when(tmp_path):
    text = status(write(tmp_path))
    assert "fake on digits: running for 1:40" in text
    assert "trials: 1 pending, 1 running, 1 completed" in text
    (row,) = (line for line in text.splitlines() if line.startswith("│"))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    # Written 5 s ago, when it had gone on for 10 s.
    assert cells == ["0", "training", "trial_1", "2/9", "0:15", "worker-1, worker-2"]
    assert "gangs held for 0:40 together: start-up 62%, training 38%" in text


def test_price_and_links_are_told_where_they_are_known(tmp_path):
    urls = {"dashboard_url": "http://h:8265", "metrics_urls": ["http://h:1/metrics"]}
    text = status(write(tmp_path, **urls | {"usd_per_gang_hour": 9.0}))
    assert "USD/hour" in text
    assert "gangs held for 0:40 together, USD 0.1:" in text
    assert "http://h:8265" in text
    assert "http://h:1/metrics" in text
    plain = status(write(tmp_path))
    assert "USD" not in plain
    assert "http" not in plain


def test_a_sweep_that_has_ended_tells_where_its_gangs_were(tmp_path):
    text = status(write(tmp_path, is_over=True, dashboard_url="http://h:8265"))
    assert "fake on digits: finished after 1:35" in text
    assert "gang 0: last on worker-1, worker-2, generation 2" in text
    assert "gangs held for 0:25 together: start-up 100%" in text
    assert "http" not in text


def test_a_sweep_that_writes_no_more_is_said_to_be_gone(tmp_path):
    text = status(write(tmp_path, written_s=10.0))
    assert "nothing was written for 1:30" in text
    assert "running for" not in text


def test_what_comes_after_the_gangs_is_told(tmp_path):
    text = status(write(tmp_path, written_s=10.0, have_ended=True))
    assert "running for 1:40, its gangs have ended" in text
    assert "gang 0: last on worker-1, worker-2, generation 2" in text
    assert "gangs held for 0:25 together" in text


def test_before_the_gangs_are_asked_for_there_is_only_the_sweep(tmp_path):
    write(tmp_path)
    for name in ("gangs.json", "ledger.parquet", "trials.parquet"):
        (tmp_path / name).unlink()
    assert status(tmp_path, START_S + 5).splitlines() == [
        "fake on digits: running for 0:05",
        "trials: 3 pending",
    ]


@pytest.mark.parametrize("name", ["sweep.json", "gangs.json", "ledger.parquet"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    (write(tmp_path) / name).write_text("{")
    with pytest.raises(InputError, match=str(tmp_path)):
        status(tmp_path)


def test_another_folder_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["status", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: RUN must be the folder of a sweep")
    assert error.count("\n") == 1
