"""A run in a storage: what is written there once and whole, and which of it counts."""

import json
import threading

import pyarrow.fs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.journal import JournalError, parse_record
from sweeps.run_store import Part, RunStore
from tests.s3_server import BUCKET, s3_server
from tests.stored_journal import kinds, lines, stored
from trainables.errors import InputError


@pytest.fixture(scope="module")
def server():
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return RunStore(str(tmp_path / "run"))
    for name, value in request.getfixturevalue("server").environment.items():
        monkeypatch.setenv(name, value)
    return RunStore(f"s3://{BUCKET}/{request.function.__name__}/run")


def journal_of(store):
    return kinds(store.read_journal())


def test_what_was_written_is_read_in_order(store):
    assert store.is_empty()
    claim = store.claim(None, 0)
    store.write_part(claim, 0, lines("ab"))
    store.write_part(claim, 2, lines("c", first=2))
    assert journal_of(store) == "abc"
    assert (store.newest_claim(), store.claims(), claim.generation) == (claim.name, [claim], 1)
    assert store.num_records(claim) == 3
    assert not store.is_empty()
    store.write("sweep.json", b"{}")
    assert store.read("sweep.json") == b"{}"
    assert store.read("trials.parquet") is None
    store.delete_all()
    assert store.is_empty()


def test_a_merged_object_takes_the_place_of_those_it_holds(store):
    claim = store.claim(None, 0)
    parts = [store.write_part(claim, n, lines(kind, first=n)) for n, kind in enumerate("abcd")]
    store.write_part(claim, 0, lines("abc"))
    assert journal_of(store) == "abcd"
    for part in (*parts[:3], parts[0]):  # one that is gone is fine
        store.delete_part(claim, part)
        assert journal_of(store) == "abcd"
    assert store.num_records(claim) == 4


def test_what_a_process_writes_after_it_was_replaced_does_not_count(store):
    old = store.claim(None, 0)
    store.write_part(old, 0, lines("ab"))
    new = store.claim(old, 2)
    store.write_part(old, 2, lines("xyz", first=2))  # it was thought dead, and wasn't
    assert journal_of(store) == "ab"
    store.write_part(new, 2, lines("cd", first=2))
    assert journal_of(store) == "abcd"
    assert (new.generation, store.newest_claim(), store.num_records(new)) == (2, new.name, 4)
    store.write_part(old, 0, lines("abxyz"))  # all of it once more, in one object
    assert journal_of(store) == "abcd"


def test_of_two_that_claim_at_the_same_time_one_counts(store):
    old = store.claim(None, 0)
    store.write_part(old, 0, lines("ab"))
    low, high = sorted((store.claim(old, 2), store.claim(old, 1)), key=lambda claim: claim.name)
    for claim, kind in ((low, "l"), (high, "h")):
        store.write_part(claim, claim.first, lines(kind, first=claim.first))
    assert journal_of(store) == "ab"[: high.first] + "h"
    assert store.claims() == [old, high]


def test_a_claim_that_comes_late_changes_nothing_of_what_went_on_without_it(store):
    old = store.claim(None, 0)
    store.write_part(old, 0, lines("ab"))
    second = store.claim(old, 2)
    store.write_part(second, 2, lines("c", first=2))
    third = store.claim(second, 3)
    store.claim(old, 2)  # made up its mind before the second did
    store.write_part(third, 3, lines("d", first=3))
    assert journal_of(store) == "abcd"
    assert store.claims() == [old, second, third]


def test_a_reader_never_misses_what_is_merged_meanwhile(tmp_path):
    store = RunStore(str(tmp_path))
    claim = store.claim(None, 0)
    text = "abcdefgh" * 8
    has_ended = threading.Event()

    def write():
        for start in range(0, len(text), 8):
            small = [
                store.write_part(claim, n, lines(text[n], first=n)) for n in range(start, start + 8)
            ]
            store.write_part(claim, start, lines(text[start : start + 8], first=start))
            for part in small:
                store.delete_part(claim, part)
        has_ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    lengths = [0]
    while not has_ended.is_set():
        found = journal_of(store)
        assert text.startswith(found)
        lengths.append(len(found))
    writer.join()
    assert lengths == sorted(lengths)
    assert journal_of(store) == text


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_object_is_an_error(tmp_path, missing):
    store = stored(tmp_path, "abc")
    (tmp_path / "journal" / store.newest_claim() / Part(missing, missing + 1).name).unlink()
    with pytest.raises(JournalError, match=f"got none of number {missing} in "):
        store.read_journal()


