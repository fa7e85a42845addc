import json
import math
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.journal import Event, Journal, JournalError, read_journal
from trainables.errors import InputError


def write(folder, *kinds, first=0):
    journal = Journal(folder, first)
    for kind in kinds:
        journal.append(kind, is_synced=kind == "b", value=kind * 3)
    journal.close()
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "journal", "a", "b", "c")


def segment(folder, number=1):
    return folder / f"{number:06d}.log"


def test_what_was_appended_is_read(folder):
    assert read_journal(folder) == [
        Event(number, kind, {"value": kind * 3}) for number, kind in enumerate("abc")
    ]


def test_each_process_goes_on_in_a_file_of_its_own(folder):
    write(folder, "d", first=3)
    assert [event.kind for event in read_journal(folder)] == list("abcd")
    assert sorted(path.name for path in folder.glob("*.log")) == ["000001.log", "000002.log"]


def test_numbers_that_are_none_survive(tmp_path):
    journal = Journal(tmp_path)
    journal.append("report", loss=math.nan, best=-math.inf, text="ä\n\u2028")
    fields = read_journal(tmp_path)[0].fields
    assert math.isnan(fields["loss"])
    assert (fields["best"], fields["text"]) == (-math.inf, "ä\n\u2028")


def test_a_record_is_the_systems_before_append_returns(tmp_path):
    journal = Journal(tmp_path)
    journal.append("a")
    assert [event.kind for event in read_journal(tmp_path)] == ["a"]
    journal.close()


@pytest.mark.parametrize("num_bytes", range(1, 40))
def test_a_torn_end_is_cut_off_wherever_it_tore(folder, num_bytes):
    whole = segment(folder).read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    torn = whole[: len(whole) - min(num_bytes, len(last))]
    segment(folder).write_bytes(torn)
    assert [event.kind for event in read_journal(folder)] == ["a", "b"]
    write(folder, "d", first=2)
    assert [event.kind for event in read_journal(folder)] == ["a", "b", "d"]


def test_a_last_record_with_a_wrong_sum_is_cut_off(folder):
    content = bytearray(segment(folder).read_bytes())
    content[-5] ^= 1
    segment(folder).write_bytes(content)
    assert [event.kind for event in read_journal(folder)] == ["a", "b"]


def test_a_broken_record_in_the_middle_is_an_error_that_names_its_place(folder):
    lines = segment(folder).read_bytes().splitlines(keepends=True)
    broken = lines[1].replace(b"bbb", b"bbx")
    segment(folder).write_bytes(lines[0] + broken + lines[2])
    with pytest.raises(JournalError, match=f"broken one at byte {len(lines[0])} of .*000001.log"):
        read_journal(folder)


def test_a_missing_record_is_an_error(folder):
    lines = segment(folder).read_bytes().splitlines(keepends=True)
    segment(folder).write_bytes(lines[0] + lines[2])
    with pytest.raises(JournalError, match="got 2 after 0 at byte"):
        read_journal(folder)


def test_a_missing_file_is_an_error(folder):
    write(folder, "d", first=3)
    segment(folder).unlink()
    with pytest.raises(JournalError, match="got 3 after -1"):
        read_journal(folder)


def test_one_process_writes_at_a_time(folder):
    journal = Journal(folder, 3)
    with pytest.raises(InputError, match="another process is writing"):
        Journal(folder, 3)
    journal.close()
    Journal(folder, 3).close()


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_an_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("journal")
    segment(folder).write_bytes(content)
    try:
        assert read_journal(folder) == []
    except JournalError:
        assert b"\n" in content


@given(st.lists(st.sampled_from([b"[]", b"3", b'{"n": 0}', b'{"kind": 3, "n": "x"}']), min_size=1))
def test_a_sum_alone_makes_no_record(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("journal")
    lines = [b"%08x %s\n" % (zlib.crc32(content), content) for content in contents]
    segment(folder).write_bytes(b"".join(lines))
    try:
        assert read_journal(folder) == []
    except JournalError:
        assert len(lines) > 1


def test_a_record_is_a_line_that_a_person_can_read(folder):
    line = segment(folder).read_bytes().splitlines()[1]
    assert json.loads(line[9:]) == {"n": 1, "kind": "b", "value": "bbb"}
