import csv
import io
import json

import pytest
from fake_run import (
    ATTACKS,
    CORRUPTIONS,
    fake_finalist,
    fake_image,
    fake_robustness,
    fake_trial,
    write_run,
)
from rich.console import Console

from analysis import report
from analysis.configs import differing_keys
from analysis.load import RunError
from analysis.summary import MAX_ROWS

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def points(count, **columns):
    """Return trials that all stand on the front, the last the most accurate and the slowest."""
    return [
        fake_trial(
            f"trial_{i:03}",
            val_accuracy=0.5 + 0.4 * i / max(1, count),
            latency_p50_ms=1.0 + i,
            config={"width": 8 + i, "learning_rate": 0.1},
            **columns,
        )
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path):
    failed = fake_trial("broken", status="failed", reason="out of memory", val_accuracy=None)
    dominated = fake_trial("poor", val_accuracy=0.1, latency_p50_ms=9.0)
    return write_run(tmp_path / "run", [*points(3), dominated, failed])


def printed(path, width=100, **options):
    """Return what write_report prints and returns."""
    console = Console(file=io.StringIO(), width=width)
    ranking = report.write_report(path, console, **options)
    return console.file.getvalue(), ranking


def read_csv(folder):
    with (folder / "report" / "front.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_report_prints_what_matters(folder):
    text, ranking = printed(folder)
    assert len(ranking.front) == 3
    for part in (
        "Data set: digits (8x8 grey digits of scikit-learn)",
        "Objectives: val_accuracy:max, latency_p50_ms:min",
        "Trials: 4 completed, 1 failed; 4 ranked",
        "(fraction, max)",
        "(ms, min)",
        "0 knee",
        "Not ranked: 1 trials",
        "1 x failed: out of memory (such as broken)",
        "reference point: validation accuracy 0.0333, median latency 9.8 ms (the worst value",
        "Knee: trial trial_001",
        "scaled to 0..1 over the front",
        'config: {"width": 8}',
        "checkpoint: checkpoints/trial_000/epoch_3",
    ):
        assert part in text
    assert "had not finished" not in text


def test_csv_holds_every_ranked_trial_front_first(folder):
    printed(folder)
    rows = read_csv(folder)
    assert list(rows[0]) == [
        *("rank", "is_front", "is_knee", "trial_id", "status", "epoch"),
        *("val_accuracy", "latency_p50_ms", "config", "checkpoint", "reproduce"),
    ]
    assert [row["trial_id"] for row in rows] == ["trial_002", "trial_001", "trial_000", "poor"]
    assert [row["rank"] for row in rows] == ["0", "0", "0", "1"]
    assert [row["is_knee"] for row in rows] == ["False", "True", "False", "False"]
    assert json.loads(rows[0]["config"]) == {"width": 10, "learning_rate": 0.1}
    assert float(rows[2]["val_accuracy"]) == 0.5


def test_csv_names_epoch_once_when_it_is_an_objective(folder):
    printed(folder, objectives=[report.Objective("epoch", "min")])
    with (folder / "report" / "front.csv").open() as file:
        assert file.readline().count("epoch") == 1


def test_picture_is_written(folder):
    printed(folder)
    assert (folder / "report" / "front.png").read_bytes().startswith(PNG_MAGIC)


@pytest.fixture
def examined(tmp_path):
    trials = [
        fake_finalist("a", val_accuracy=0.9, test_accuracy=0.8766, test_roc_auc=None),
        fake_finalist("b", val_accuracy=0.7, latency_p50_ms=0.5, test_accuracy=0.71),
        fake_trial("c", val_accuracy=0.1),
    ]
    robustness = fake_robustness("a", CORRUPTIONS + ATTACKS)
    attributions = [fake_image("a"), fake_image("b", predicted="dog")]
    return write_run(
        tmp_path / "examined", trials, robustness=robustness, attributions=attributions
    )


def test_finalists_are_told_with_their_bias(examined):
    text, _ = printed(examined, width=120)
    table = text.partition("Finalists on the test part")[2]
    cells = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.split()}
    # validation, test, difference, corruption, attack, F1 macro, ECE, ROC-AUC
    assert cells["a"] == ["0.9000", "0.8766", "-2.34", "0.5000", "0.5500", "0.7700", "0.0400", "-"]
    assert cells["b"] == ["0.7000", "0.7100", "+1.00", "-", "-", "0.7700", "0.0400", "0.9500"]
    assert "c" not in cells
    assert "The test part was read once, after the search, for these trials only." in table
    assert "on 100 test samples" in table


