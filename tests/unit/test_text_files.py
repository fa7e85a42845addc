import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.data.text.files import load_text_files
from trainables.errors import InputError


def write(path, texts, labels):
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": texts, "label": labels}), path)
    else:
        rows = [f'"{text}",{label}' for text, label in zip(texts, labels, strict=True)]
        path.write_text("\n".join(["text,label", *rows, ""]))
    return path


@pytest.mark.parametrize("name", ["set.csv", "set.parquet"])
@pytest.mark.parametrize(
    ("labels", "ids", "names"),
    [([1, 0, 1], [1, 0, 1], ("0", "1")), (["spam", "ham", "spam"], [1, 0, 1], ("ham", "spam"))],
)
def test_both_formats_with_numbers_or_names(tmp_path, name, labels, ids, names):
    source = load_text_files(write(tmp_path / name, ["one, two", "drei\nvier", "fünf"], labels))
    assert source.texts == ["one, two", "drei\nvier", "fünf"]
    np.testing.assert_array_equal(source.labels, ids)
    assert source.class_names == names
    assert source.name == "set"
    assert source.test_texts is None
    assert "split 6:2:2" in source.note


def test_train_and_test_files_are_rest_and_test(tmp_path):
    write(tmp_path / "train-0.csv", ["a", "b"], ["x", "y"])
    write(tmp_path / "train-1.parquet", ["c"], ["z"])
    write(tmp_path / "test.csv", ["d"], ["y"])
    source = load_text_files(tmp_path)
    assert source.texts == ["a", "b", "c"]
    assert source.test_texts == ["d"]
    np.testing.assert_array_equal(source.labels, [0, 1, 2])
    np.testing.assert_array_equal(source.test_labels, [1])


def test_other_files_are_one_set(tmp_path):
    write(tmp_path / "a.csv", ["a", "b"], [0, 1])
    write(tmp_path / "test.csv", ["c"], [1])
    source = load_text_files(tmp_path)
    assert source.texts == ["a", "b", "c"]
    assert source.test_texts is None


def test_files_beside_train_and_test_are_not_dropped_silently(tmp_path):
    for name in ("train", "test", "validation"):
        write(tmp_path / f"{name}.csv", ["a"], [0])
    with pytest.raises(InputError, match=r"got validation\.csv beside them"):
        load_text_files(tmp_path)


def test_dictionaries_and_large_strings_are_text(tmp_path):
    table = pa.table(
        {
            "text": pa.array(["a", "b"], pa.large_string()),
            "label": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "set.parquet")
    assert load_text_files(tmp_path).class_names == ("x", "y")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"txt,label\na,0\n", r"columns of .*set\.csv must be text and label, .* got txt, label;"),
        (b"text,label,text\na,0,b\n", "got text, label, text;"),
        (b"text,label\na,0\n  ,1\n", "got '  ' in row 1"),
        (b"text,label\na,0\nf\xffg,1\n", "got byte 0xff at offset 1 of row 1"),
        (b"text,label\na,0\nb,n\xe9\n", "column label .* got byte 0xe9 at offset 1 of row 1"),
        ("text,label\na,0\n".encode("utf-16"), r"must be a whole csv file in UTF-8"),
        (b"text,label\na,0\nb,\n", "a label in every row, got none in row 1"),
        (b"text,label\na,0\nb,2\n", r"got 2 in row 1 of .*set\.csv among 2 classes"),
        (b"text,label\na,-1\nb,0\n", "got -1 in row 0"),
        (b"text,label\na,0\nb", "whole csv file .* Row #3: Expected 2 columns, got 1: b"),
        (b'text,label\na,0\n"b, c', "whole csv file"),
        (b"text,label\n", "got 0 rows"),
        (b"", "whole csv file .* Empty CSV file"),
    ],
)
def test_bad_csv_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "set.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_text_files(tmp_path / "set.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a", None], [0, 1], "got '' in row 1"),
        ([1, 2], [0, 1], "column text .* must be text, got int64"),
        (["a", "b"], [0, None], "got none in row 1"),
        (["a", "b"], [0.0, 1.0], "whole numbers or names, got double"),
        (pa.array([b"a", b"b\xff"]), [0, 1], "got byte 0xff at offset 1 of row 1"),
    ],
)
def test_bad_parquet_is_refused(tmp_path, texts, labels, message):
    with pytest.raises(InputError, match=message):
        load_text_files(write(tmp_path / "set.parquet", texts, labels))


def test_a_cut_off_parquet_file_is_refused(tmp_path):
    path = write(tmp_path / "set.parquet", ["a", "b"], [0, 1])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"set\.parquet must be a whole parquet file") as error:
        load_text_files(path)
    assert "\n" not in str(error.value)


def test_numbers_in_one_file_and_names_in_another_are_refused(tmp_path):
    write(tmp_path / "a.csv", ["a", "b"], [0, 1])
    write(tmp_path / "b.csv", ["c"], ["x"])
    with pytest.raises(InputError, match=r"got numbers in .*a\.csv and names in .*b\.csv"):
        load_text_files(tmp_path)


@pytest.mark.parametrize("name", ["", "absent", "set.txt"])
def test_what_is_no_data_is_refused(tmp_path, name):
    (tmp_path / "set.txt").write_text("text,label\n")
    with pytest.raises(InputError, match=r"\.parquet or \.csv file or a folder of them"):
        load_text_files(tmp_path / name)
