import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_run import fake_image, fake_robustness, fake_trial, write_run

from analysis import records
from analysis.load import RunError, load_run

PARQUET_FILES = (records.TRIALS_FILE, records.RESULTS_FILE, records.LATENCY_FILE)


@pytest.fixture
def folder(tmp_path):
    latency = {"architecture": "arch-a", "runtime": "eager", "precision": "fp32", "p50_ms": 1.0}
    latency |= {"batch_size": 1, "num_threads": 1, "device": "cpu"}
    return write_run(tmp_path / "run", [fake_trial("a"), fake_trial("b")], latency=[latency])


def rewrite(folder, name, change):
    table = change(pq.read_table(folder / name))
    pq.write_table(table, folder / name)


def test_whole_run_loads(folder):
    run = load_run(folder)
    assert run.path == str(folder)
    assert run.spec["dataset"]["name"] == "digits"
    assert run.trials["trial_id"].to_pylist() == ["a", "b"]
    assert len(run.results) == 6
    assert run.latency["p50_ms"].to_pylist() == [1.0]
    assert run.trials.schema == records.TRIALS_SCHEMA


@pytest.mark.parametrize("spelling", [str, lambda path: path.as_uri(), lambda path: f"{path}/"])
def test_paths_and_uris_are_the_same(folder, spelling):
    assert len(load_run(spelling(folder)).trials) == 2


def test_a_folder_name_that_looks_like_a_partition_adds_no_column(tmp_path):
    run = load_run(write_run(tmp_path / "lr=0.1 and more", [fake_trial("a")]))
    assert run.trials.column_names == records.TRIALS_SCHEMA.names


def test_a_run_in_which_nothing_was_trained_loads(tmp_path):
    empty = dict.fromkeys(("val_accuracy", "latency_p50_ms", "checkpoint"))
    trials = [fake_trial("a", status="pending", epoch=0, **empty)]
    folder = write_run(tmp_path / "run", trials)
    (folder / records.RESULTS_FILE).unlink()
    (folder / records.LATENCY_FILE).unlink()
    run = load_run(folder)
    assert len(run.results) == 0
    assert run.latency.schema == records.LATENCY_SCHEMA
    assert len(load_run(write_run(tmp_path / "none", [])).trials) == 0


@pytest.mark.parametrize("name", PARQUET_FILES)
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"run folder must hold .*{name}, got none; "):
        load_run(folder)


@pytest.mark.parametrize("name", PARQUET_FILES)
@pytest.mark.parametrize("keep", [0, 3, 60, -4])
def test_truncated_file(folder, name, keep):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:keep])
    with pytest.raises(RunError, match=f"{name} must be a whole Parquet file, got .*; "):
        load_run(folder)


@pytest.mark.parametrize("name", PARQUET_FILES)
def test_corrupt_file(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[4 : len(content) - 8] = b"\xff" * (len(content) - 12)
    (folder / name).write_bytes(content)
    with pytest.raises(RunError, match=name):
        load_run(folder)


def test_no_run_folder(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RunError, match=r"must hold sweep\.json, got .* without one"):
            load_run(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"must hold sweep\.json"):
        load_run(tmp_path / "file")


@pytest.mark.parametrize("path", ["nonsense://bucket/run", "file://host/run", "s3://"])
def test_uris_that_cannot_be_opened(path):
    with pytest.raises(RunError, match=r"must be (a local path or a URI|readable)"):
        load_run(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "must be readable JSON"),
        ('{"schema_version": 1', "must be readable JSON"),
        ("[]", "must be a JSON object, got list"),
        ("{}", "schema_version of .* must be 1 to 3, got None"),
        ('{"schema_version": 4}', "schema_version of .* must be 1 to 3, got 4"),
    ],
)
def test_bad_sweep_file(folder, content, match):
    (folder / records.SWEEP_FILE).write_text(content)
    with pytest.raises(RunError, match=match):
        load_run(folder)


def test_sweep_file_that_is_no_text(folder):
    (folder / records.SWEEP_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="must be readable JSON"):
        load_run(folder)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        (records.TRIALS_FILE, "val_accuracy"),
        (records.RESULTS_FILE, "gpu_seconds"),
        (records.LATENCY_FILE, "p50_ms"),
    ],
)
def test_missing_column(folder, name, column):
    rewrite(folder, name, lambda table: table.drop_columns([column]))
    with pytest.raises(RunError, match=f"columns of .*{name} must include {column}, got trial|arc"):
        load_run(folder)


def test_column_of_another_type(folder):
    def spoil(table):
        index = table.column_names.index("val_accuracy")
        return table.set_column(index, "val_accuracy", pa.array(["good", "bad"]))

    rewrite(folder, records.TRIALS_FILE, spoil)
    with pytest.raises(RunError, match=r"column val_accuracy of .* must be double, got string"):
        load_run(folder)


def test_columns_that_can_be_cast_are_and_extra_ones_are_kept(folder):
    def change(table):
        index = table.column_names.index("epoch")
        table = table.set_column(index, "epoch", table["epoch"].cast(pa.int64()))
        return table.append_column("robust_accuracy", pa.array([0.1, 0.2])).select(
            ["robust_accuracy", *reversed(records.TRIALS_SCHEMA.names)]
        )

    rewrite(folder, records.TRIALS_FILE, change)
    trials = load_run(folder).trials
    assert trials.column_names == [*records.TRIALS_SCHEMA.names, "robust_accuracy"]
    assert trials.schema.field("epoch").type == pa.int32()


