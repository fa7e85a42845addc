"""Whatever is in a file or on a command line: it is read, or there is one clear error of ours."""

import contextlib
import dataclasses
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import records
from analysis.ledger import sum_ledger
from analysis.load import load_run
from sweeps.doctor.after import examine_run
from sweeps.flags import parse_spec
from sweeps.prices import read_prices
from sweeps.reproduce import _read as read_trial
from sweeps.reproduce import _recorded_gang
from sweeps.spec import SweepSpec
from tests.fake_run import fake_trial, write_run
from trainables.checkpoint import CheckpointError, from_bytes
from trainables.errors import InputError

FUZZ = settings(max_examples=40, deadline=None, derandomize=True)

TABLES = {
    records.TRIALS_FILE: records.TRIALS_SCHEMA,
    records.RESULTS_FILE: records.RESULTS_SCHEMA,
    records.LEDGER_FILE: records.LEDGER_SCHEMA,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run folder that is whole; examples work on copies."""
    ledger = [{"gang": 0, "generation": 1, "kind": "training", "started_s": 0.0, "ended_s": 9.0}]
    folder = tmp_path_factory.mktemp("sound")
    return write_run(folder, [fake_trial("a"), fake_trial("b", num_exploits=1)], ledger=ledger)


@pytest.fixture(scope="module")
def run(sound, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(sound, folder)
    return folder


@contextlib.contextmanager
def replaced(run, sound, name, content: bytes):
    """Put other bytes in the place of a file."""
    (run / name).write_bytes(content)
    try:
        yield
    finally:
        shutil.copy(sound / name, run / name)


def one_line_or(action, default):
    """Return what `action` returns; for wrong input, which must be said in a line, the default."""
    said = ""
    try:
        return action()
    except InputError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return default


def read_all(run):
    """Read a run folder in all ways in which commands do."""
    with contextlib.suppress(ValueError):  # as the report takes them
        sum_ledger(load_run(run).ledger)
    with contextlib.suppress(InputError):
        assert all("\n" not in str(finding) for finding in examine_run(run))
    with contextlib.suppress(InputError):
        sweep, _ = read_trial(run, "a")
        _recorded_gang(sweep)


def test_the_sound_run_is_read(sound):
    assert len(load_run(sound).trials) == 2
    assert {finding.what for finding in examine_run(sound)} >= {"idle", "failures", "duplicates"}
    assert read_trial(sound, "a")[1]["trial_id"] == "a"


@st.composite
def damages(draw):
    """Return what becomes of a file: cut off, with some bytes changed, or something else."""
    kind = draw(st.sampled_from(["cut", "flip", "other"]))
    place = draw(st.floats(0, 1, exclude_max=True))
    flips = draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)),
                          min_size=1, max_size=4))  # fmt: skip
    other = draw(st.binary(max_size=40))

    def damage(content: bytes) -> bytes:
        if kind == "other":
            return other
        if kind == "cut":
            return content[: int(place * len(content))]
        changed = bytearray(content)
        for where, mask in flips:
            changed[int(where * len(changed))] ^= mask
        return bytes(changed)

    return damage


@pytest.mark.parametrize("name", [*TABLES, records.SWEEP_FILE])
def test_a_damaged_file_of_a_run(run, sound, name):
    @FUZZ
    @given(damages())
    def check(damage):
        with replaced(run, sound, name, damage((sound / name).read_bytes())):
            read_all(run)

    check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def test_a_sweep_file_with_other_values(run, sound):
    content = json.loads((sound / records.SWEEP_FILE).read_text())
    content |= {"scheduler": "pbt", "driver": {}, "perturbation_epochs": 1}
    names = sorted(set(content) - {"schema_version"})

    @FUZZ
    @given(st.dictionaries(st.sampled_from(names), JSON, max_size=4))
    def check(changes):
        text = json.dumps(content | changes)
        with replaced(run, sound, records.SWEEP_FILE, text.encode()):
            read_all(run)

    check()


VALUES = {
    "text": (pa.string(), st.none() | st.text(max_size=12) | st.sampled_from(["{}", "[]", "NaN"])),
    "whole": (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    "number": (pa.float64(), st.none() | st.floats()),
    "flag": (pa.bool_(), st.none() | st.booleans()),
    "bytes": (pa.binary(), st.none() | st.binary(max_size=8)),
    "list": (pa.list_(pa.int32()), st.none() | st.lists(st.integers(-9, 9), max_size=3)),
    "lineage": (
        records.LINEAGE_TYPE,
        st.none() | st.lists(
            st.none() | st.fixed_dictionaries({
                "from_epoch": st.none() | st.integers(-3, 9),
                "parent_trial_id": st.none() | st.text(max_size=3),
                "config": st.none() | st.sampled_from(["{}", "[", '{"width": 8}', '{"seed": []}']),
            }),
            max_size=3,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_other_values(run, sound, name):
    table = pq.read_table(sound / name)
    known = {field.name: field.type for field in TABLES[name]}

    @FUZZ
    @given(st.data())
    def check(data):
        changed = table
        for _ in range(data.draw(st.integers(1, 3))):
            column = data.draw(st.sampled_from(table.column_names))
            # Often of the right type, where a wrong value gets further.
            fitting = [kind for kind, (type_, _) in VALUES.items() if type_ == known[column]]
            kind = data.draw(st.sampled_from(fitting + list(VALUES)))
            type_, strategy = VALUES[kind]
            values = data.draw(st.lists(strategy, min_size=len(table), max_size=len(table)))
            index = changed.schema.get_field_index(column)
            changed = changed.set_column(index, column, pa.array(values, type_))
        sink = pa.BufferOutputStream()
        pq.write_table(changed, sink)
        with replaced(run, sound, name, sink.getvalue().to_pybytes()):
            read_all(run)

    check()


PRICE_TEXT = st.text(
    st.sampled_from('[]"=.#\n\x00 _-:instancesaccelerators0123456789TZ'), max_size=80
)
PRICE_KEYS = ("on_demand_usd_per_hour", "spot_usd_per_hour", "date", "source", "other")
PRICE_VALUES = ("1", "-1", "nan", "inf", "1e999", '"x"', '""', "true", "[]", "{}", "2026-01-01",
                "2026-01-01T00:00:00Z", "2026-13-01", "99999999999999999999")  # fmt: skip


@FUZZ
@given(
    st.binary(max_size=60)
    | PRICE_TEXT.map(str.encode)
    | st.dictionaries(st.sampled_from(PRICE_KEYS), st.sampled_from(PRICE_VALUES)).map(
        lambda entry: "\n".join(
            ['[instances."x"]', *(f"{key} = {value}" for key, value in entry.items())]
        ).encode()
    )
)
def test_a_price_file(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "prices.toml"
    path.write_bytes(content)
    for entry in one_line_or(lambda: read_prices(path), {}).values():
        prices = (entry.on_demand_usd_per_hour, entry.spot_usd_per_hour)
        assert any(price is not None and price > 0 for price in prices)


FLAGS = sorted(
    "--" + field.name.replace("_", "-")
    for field in dataclasses.fields(SweepSpec)
    if field.name not in ("name", "own_space")
)
WORDS = st.text(max_size=12) | st.sampled_from(
    ["0", "-1", "1e999", "nan", "inf", "-inf", "99999999999999999999", "", "None", "a:b", "=", "x=",
     "val_accuracy:max", "s3://", "s3://[", "s3://a:b@c", "file:///x", "--", "1h", "true"]
)  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(FLAGS), st.lists(WORDS, max_size=2)), max_size=3))
def test_flags(words):
    arguments = [word for flag, values in words for word in (flag, *values)]
    spec = one_line_or(lambda: parse_spec(SweepSpec(), arguments), SweepSpec())
    assert spec.resolved_objectives()
    json.dumps(spec.to_dict())


@FUZZ
@given(st.binary(max_size=300))
def test_a_checkpoint_of_any_bytes(content):
    marked = content + b"paretune sha256 " + b"0" * 64
    for data in (content, marked):
        with pytest.raises(CheckpointError):
            from_bytes(data, "state.pt")
