import json

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from sample_latency import make_figure

from trainables.errors import InputError
from trainables.latency.table import check_out, figure_tables, notes, write_figures

RESNET = {"description": json.dumps({"model": "resnet8"})}
EXACT = make_figure(2.0, 0.05, **RESNET, p99_ms=None, artefact_bytes=1_500_000)
FAILED = make_figure(None, **RESNET, status="failed", reason="no operator")
PRUNED = make_figure(
    1234.5,
    **RESNET,
    trial_id="trial_0004",
    compression="pruned 0.5",
    accuracy=0.8,
    fp32_accuracy=0.9,
    agreement_fraction=0.9712,
)
FILE = make_figure(
    1.0, description=json.dumps({"onnx_file": "net.onnx"}), status="uncertain", reason="busy"
)


def lines_of(table):
    console = Console(width=150)
    with console.capture() as capture:
        console.print(table)
    return [line.split() for line in capture.get().splitlines()]


def test_a_figure_is_a_row_of_both_tables():
    speed, artefact = map(lines_of, figure_tables([EXACT, FAILED, PRUNED]))
    assert speed[-3:] == [
        ["resnet8", "eager", "fp32", "1", "2", "±5%", "2", "-", "500", "exact"],
        ["resnet8", "eager", "fp32", "1", "-", "-", "-", "-", "failed"],
        ["trial_0004", "pruned", "0.5", "eager", "fp32", "1", "1,234", "±1%", "1,234", "1,234",
         "0.81", "exact"],
    ]  # fmt: skip
    assert artefact[-3] == ["resnet8", "eager", "fp32", "1", "-", "1.5", "-", "-", "-", "-"]
    assert artefact[-1][-3:] == ["0.9712", "0.8", "0.9"]


def test_what_cannot_be_taken_as_it_stands_is_noted():
    assert notes([EXACT, FAILED, PRUNED, FILE]) == [
        "resnet8, eager fp32, failed: no operator",
        "trial_0004 pruned 0.5, eager fp32, not to be shipped: it lost 10 points of accuracy, and "
        "1 is the most",
        "net.onnx, eager fp32, uncertain: busy",
    ]


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_figures_are_written_as_rows(tmp_path, suffix):
    path = tmp_path / f"figures{suffix}"
    check_out(path)
    write_figures([EXACT, PRUNED], path)
    rows = json.loads(path.read_text()) if suffix == ".json" else pq.read_table(path).to_pylist()
    assert rows == [vars(EXACT), vars(PRUNED)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("figures.csv", "--out must end in .json or .parquet, got .*figures.csv; rename it"),
        ("nowhere/figures.json", "--out must lie in a folder that is there"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        check_out(tmp_path / name)
