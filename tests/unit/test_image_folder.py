import re

import numpy as np
import pytest
from sample_data import encode

from trainables.data.image_folder import load_image_folder
from trainables.errors import InputError

NAMES = ("ant", "bee")


def write_images(folder, values, *, suffix=".png", size_px=4):
    """Write an image of one value for each of `values`, named in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, value in enumerate(values):
        pixels = np.full((size_px, size_px, 3), value, np.uint8)
        (folder / f"{number}{suffix}").write_bytes(encode(pixels))


def write_part(folder, names=NAMES):
    for label, name in enumerate(names):
        write_images(folder / name, [10 * label, 10 * label + 1])


def values_of(part):
    assert (part.inputs == part.inputs[:, :1, :1, :1]).all()
    return part.inputs[:, 0, 0, 0].tolist()


def test_class_folders_are_numbered_in_order(tmp_path):
    write_part(tmp_path)
    source, note = load_image_folder(tmp_path)
    assert source.class_names == NAMES
    assert source.name == tmp_path.name
    assert values_of(source.rest) == [0, 1, 10, 11]
    np.testing.assert_array_equal(source.rest.labels, [0, 0, 1, 1])
    assert source.rest.inputs.shape == (4, 3, 4, 4)
    assert source.test is None
    assert note == f"2 classes of images in {tmp_path}, split 6:2:2"


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "Testing")])
def test_train_and_test_are_rest_and_test(tmp_path, train, test):
    write_part(tmp_path / train)
    write_images(tmp_path / test / "ant", [100])
    write_images(tmp_path / test / "bee", [101])
    source, note = load_image_folder(tmp_path)
    assert values_of(source.rest) == [0, 1, 10, 11]
    assert values_of(source.test) == [100, 101]
    np.testing.assert_array_equal(source.test.labels, [0, 1])
    assert note.endswith("with its own test part")


def test_val_is_joined_to_train_and_the_note_says_so(tmp_path):
    for name in ("train", "val", "test"):
        write_part(tmp_path / name)
    source, note = load_image_folder(tmp_path)
    assert values_of(source.rest) == [0, 1, 10, 11] * 2
    np.testing.assert_array_equal(source.rest.labels, [0, 0, 1, 1] * 2)
    assert len(source.test) == 4
    assert "train and val joined, with its own test part" in note


@pytest.mark.parametrize("names", [["train"], ["train", "valid"]])
def test_without_test_the_rest_is_split(tmp_path, names):
    for name in names:
        write_part(tmp_path / name)
    source, note = load_image_folder(tmp_path)
    assert source.class_names == NAMES
    assert len(source.rest) == 4 * len(names)
    assert source.test is None
    assert note.endswith("split 6:2:2")


def test_train_can_be_a_class(tmp_path):
    write_part(tmp_path, ("bus", "train"))
    assert load_image_folder(tmp_path)[0].class_names == ("bus", "train")


def test_images_lie_deeper_and_have_other_suffixes_too(tmp_path):
    write_part(tmp_path)
    write_images(tmp_path / "ant" / "more", [2], suffix=".BMP")
    assert values_of(load_image_folder(tmp_path)[0].rest) == [0, 1, 2, 10, 11]


def test_what_is_no_image_is_passed_over_and_counted(tmp_path):
    write_part(tmp_path / "train")
    write_part(tmp_path / "test")
    for part, name in (("train", "boxes.txt"), ("train", "._0.png"), ("test", "notes.md")):
        (tmp_path / part / "ant" / name).touch()
    (tmp_path / ".cache").mkdir()
    source, note = load_image_folder(tmp_path)
    assert len(source.rest) == len(source.test) == 4
    assert note.endswith("3 files passed over that are no images")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([], r"must hold a folder for each class, got none"),
        (["ant"], "must hold >= 2 class folders, got ant alone"),
        (["ant", "bee"], r"every class folder must hold images \(.*\), got none in .*ant"),
        (["train/ant", "train/bee", "test"], "test must hold a folder for each class, got none"),
        (["train/ant", "train/bee", "test/ant"], "test must hold the same .* got bee in only one"),
        (["train/ant", "train/bee", "val/ant", "val/cat"], "got bee, cat in only one of them"),
        (["train/ant", "test/ant", "extra"], "got extra, test, train; move what is neither out"),
        (["ant", "bee", "test"], "got ant, bee, test; move what is neither out"),
        (["val/ant", "test/ant"], "got test, val; move"),
    ],
)
def test_wrong_folders_are_refused(tmp_path, folders, message):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        load_image_folder(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "absent"):
        with pytest.raises(InputError, match=f"got .*{name} .*; check the path after folder:"):
            load_image_folder(tmp_path / name)


@pytest.mark.parametrize("part", ["train", "test"])
def test_images_of_another_size_are_refused(tmp_path, part):
    write_part(tmp_path / "train")
    write_part(tmp_path / "test")
    write_images(tmp_path / part / "bee", [0], size_px=5)
    wrong = re.escape(str(tmp_path / part / "bee" / "0.png"))
    with pytest.raises(InputError, match=rf"one size \(4x4 px\), got 5x5 in {wrong}"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize(("content", "reason"), [(b"", "no bytes"), (b"text", "unknown format")])
def test_an_unreadable_image_is_refused(tmp_path, content, reason):
    write_part(tmp_path)
    (tmp_path / "bee" / "1.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"bee.1\.png \({reason}\); remove or repair it"):
        load_image_folder(tmp_path)