@pytest.mark.parametrize("width", [60, 80, 100])
def test_finalists_lose_no_figure_in_narrow_terminals(examined, width):
    text, _ = printed(examined, width=width)
    table = text.partition("Finalists on the test part")[2].partition("The test part was")[0]
    assert all(len(line) <= width for line in table.splitlines()[:-1])
    for figure in ("0.9000", "0.8766", "-2.34"):
        assert figure in table
    assert ("0.9500" in table) == ("No room here" not in table)


def test_runs_without_finalists_say_nothing_of_the_test_part(folder):
    text, _ = printed(folder)
    assert "test part" not in text
    assert not (folder / "report" / "finalists.png").exists()
    assert not (folder / "report" / "attributions.png").exists()


def test_test_scores_are_in_the_csv(examined):
    printed(examined)
    rows = {row["trial_id"]: row for row in read_csv(examined)}
    assert float(rows["a"]["test_accuracy"]) == 0.8766
    assert rows["a"]["test_roc_auc"] == rows["c"]["test_accuracy"] == ""
    assert list(rows["a"])[8:10] == ["test_loss", "test_accuracy"]


def test_pictures_of_finalists_are_written(examined):
    printed(examined)
    for name in ("finalists.png", "attributions.png"):
        assert (examined / "report" / name).read_bytes().startswith(PNG_MAGIC)


def test_attributions_of_another_size_are_one_line(tmp_path, capsys):
    folder = write_run(
        tmp_path / "run", [fake_finalist("a")], attributions=[fake_image("a", image=b"x")]
    )
    assert report.main([str(folder)]) == report.EXIT_BAD_INPUT
    assert capsys.readouterr().err.splitlines() == [
        "error: image of sample 0 of trial a in attributions.parquet must be 8 x 8 x 3 = 192 "
        "bytes, got 1 bytes; copy the file again from where the sweep wrote it"
    ]


def test_nothing_is_ranked_by_the_test_part(examined, capsys):
    code = report.main([str(examined), "--objectives", "test_accuracy:max"])
    assert code == report.EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "objectives must not read the test part, got 'test_accuracy'; use val_acc" in line
    assert not (examined / "report").exists()


def test_a_run_that_claims_to_be_searched_by_the_test_part_is_refused(tmp_path, capsys):
    sweep = {"objectives": ["test_loss:min"]}
    folder = write_run(tmp_path / "run", [fake_finalist("a")], sweep=sweep)
    assert report.main([str(folder)]) == report.EXIT_BAD_INPUT
    assert "must not read the test part" in capsys.readouterr().err


def test_better_test_scores_change_no_rank(tmp_path):
    orders = []
    for best in ("a", "b"):
        trials = [
            fake_finalist(name, val_accuracy=accuracy, test_accuracy=float(name == best))
            for name, accuracy in (("a", 0.8), ("b", 0.7))
        ]
        _, ranking = printed(write_run(tmp_path / best, trials))
        orders.append([row.trial_id for row in ranking.rows])
    assert orders == [["a", "b"], ["a", "b"]]


def test_report_can_be_written_again_and_into_a_uri(folder):
    printed(folder)
    text, _ = printed(folder.as_uri())
    assert "Wrote" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_command_stands_on_a_line_of_its_own(tmp_path, width):
    command = "python -m sweeps.reproduce " + "runs/a-long-name/" * 20 + " --trial 'it [bold]'"
    folder = write_run(tmp_path / "run", [fake_trial("a", reproduce=command)])
    text, _ = printed(folder, width=width)
    assert command in text.splitlines()


