import numpy as np
import pytest
import torchvision
from sample_data import encode, write_parquet

from trainables.data import cifar
from trainables.data.load import load_dataset
from trainables.errors import InputError


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")


@pytest.fixture
def parquet_folder(tmp_path):
    """Return a folder with ten classes of twenty images each."""
    generator = np.random.default_rng(0)
    for name in ("train", "test"):
        images = [encode(generator.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(200)]
        write_parquet(tmp_path / f"{name}.parquet", images, list(range(10)) * 20)
    return tmp_path


def test_digits_need_nothing():
    data, note = load_dataset("digits", "/nowhere", seed=0)
    assert "digits" in note
    assert data.input_shape == (1, 8, 8)
    assert data.num_classes == 10
    assert (len(data.train), len(data.val), len(data.test)) == (1079, 359, 359)
    assert data.train.images.max() == 255


def test_auto_without_a_network_is_digits_and_says_why(tmp_path, no_network):
    data, note = load_dataset("auto", str(tmp_path / "data"), seed=0)
    assert data.name == "digits"
    assert "in place of CIFAR-10" in note
    assert "could not be downloaded" in note
    assert list(tmp_path.iterdir()) == []


def test_a_named_set_is_never_replaced(tmp_path, no_network):
    with pytest.raises(InputError, match="put cifar-10-batches-py/ or its Parquet files there"):
        load_dataset("cifar10", str(tmp_path), seed=0)


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
        cifar.download_cifar10(tmp_path / "data")
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
    assert data.class_names == cifar.CLASS_NAMES
    assert len(data.test) == 200
    assert "Parquet" in note


def test_the_torchvision_layout_is_turned_channels_first(tmp_path, monkeypatch):
    class Stored:
        def __init__(self, root, train):
            generator = np.random.default_rng(int(train))
            self.targets = list(range(10)) * (20 if train else 5)
            self.data = generator.integers(0, 256, (len(self.targets), 8, 8, 3), np.uint8)

    (tmp_path / cifar.FOLDER).mkdir()
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Stored)
    data, note = load_dataset("auto", str(tmp_path), seed=0)
    assert cifar.FOLDER in note
    assert (len(data.train), len(data.val), len(data.test)) == (150, 50, 50)
    np.testing.assert_array_equal(
        data.test.images, Stored("", train=False).data.transpose(0, 3, 1, 2)
    )


def test_a_damaged_cifar_folder_is_refused(tmp_path):
    (tmp_path / cifar.FOLDER).mkdir()
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


def test_an_unknown_set_is_refused():
    with pytest.raises(InputError, match="dataset must be auto, cifar10, digits or parquet:DIR"):
        load_dataset("mnist", "/nowhere", seed=0)