def test_a_missing_end_is_an_error_once_another_process_went_on(tmp_path):
    store = stored(tmp_path, "abc")
    (claim,) = store.claims()
    store.write_part(store.claim(claim, 3), 3, lines("d", first=3))
    store.delete_part(claim, Part(2, 3))
    with pytest.raises(JournalError, match="got none of number 2 in "):
        store.read_journal()


def test_records_of_another_number_are_an_error(tmp_path):
    store = stored(tmp_path, "abc")
    (claim,) = store.claims()
    store.write_part(claim, 3, lines("d", first=4))
    with pytest.raises(JournalError, match=r"broken one at byte 0 of .*000000000003-000000000004"):
        store.read_journal()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"first": -1}',
        b'{"first": "0"}',
        b"\xff",
        b'{"first": 0, "after": "../x"}',
        b'{"first": 0, "after": "000009-00000000"}',
    ],
)
def test_a_claim_that_is_none_is_an_error(tmp_path, content):
    store = stored(tmp_path, "a")
    (tmp_path / "claims" / f"{store.newest_claim()}.json").write_bytes(content)
    with pytest.raises(JournalError, match="claim must be a JSON object"):
        store.read_journal()


def test_a_claim_names_the_host_and_nothing_secret(tmp_path):
    stored(tmp_path, "a")
    (path,) = (tmp_path / "claims").iterdir()
    assert set(json.loads(path.read_text())) == {"name", "after", "first", "host", "unix_s"}


def test_a_scheme_that_nobody_knows_is_wrong_input():
    with pytest.raises(InputError, match="--storage must be a folder or URI that pyarrow opens"):
        RunStore("nowhere://bucket/run")


def damage(path, kind, place, other, name):
    content = path.read_bytes()
    at = int(place * len(content))
    if kind == "cut":
        path.write_bytes(content[:at])
    elif kind == "flip":
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif kind == "other":
        path.write_bytes(other)
    elif kind == "rename":
        path.rename(path.with_name(name))
    else:
        path.unlink()


@given(data=st.data())
@settings(deadline=None, max_examples=60, derandomize=True)
def test_whatever_becomes_of_the_objects_it_is_read_or_there_is_one_error(
    tmp_path_factory, data: st.DataObject
):
    """A wrong record is never read: what is read is a beginning of what was written."""
    folder = tmp_path_factory.mktemp("store")
    store = stored(folder, "abcdef")
    store.write_part(store.claims()[0], 0, lines("abc"))
    store.write_part(store.claim(store.claims()[0], 5), 5, lines("fg", first=5))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    damages = st.tuples(
        st.integers(0, len(files) - 1),
        st.sampled_from(["cut", "flip", "other", "rename", "delete"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(max_size=60),
        st.from_regex(r"[0-9a-f-]{1,30}\.log|0{11}[0-9]-0{11}[0-9]\.log", fullmatch=True),
    )
    for index, kind, place, other, name in data.draw(st.lists(damages, max_size=3)):
        if files[index].exists():
            damage(files[index], kind, place, other, name)
    try:
        found = store.read_journal()
    except JournalError:
        return
    for number, line in enumerate(found):
        event = parse_record(line[:-1])
        assert event is not None
        assert event.number == number
    assert "abcdefg".startswith(kinds(found))


def test_objects_lie_where_the_module_says(tmp_path):
    store = stored(tmp_path, "ab")
    selector = pyarrow.fs.FileSelector(str(tmp_path), recursive=True)
    found = [i.path for i in pyarrow.fs.LocalFileSystem().get_file_info(selector) if i.is_file]
    name = store.newest_claim()
    assert sorted(path.removeprefix(f"{tmp_path}/") for path in found) == [
        f"claims/{name}.json",
        f"journal/{name}/000000000000-000000000001.log",
        f"journal/{name}/000000000001-000000000002.log",
    ]