def test_text_of_the_run_is_no_markup_and_moves_no_cursor(tmp_path):
    trial = fake_trial(
        "[red]a[bold]", config={"[bold]x": "[/nonsense]"}, checkpoint="\x1b[2Jc\nd", reproduce=None
    )
    other = fake_trial("[link=x]b", config={"[bold]x": ":smile:"})
    dataset = {"name": "[blink]set", "note": "[/]"}
    folder = write_run(
        tmp_path / "[run]", [trial, other], sweep={"name": "$x$", "dataset": dataset}
    )
    text, _ = printed(folder)
    for part in ("[red]a[bold]", "[link=x]b", "[blink]set ([/])", "[/nonsense]", ":smile:"):
        assert part in text
    assert "\x1b" not in text
    assert r"checkpoint: \x1b[2Jc\nd" in text
    assert "no command recorded" in text


def test_long_runs_show_the_first_rows_and_say_how_many_more(tmp_path):
    text, ranking = printed(write_run(tmp_path / "run", points(50)))
    assert len(ranking.front) == 50
    assert f"and {50 - MAX_ROWS} more ranked trials in report/front.csv" in text
    # The knee lies beyond the rows shown and is told all the same.
    assert f"and {50 - MAX_ROWS - 1} more members of the front" in text
    assert f"{ranking.knee.trial_id} (knee)" in text
    assert len(read_csv(tmp_path / "run")) == 50


def test_config_keys_without_room_are_named(tmp_path):
    trials = points(3)
    for index, trial in enumerate(trials):
        trial["config"] = json.dumps({f"quite_a_long_key_{k}": index for k in range(9)})
    text, _ = printed(write_run(tmp_path / "run", trials), width=100)
    assert "Config keys that also differ, no room here: " in text
    assert "quite_a_long_key_8" in text


@pytest.mark.parametrize("width", range(70, 130, 3))
def test_headings_wrap_between_words_and_lines_fit(tmp_path, width):
    objectives = ["val_accuracy:max", "latency_p50_ms:min"]
    folder = write_run(tmp_path / "run", points(3), sweep={"objectives": objectives})
    text, _ = printed(folder, width=width)
    table = text.partition("ranked\n")[2].partition("\nHypervolume")[0]
    assert "validation" in table
    assert "accuracy" in table
    assert all(len(line) <= width for line in table.splitlines())


def test_narrow_terminals_lose_no_value(folder):
    text, ranking = printed(folder, width=60)
    for row in ranking.rows:
        assert row.trial_id in text
        assert f"{row.values[0]:.4f}" in text


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_unfinished_run_says_so(tmp_path, status):
    trials = [fake_trial("a", status="running"), fake_trial("b", status="pending", epoch=0)]
    folder = write_run(tmp_path / "run", trials, sweep={"status": status, "ended_unix_s": None})
    text, ranking = printed(folder)
    assert f"had not finished when this was read (status: {status})" in text
    assert len(ranking.rows) == 1


def test_totals_are_printed_with_units(tmp_path):
    totals = {"gpu_seconds": 12.5, "cost_usd": 0.25, "is_exact": True, "note": "x"}
    text, _ = printed(write_run(tmp_path / "run", points(2), sweep={"totals": totals}))
    assert "Totals: GPU time 12.5 GPU-s, training cost 0.25 USD\n" in text


@pytest.mark.parametrize(
    "objectives",
    [
        ["val_accuracy:max"],
        ["latency_p50_ms:min"],
        ["val_accuracy:max", "latency_p50_ms:min", "cost_usd:min"],
        ["val_loss:min", "latency_p50_ms:min"],
        ["val_accuracy:max", "epoch:max"],
        ["val_accuracy:max", "latency_p50_ms:min", "num_parameters:min", "gang_seconds:min"],
        ["val_accuracy:max", "latency_p50_ms:min", "epoch:min", "val_loss:min", "train_loss:min"],
    ],
)
@pytest.mark.parametrize("count", [1, 2, 40])
def test_any_number_of_objectives_and_degenerate_ranges_are_drawn(tmp_path, objectives, count):
    folder = write_run(tmp_path / "run", points(count, cost_usd=0.0))
    assert report.main([str(folder), "--objectives", *objectives]) == report.EXIT_OK
    assert (folder / "report" / "front.png").read_bytes().startswith(PNG_MAGIC)


