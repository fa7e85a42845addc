import hashlib
import pickle
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from sample_data import encode, write_parquet
from sample_text import WORDS, random_source

from trainables.data.cifar import CIFAR10, CIFAR100, download_cifar
from trainables.data.load import load_dataset
from trainables.errors import InputError


@pytest.fixture
def no_network(monkeypatch):
    for name in ("CIFAR10", "CIFAR100"):
        dataset = getattr(torchvision.datasets, name)
        monkeypatch.setattr(dataset, "url", "http://127.0.0.1:9/cifar.tar.gz")


def write_images(folder, *, num_classes=10, side_px=32, **columns):
    """Write a train and a test file of twenty images a class."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    for name in ("train", "test"):
        pixels = generator.integers(0, 256, (20 * num_classes, side_px, side_px, 3), np.uint8)
        labels = list(range(num_classes)) * 20
        write_parquet(folder / f"{name}.parquet", map(encode, pixels), labels, **columns)


@pytest.fixture
def parquet_folder(tmp_path):
    """Return a folder with ten classes of twenty images each."""
    write_images(tmp_path)
    return tmp_path


@pytest.fixture
def cifar100_folder(tmp_path, monkeypatch):
    """Return a folder with CIFAR-100 in torchvision's layout, of 8 and 2 images a class."""
    folder = tmp_path / CIFAR100.folder
    folder.mkdir()
    generator = np.random.default_rng(0)
    contents = {"meta": {"fine_label_names": list(CIFAR100.class_names)}}
    for name, num_images in (("train", 800), ("test", 200)):
        contents[name] = {
            "data": generator.integers(0, 256, (num_images, 3072), np.uint8),
            "fine_labels": list(range(100)) * (num_images // 100),
        }
    digests = {}
    for name, content in contents.items():
        encoded = pickle.dumps(content)
        (folder / name).write_bytes(encoded)
        digests[name] = hashlib.md5(encoded).hexdigest()
    dataset = torchvision.datasets.CIFAR100
    monkeypatch.setattr(dataset, "train_list", [["train", digests["train"]]])
    monkeypatch.setattr(dataset, "test_list", [["test", digests["test"]]])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": digests["meta"]})
    return tmp_path


@pytest.fixture
def text_file(tmp_path):
    source = random_source()
    table = pa.table({"text": source.texts, "label": source.labels})
    pq.write_table(table, tmp_path / "texts.parquet")
    return tmp_path / "texts.parquet"


def test_digits_need_nothing():
    data, note = load_dataset("digits", "/nowhere", seed=0)
    assert "digits" in note
    assert data.task.input_shape == (1, 8, 8)
    assert data.task.num_classes == 10
    assert (len(data.train), len(data.val), len(data.test)) == (1079, 359, 359)
    assert data.train.inputs.max() == 255


def test_auto_without_a_network_is_digits_and_says_why(tmp_path, no_network):
    data, note = load_dataset("auto", str(tmp_path / "data"), seed=0)
    assert data.name == "digits"
    assert "in place of CIFAR-10" in note
    assert "could not be downloaded" in note
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "folder"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")]
)
def test_a_named_set_is_never_replaced(tmp_path, no_network, dataset, folder):
    with pytest.raises(InputError, match=f"put {folder}/ or its Parquet files there"):
        load_dataset(dataset, str(tmp_path), seed=0)


