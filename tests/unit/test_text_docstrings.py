import numpy as np
import pytest

from trainables.data.splits import split_positions
from trainables.data.text.chapters import CHAPTERS
from trainables.data.text.docstrings import MAX_PER_CLASS, MIN_WORDS, load_docstrings
from trainables.errors import InputError


@pytest.fixture(scope="module")
def source():
    return load_docstrings()


def test_no_text_is_there_twice(source):
    assert len({" ".join(text.lower().split()) for text in source.texts}) == len(source.texts)


def test_classes_are_large_enough_and_not_hopelessly_unbalanced(source):
    counts = np.bincount(source.labels)
    assert len(counts) == len(source.class_names) == len(CHAPTERS)
    assert counts.min() >= 20
    assert counts.max() <= MAX_PER_CLASS
    assert len(source.texts) > 4000


def test_texts_are_clean(source):
    assert min(len(text.split()) for text in source.texts) >= MIN_WORDS
    assert not any(text[0].isspace() or "\t" in text for text in source.texts)


def test_no_text_is_in_two_parts(source):
    parts = split_positions(source.labels, has_test_part=False, seed=0)
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) == len(source.texts)
    for part in parts:
        assert np.bincount(source.labels[part]).min() >= 5


def test_labels_are_the_chapters_of_the_modules(source):
    def label_of(fragment):
        (label,) = {
            label
            for text, label in zip(source.texts, source.labels, strict=True)
            if fragment in text
        }
        return source.class_names[label]

    assert label_of("Support for regular expressions (RE).") == "Text Processing Services"
    assert label_of("Read and write ZIP files.") == "Data Compression and Archiving"


def test_no_module_is_in_two_chapters():
    modules = [module for chapter in CHAPTERS.values() for module in chapter]
    assert len(set(modules)) == len(modules)


def test_the_order_depends_on_the_files_alone(tmp_path):
    for module in (modules[0] for modules in CHAPTERS.values()):
        functions = "\n".join(
            f'def f{i}():\n    """Text {i} of the module {module}, for all."""' for i in range(9)
        )
        (tmp_path / f"{module}.py").write_text(functions)
    first, second = load_docstrings(tmp_path), load_docstrings(tmp_path)
    assert first.texts == second.texts
    assert len(first.texts) == 9 * len(CHAPTERS)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_python_without_its_source_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be source files with docstrings, got 0 on Text"):
        load_docstrings(tmp_path)