def test_values_over_many_magnitudes_are_drawn(tmp_path):
    trials = [
        fake_trial(f"t{i}", val_accuracy=i / 100, latency_p50_ms=10.0 ** (i - 50), cost_usd=-i)
        for i in range(100)
    ]
    objectives = ["val_accuracy:max", "latency_p50_ms:min", "cost_usd:max"]
    folder = write_run(tmp_path / "run", trials, sweep={"objectives": objectives})
    _, ranking = printed(folder)
    assert ranking.hypervolume > 0


def test_exit_codes(folder, tmp_path, capsys):
    assert report.main([str(folder)]) == 0
    assert report.main([str(folder), "--reference", "0", "20"]) == 0
    assert "(as given)" in capsys.readouterr().out
    assert report.main([str(tmp_path)]) == 2
    assert "must hold sweep.json" in capsys.readouterr().err
    assert report.main([str(folder), "--objectives", "speed:max"]) == 2
    assert report.main([str(folder), "--objectives", "val_accuracy"]) == 2
    assert report.main([str(folder), "--reference", "0"]) == 2
    assert "must be 2 finite numbers" in capsys.readouterr().err


@pytest.mark.parametrize("trials", [[], [fake_trial("a", status="failed", reason="[oom]")]])
def test_nothing_ranked_prints_why_and_exits_1(tmp_path, capsys, trials):
    folder = write_run(tmp_path / "run", trials)
    assert report.main([str(folder)]) == 1
    text = capsys.readouterr().out
    assert "No trial can be ranked." in text
    assert not trials or "1 x failed: [oom] (such as a)" in text
    assert [path.name for path in (folder / "report").iterdir()] == ["report.html"]


def test_report_folder_that_cannot_be_written(folder, capsys):
    (folder / "report").write_text("in the way")
    assert report.main([str(folder)]) == 2
    assert "error: " in capsys.readouterr().err


def test_bad_run_raises_for_callers(tmp_path):
    with pytest.raises(RunError):
        printed(tmp_path)


def test_differing_keys_include_absent_ones():
    assert differing_keys([{"a": 1, "b": None}, {"a": 1}]) == ["b"]
    assert differing_keys([{"a": 1}, {"a": 1, "c": 2}, {"a": 3}]) == ["a", "c"]
    assert differing_keys([]) == []


def test_several_runs_are_reported_each_and_together(tmp_path, capsys):
    folders = [
        write_run(tmp_path / name, [fake_trial("t", val_accuracy=accuracy)])
        for name, accuracy in (("first", 0.5), ("second", 0.9))
    ]
    assert report.main(list(map(str, folders))) == report.EXIT_OK
    for folder in folders:
        assert (folder / "report" / "report.html").is_file()
    page = (folders[0] / "report" / "comparison.html").read_text()
    assert '<p id="pick" class="pick">second/t</p>' in page
    assert not (folders[1] / "report" / "comparison.html").exists()
    assert "comparison.html" in capsys.readouterr().out


def test_runs_that_cannot_be_compared_are_one_line_before_anything_is_written(tmp_path, capsys):
    first = write_run(tmp_path / "first", [fake_trial("t")])
    second = write_run(tmp_path / "second", [fake_trial("t")], sweep={"objectives": ["epoch:min"]})
    assert report.main([str(first), str(second)]) == report.EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "objectives of runs that are ranked together must be the same" in line
    assert not (first / "report").exists()


def test_limits_are_an_option(folder, capsys):
    assert report.main([str(folder), "--where", "latency_p50_ms < 2.5"]) == report.EXIT_OK
    assert "not latency_p50_ms < 2.5 (such as trial_002)" in capsys.readouterr().out
    assert report.main([str(folder), "--where", "speed < 2"]) == report.EXIT_BAD_INPUT
    assert "constraints must name numeric columns" in capsys.readouterr().err