def test_a_failed_download_leaves_nothing_behind(tmp_path, monkeypatch):
    class Damaged:
        url = (tmp_path / "archive").as_uri()

        def __init__(self, root, download):
            with open(f"{root}/half", "wb") as file:
                file.write(b"half")
            raise RuntimeError("File not found or corrupted.")

    (tmp_path / "archive").touch()
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Damaged)
    with pytest.raises(RuntimeError, match="corrupted"):
        download_cifar(CIFAR10, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("dataset", ["auto", "cifar10"])
@pytest.mark.parametrize("subfolder", ["", "cifar10"])
def test_cifar10_is_found_as_parquet(tmp_path, parquet_folder, dataset, subfolder):
    if subfolder:
        (tmp_path / subfolder).mkdir()
        for file in parquet_folder.glob("*.parquet"):
            file.rename(tmp_path / subfolder / file.name)
    data, note = load_dataset(dataset, str(tmp_path), seed=0)
    assert data.name == "cifar10"
    assert data.class_names == CIFAR10.class_names
    assert len(data.test) == 200
    assert "Parquet" in note


def test_the_torchvision_layout_is_turned_channels_first(tmp_path, monkeypatch):
    class Stored:
        def __init__(self, root, train):
            generator = np.random.default_rng(int(train))
            self.targets = list(range(10)) * (20 if train else 5)
            self.data = generator.integers(0, 256, (len(self.targets), 8, 8, 3), np.uint8)

    (tmp_path / CIFAR10.folder).mkdir()
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Stored)
    data, note = load_dataset("auto", str(tmp_path), seed=0)
    assert CIFAR10.folder in note
    assert (len(data.train), len(data.val), len(data.test)) == (150, 50, 50)
    np.testing.assert_array_equal(
        data.test.inputs, Stored("", train=False).data.transpose(0, 3, 1, 2)
    )


def test_cifar100_in_the_torchvision_layout(cifar100_folder):
    data, note = load_dataset("cifar100", str(cifar100_folder), seed=0)
    assert note == f"CIFAR-100 in {cifar100_folder / CIFAR100.folder}"
    assert data.name == "cifar100"
    assert data.class_names == CIFAR100.class_names
    assert data.task.input_shape == (3, 32, 32)
    assert (len(data.train), len(data.val), len(data.test)) == (600, 200, 200)
    with open(cifar100_folder / CIFAR100.folder / "test", "rb") as file:
        stored = pickle.load(file)
    np.testing.assert_array_equal(data.test.inputs.reshape(200, -1), stored["data"])
    np.testing.assert_array_equal(data.test.labels, stored["fine_labels"])


def test_a_damaged_cifar100_is_refused(cifar100_folder):
    (cifar100_folder / CIFAR100.folder / "train").write_bytes(b"")
    with pytest.raises(InputError, match=r"torchvision's complete CIFAR-100, .* delete the folder"):
        load_dataset("cifar100", str(cifar100_folder), seed=0)


def test_cifar100_has_100_names_in_order():
    assert len(set(CIFAR100.class_names)) == 100
    assert list(CIFAR100.class_names) == sorted(CIFAR100.class_names)


@pytest.mark.parametrize("subfolder", ["", "cifar100"])
def test_cifar100_is_found_as_parquet(tmp_path, subfolder):
    write_images(tmp_path / subfolder, num_classes=100, label_column="fine_label")
    data, note = load_dataset("cifar100", str(tmp_path), seed=0)
    assert data.class_names == CIFAR100.class_names
    assert len(data.test) == 2000
    assert note == f"CIFAR-100 in Parquet files in {tmp_path / subfolder}"


def test_neither_cifar_is_taken_for_the_other(tmp_path, no_network):
    write_images(tmp_path)
    with pytest.raises(InputError, match="must be a folder with CIFAR-100"):
        load_dataset("cifar100", str(tmp_path), seed=0)
    write_images(tmp_path, num_classes=100, label_column="fine_label")
    assert load_dataset("auto", str(tmp_path), seed=0)[0].name == "digits"


def test_parquet_files_of_another_size_are_not_taken_for_cifar10(tmp_path, no_network):
    write_images(tmp_path, side_px=8)
    passed_over = re.escape(
        f"(Parquet files in {tmp_path} are not CIFAR-10's: images of 3 x 8 x 8)"
    )
    data, note = load_dataset("auto", str(tmp_path), seed=0)
    assert data.name == "digits"
    assert re.search(rf"not in {tmp_path} {passed_over} and could not be downloaded", note)
    with pytest.raises(InputError, match=rf"without it {passed_over} and no download"):
        load_dataset("cifar10", str(tmp_path), seed=0)
    write_images(tmp_path / "cifar10")
    assert load_dataset("auto", str(tmp_path), seed=0)[0].name == "cifar10"