@pytest.mark.parametrize(
    ("ids", "statuses", "match"),
    [
        (["a", "a"], ["completed"] * 2, "trial_id in .* must be unique, got 'a' 2 times"),
        (["a", "b"], ["completed", "lost"], "status in .* must be one of pending, .*, got 'lost'"),
        (["a", None], ["completed"] * 2, "column trial_id of .* must have no nulls, got 1"),
    ],
)
def test_trials_that_break_the_schema(folder, ids, statuses, match):
    def change(table):
        nullable = pa.field("trial_id", pa.string())
        table = table.set_column(0, nullable, pa.array(ids, pa.string()))
        return table.set_column(1, "status", pa.array(statuses))

    rewrite(folder, records.TRIALS_FILE, change)
    with pytest.raises(RunError, match=match):
        load_run(folder)


def test_errors_name_a_next_step(folder):
    (folder / records.SWEEP_FILE).write_text(json.dumps({"schema_version": 7}))
    with pytest.raises(ValueError, match=r" must be .*, got 7; read this run with the version"):
        load_run(folder)


def test_what_an_older_run_lacks_is_null(tmp_path):
    write_run(tmp_path, [fake_trial("a")], sweep={"schema_version": 1})
    name = tmp_path / records.TRIALS_FILE
    pq.write_table(pq.read_table(name).drop_columns(["val_f1_macro", "val_confusion"]), name)
    trials = load_run(tmp_path).trials
    assert trials["val_f1_macro"].to_pylist() == [None]
    assert trials["val_confusion"].type == records.TRIALS_SCHEMA.field("val_confusion").type
    assert trials["val_accuracy"].to_pylist() == [0.8]


def test_what_was_found_of_finalists_loads(tmp_path):
    robustness, image = fake_robustness("a"), fake_image("a")
    folder = write_run(
        tmp_path / "run", [fake_trial("a")], robustness=robustness, attributions=[image]
    )
    run = load_run(folder)
    assert run.robustness.to_pylist() == robustness
    assert run.attributions["image"].to_pylist() == [image["image"]]
    assert run.attributions.schema == records.ATTRIBUTIONS_SCHEMA


def test_runs_without_finalists_have_empty_tables(folder):
    run = load_run(folder)
    assert run.robustness.equals(records.ROBUSTNESS_SCHEMA.empty_table())
    assert run.attributions.equals(records.ATTRIBUTIONS_SCHEMA.empty_table())


@pytest.mark.parametrize("name", [records.ROBUSTNESS_FILE, records.ATTRIBUTIONS_FILE])
def test_tables_of_finalists_that_are_no_tables(folder, name):
    (folder / name).write_bytes(b"PAR1")
    with pytest.raises(RunError, match=f"{name} must be a whole Parquet file"):
        load_run(folder)


def test_a_password_in_a_uri_is_refused_and_not_repeated():
    with pytest.raises(RunError, match="must be a URI without credentials") as caught:
        load_run("s3://KEY:hunter2@bucket/runs/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a\\b", "..", "", "a\x1b[2J", "a" * 201]
)
def test_the_name_of_a_trial_is_no_path(tmp_path, name):
    with pytest.raises(RunError, match="must be names and no paths"):
        load_run(write_run(tmp_path / "run", [fake_trial(name)]))


@pytest.mark.parametrize(
    ("checkpoint", "storage", "is_refused"),
    [
        ("checkpoints/a/epoch_0001-1", None, False),
        ("/etc/passwd", None, True),
        ("../../x", None, True),
        ("checkpoints/../../x", None, True),
        ("s3://mine/a/epoch_0001-1", None, True),
        ("s3://mine/x/a/epoch_0001-1", "s3://mine/x/", False),
        ("s3://other/a/epoch_0001-1", "s3://mine/x", True),
        ("/data/x/a/epoch_0001-1", "../x", False),
        ("/data/x/../epoch_0001-1", "/data/x", True),
    ],
)
def test_a_checkpoint_lies_in_the_run_or_its_storage(tmp_path, checkpoint, storage, is_refused):
    run = write_run(
        tmp_path / "run",
        [fake_trial("a", checkpoint=checkpoint)],
        sweep={"spec": {"storage": storage}},
    )
    if is_refused:
        with pytest.raises(RunError, match="must lie in the run folder or under --storage"):
            load_run(run)
    else:
        load_run(run)


def test_no_pickle_is_read_from_a_table(tmp_path):
    """Arrow once kept Python types as pickles in a file's schema, and ran them when it was read."""
    run = write_run(tmp_path / "run", [fake_trial("a")])
    table = pq.read_table(run / "trials.parquet")
    evil = b"cposix\nsystem\n(S'touch " + str(tmp_path / "run_by_pickle").encode() + b"'\ntR."
    field = table.schema.field("reason").with_metadata(
        {
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": evil,
        }
    )
    schema = table.schema.set(table.schema.get_field_index("reason"), field)
    pq.write_table(table.cast(schema), run / "trials.parquet")
    load_run(run)
    assert not (tmp_path / "run_by_pickle").exists()
