import multiprocessing
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_latency import make_figure

from analysis.records import LATENCY_SCHEMA
from trainables.errors import InputError
from trainables.latency.cache import (
    KeptFigure,
    add_to_cache,
    default_cache_path,
    import_figures,
    read_cache,
    rescaled,
)

FIGURE = make_figure()


def write_run(folder, figures):
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_pylist([asdict(figure) for figure in figures], schema=LATENCY_SCHEMA)
    pq.write_table(table, folder / "latency.parquet")
    return folder


def test_what_is_added_is_read_again(tmp_path):
    path = tmp_path / "below" / "latency.parquet"
    assert read_cache(path) == []
    kept = [KeptFigure(FIGURE, None, 0.5), KeptFigure(replace(FIGURE, device="gpu"), "pi5", 5.0)]
    add_to_cache(path, kept[:1])
    add_to_cache(path, kept[1:])
    assert read_cache(path) == kept
    assert {file.name for file in path.parent.iterdir()} == {path.name, f".{path.name}.lock"}


@pytest.mark.parametrize(
    "changed",
    [
        {"architecture": "b"}, {"runtime": "compiled"}, {"precision": "int8"}, {"batch_size": 8},
        {"num_threads": 2}, {"device": "cpu other"}, {"versions": "torch 1"},
    ],
)  # fmt: skip
def test_all_that_a_latency_depends_on_is_in_the_key(tmp_path, changed):
    add_to_cache(tmp_path / "c", [KeptFigure(FIGURE), KeptFigure(replace(FIGURE, **changed))])
    assert len(read_cache(tmp_path / "c")) == 2


def test_a_later_figure_takes_the_place_of_an_earlier(tmp_path):
    for latency_ms in (1.0, 2.0):
        add_to_cache(tmp_path / "c", [KeptFigure(make_figure(latency_ms))])
    (kept,) = read_cache(tmp_path / "c")
    assert kept.figure.latency_ms == 2.0


@pytest.mark.parametrize(
    "figure",
    [
        make_figure(status="uncertain"),
        make_figure(None, status="failed"),
        make_figure(trial_id="trial_0000"),
    ],
)
def test_what_should_be_measured_again_is_not_kept(tmp_path, figure):
    add_to_cache(tmp_path / "c", [KeptFigure(figure)])
    assert read_cache(tmp_path / "c") == []


def add_some(path, start):
    for index in range(start, start + 5):
        add_to_cache(path, [KeptFigure(replace(FIGURE, architecture=f"{index}"))])


def test_sweeps_that_add_at_the_same_time_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "c"
    processes = [context.Process(target=add_some, args=(path, start)) for start in (0, 5, 10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert {kept.figure.architecture for kept in read_cache(path)} == {str(i) for i in range(15)}


def test_a_cache_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "c.parquet"
    add_to_cache(path, [KeptFigure(FIGURE)])
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"paretune_latency_cache": "99"}), path)
    with pytest.raises(InputError, match=r"of schema 1, got .*c.parquet of schema 99; name"):
        read_cache(path)
    with pytest.raises(InputError, match="of schema 1"):
        add_to_cache(path, [KeptFigure(FIGURE)])
    pq.write_table(table.replace_schema_metadata(), path)
    with pytest.raises(InputError, match="of schema none"):
        read_cache(path)


def test_what_is_no_cache_is_refused(tmp_path):
    (tmp_path / "c").write_text("no table")
    with pytest.raises(InputError, match="--latency-cache must be a Parquet file"):
        read_cache(tmp_path / "c")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--latency-cache must be a file that can be written"):
        add_to_cache(tmp_path / "file" / "c", [KeptFigure(FIGURE)])


def test_figures_of_another_machine_come_under_its_name(tmp_path):
    cache = tmp_path / "c"
    figures = [FIGURE, make_figure(status="uncertain"), make_figure(trial_id="t")]
    run = write_run(tmp_path / "run", figures)
    for source in (run, run / "latency.parquet"):
        assert import_figures(source, "pi5", cache) == 1
    (kept,) = read_cache(cache)
    assert (kept.figure, kept.machine) == (FIGURE, "pi5")
    # What that machine imported itself is not its own.
    other = tmp_path / "other"
    add_to_cache(other, [KeptFigure(FIGURE, "pi4"), KeptFigure(make_figure(3.0))])
    assert import_figures(other, "pi5", cache) == 1
    (kept,) = read_cache(cache)
    assert (kept.figure.latency_ms, kept.machine) == (3.0, "pi5")


def test_what_cannot_be_imported_is_refused(tmp_path):
    run = write_run(tmp_path / "run", [make_figure(status="uncertain")])
    for machine, source, said in (
        ("cuda", run, "not cpu or cuda, got 'cuda'"),
        ("pi5", tmp_path / "none", "which is no file"),
        ("pi5", run, "must hold an exact figure"),
    ):
        with pytest.raises(InputError, match=said):
            import_figures(source, machine, tmp_path / "c")
    table = pq.read_table(run / "latency.parquet").drop_columns(["versions"])
    pq.write_table(table, run / "latency.parquet")
    with pytest.raises(InputError, match=r"of this version, got .* without versions"):
        import_figures(run, "pi5", tmp_path / "c")


def test_another_nominal_time_scales_what_was_calibrated_by_it_alone():
    scaled = rescaled(FIGURE, 2.0)
    assert (scaled.latency_ms, scaled.latency_low_ms, scaled.latency_high_ms) == (2.0, 1.98, 2.02)
    assert (scaled.throughput_per_s, scaled.nominal_reference_ms) == (500.0, 2.0)
    assert (scaled.p50_ms, scaled.p99_ms) == (FIGURE.p50_ms, FIGURE.p99_ms)
    for nominal_ms in (None, 1.0):
        assert rescaled(FIGURE, nominal_ms) is FIGURE
    failed = make_figure(None, status="failed", nominal_reference_ms=None)
    assert rescaled(failed, 2.0) is failed


def test_the_cache_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_path() == tmp_path / "paretune" / "latency.parquet"