def test_a_damaged_cifar_folder_is_refused(tmp_path):
    (tmp_path / CIFAR10.folder).mkdir()
    with pytest.raises(InputError, match="delete the folder"):
        load_dataset("auto", str(tmp_path), seed=0)


def test_parquet_by_path(parquet_folder):
    data, note = load_dataset(f"parquet:{parquet_folder}", "/nowhere", seed=0, limit_train=60)
    assert (len(data.train), len(data.val), len(data.test)) == (60, 20, 200)
    assert "own test part" in note


def test_fewer_classes_than_cifar10_are_not_taken_for_it(tmp_path):
    image = encode(np.zeros((4, 4, 3), np.uint8))
    write_parquet(tmp_path / "all.parquet", [image] * 40, [0, 1] * 20)
    with pytest.raises(InputError, match="got 2 classes; load the files by parquet:DIR"):
        load_dataset("auto", str(tmp_path), seed=0)


def test_folder_by_path(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(5):
            pixels = np.full((4, 4, 3), number, np.uint8)
            (tmp_path / name / f"{number}.png").write_bytes(encode(pixels))
    data, note = load_dataset(f"folder:{tmp_path}", "/nowhere", seed=0)
    assert data.class_names == ("ant", "bee")
    assert (len(data.train), len(data.val), len(data.test)) == (6, 2, 2)
    assert note.startswith(f"2 classes of images in {tmp_path}")


def test_docstrings_need_nothing():
    data, note = load_dataset("docstrings", "/nowhere", seed=0, limit_train=300)
    assert data.task.kind == "text"
    assert len(data.train) == 300
    assert not data.has_thesaurus
    assert "docstrings" in note
    assert f"; {data.num_cut} cut to 96 words and " in note


@pytest.mark.parametrize("kind", ["text", "parquet"])
def test_texts_by_path(text_file, kind):
    for path in (text_file, text_file.parent):
        data, note = load_dataset(f"{kind}:{path}", "/nowhere", seed=0)
        assert data.task.kind == "text"
        assert (len(data.train), len(data.val), len(data.test)) == (36, 12, 12)
        assert note.startswith(f"texts in {path}, split 6:2:2; 0 cut to ")


def test_images_with_captions_are_images(tmp_path):
    image = encode(np.zeros((4, 4, 3), np.uint8))
    table = pa.table({"image": [image] * 10, "text": ["a caption"] * 10, "label": [0, 1] * 5})
    pq.write_table(table, tmp_path / "set.parquet")
    assert load_dataset(f"parquet:{tmp_path}", "/nowhere", seed=0)[0].task.kind == "image"


def test_a_thesaurus_is_for_texts(text_file, tmp_path):
    thesaurus = tmp_path / "synonyms.tsv"
    thesaurus.write_text(f"{WORDS[0]}\t{WORDS[1]}\n")
    data, _ = load_dataset(f"text:{text_file}", "", seed=0, thesaurus=str(thesaurus))
    assert data.has_thesaurus
    with pytest.raises(InputError, match=r"thesaurus must be left out .* dataset digits;"):
        load_dataset("digits", "", seed=0, thesaurus=str(thesaurus))


@pytest.mark.parametrize("dataset", ["mnist", "", "folder:", "folder", "digits:", "csv:/set.csv"])
def test_an_unknown_set_is_refused(dataset):
    with pytest.raises(
        InputError,
        match="dataset must be auto, cifar10, cifar100, digits, docstrings, parquet:PATH, "
        f"folder:DIR or text:PATH, got '{dataset}'; choose one",
    ):
        load_dataset(dataset, "/nowhere", seed=0)
