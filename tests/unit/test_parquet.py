import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_data import encode, write_parquet

from trainables.data.parquet import column_names, image_column, load_parquet
from trainables.errors import InputError


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


@pytest.fixture
def encoded(pixels):
    return [encode(image) for image in pixels]


@pytest.mark.parametrize("column", ["img", "image"])
@pytest.mark.parametrize("is_struct", [True, False])
def test_both_layouts_decode_exactly(tmp_path, pixels, encoded, column, is_struct):
    path = tmp_path / "set.parquet"
    write_parquet(path, encoded, [0, 1, 2, 0, 1, 2], column=column, is_struct=is_struct)
    source = load_parquet(path)
    np.testing.assert_array_equal(source.rest.inputs, pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(source.rest.labels, [0, 1, 2, 0, 1, 2])
    assert source.test is None
    assert source.name == "set"
    assert source.class_names == ("0", "1", "2")


def test_large_images_decode_in_threads_to_the_same_order(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 1, 3), dtype=np.uint8)
    images = np.repeat(np.repeat(images, 128, 1), 128, 2)
    path = write_parquet(tmp_path / "set.parquet", [encode(i, "BMP") for i in images], [0, 1] * 150)
    np.testing.assert_array_equal(load_parquet(path).rest.inputs, images.transpose(0, 3, 1, 2))


def test_grey_images_become_rgb(tmp_path):
    grey = np.arange(20, dtype=np.uint8).reshape(5, 4)
    path = write_parquet(tmp_path / "set.parquet", [encode(grey)], [0])
    np.testing.assert_array_equal(load_parquet(path).rest.inputs[0], np.stack([grey] * 3))


def test_train_and_test_files_are_rest_and_test(tmp_path, encoded):
    write_parquet(tmp_path / "train-0.parquet", encoded[:2], [0, 1])
    write_parquet(tmp_path / "train-1.parquet", encoded[2:4], [1, 0])
    write_parquet(tmp_path / "test.parquet", encoded[4:], [1, 0])
    source = load_parquet(tmp_path)
    assert source.test is not None
    np.testing.assert_array_equal(source.rest.labels, [0, 1, 1, 0])
    np.testing.assert_array_equal(source.test.labels, [1, 0])


def test_other_files_are_one_set(tmp_path, encoded):
    write_parquet(tmp_path / "a.parquet", encoded[:3], [0, 1, 0])
    write_parquet(tmp_path / "b.parquet", encoded[3:], [1, 0, 1])
    source = load_parquet(tmp_path)
    np.testing.assert_array_equal(source.rest.labels, [0, 1, 0, 1, 0, 1])
    assert source.test is None


def test_fine_labels_are_labels(tmp_path, encoded):
    write_parquet(tmp_path / "train.parquet", encoded[:4], [0, 1, 1, 0], label_column="fine_label")
    write_parquet(tmp_path / "test.parquet", encoded[4:], [1, 0], label_column="fine_label")
    np.testing.assert_array_equal(load_parquet(tmp_path).rest.labels, [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["cat", "dog"], ("cat", "dog")),
        (["cat", "dog", "owl"], ("cat", "dog")),  # no image of an owl
        (["cat"], ("0", "1")),
        (None, ("0", "1")),
    ],
)
def test_classes_are_named_as_in_the_metadata_of_the_hub(tmp_path, encoded, names, found):
    path = write_parquet(tmp_path / "a.parquet", encoded, [0, 1, 0, 1, 0, 1])
    feature = {"names": names, "_type": "ClassLabel"} if names else {"_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    assert load_parquet(path).class_names == found


def test_labels_of_two_columns_are_not_mixed(tmp_path, encoded):
    write_parquet(tmp_path / "a.parquet", encoded[:3], [0, 1, 0])
    write_parquet(tmp_path / "b.parquet", encoded[3:], [0, 1, 0], label_column="fine_label")
    with pytest.raises(InputError, match=r"b\.parquet must be img or image, and label, got img, f"):
        load_parquet(tmp_path)


def test_files_beside_train_and_test_are_not_dropped_silently(tmp_path, encoded):
    for name in ("train", "test", "validation"):
        write_parquet(tmp_path / f"{name}.parquet", encoded[:2], [0, 1])
    with pytest.raises(InputError, match=r"got validation\.parquet beside them"):
        load_parquet(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3, 0, 1, 3], r"got 3 in row 2 of .*set\.parquet and no 2 anywhere"),
        ([0, -1, 1, 0, 1, 0], r"got -1 in row 1 of .*set\.parquet"),
        ([1, 1, 1, 1, 1, 1], "no 0 anywhere"),
        ([0, None, 1, 0, 1, 0], "1 without one"),
        (["a"] * 6, "must be whole numbers, got string"),
        ([0.0] * 6, "must be whole numbers, got double"),
    ],
)
def test_wrong_labels_are_refused(tmp_path, encoded, labels, message):
    path = write_parquet(tmp_path / "set.parquet", encoded, labels)
    with pytest.raises(InputError, match=message):
        load_parquet(path)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (encode(np.zeros((4, 4, 3), np.uint8)), r"\(4x5 px\), got 4x4 in row 3 of .*set\.parquet"),
        (b"not an image", r"row 3 of .*set\.parquet \(unknown format\)"),
        (encode(np.zeros((5, 4), np.uint16)), r"8 bits a channel, got Pillow's mode I;16 in row 3"),
        (b"", r"row 3 of .*set\.parquet \(no bytes\)"),
        (None, r"row 3 of .*set\.parquet \(no bytes\)"),
    ],
)
def test_wrong_images_are_refused(tmp_path, encoded, image, message):
    encoded[3] = image
    path = write_parquet(tmp_path / "set.parquet", encoded, [0, 1] * 3)
    with pytest.raises(InputError, match=message):
        load_parquet(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
def test_a_cut_off_image_is_refused(tmp_path, format):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    whole = encode(noise, format)
    path = write_parquet(tmp_path / "set.parquet", [whole, whole[: len(whole) // 2]], [0, 1])
    with pytest.raises(InputError, match="row 1 of"):
        load_parquet(path)


def test_a_cut_off_file_is_refused(tmp_path, encoded):
    path = write_parquet(tmp_path / "set.parquet", encoded, [0, 1] * 3)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"set\.parquet must be a whole Parquet file"):
        load_parquet(path)
    assert column_names(path) == []


def test_a_damaged_file_is_refused(tmp_path, encoded):
    path = write_parquet(tmp_path / "set.parquet", encoded, [0, 1] * 3)
    damaged = bytearray(path.read_bytes())
    damaged[4:60] = bytes(56)
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"set\.parquet"):
        load_parquet(path)


def test_missing_columns_are_refused(tmp_path):
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"picture": [b""], "label": [0]}), path)
    assert image_column(column_names(path)) is None
    with pytest.raises(InputError, match="got picture, label; rename them"):
        load_parquet(path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder of them"):
        load_parquet(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="got 0 rows"):
        load_parquet(write_parquet(tmp_path / "set.parquet", [], pa.array([], pa.int64())))
