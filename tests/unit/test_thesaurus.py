import pytest

from trainables.augment.thesaurus import check_synonyms, load_thesaurus
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

MYTHES = """ISO8859-1
big|2
(adj)|large|sizable (similar term)|little (antonym)
(adj)|Prominent|large|of import
café|1
(noun)|coffeehouse|restaurant (generic term)
lonely|1
(adj)|alone (related term)
"""


def test_mythes_gives_true_synonyms_of_all_meanings(tmp_path):
    path = tmp_path / "th.dat"
    path.write_text(MYTHES, encoding="latin-1")
    assert load_thesaurus(path) == {
        "big": ("large", "prominent", "of import"),
        "café": ("coffeehouse",),
    }


def test_lines_with_tabs(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"Big\tlarge, Huge ,big\r\n\r\nbig\tvast\nsmall\tlittle")
    assert load_thesaurus(path) == {"big": ("large", "huge", "vast"), "small": ("little",)}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"big\tlarge\nbig large\n", r"line 2 of .* a tab .* got 'big large'"),
        ("a.txt", b"\tlarge\n", "line 1 of"),
        ("a.txt", b"big\tl\xffrge\n", "in the encoding that it names, or UTF-8"),
        ("a.txt", b"", "at least one word"),
        ("a.txt", b"big\tbig\n", "at least one word"),
        ("a.dat", b"big\tlarge\n", "in the encoding that it names"),
        ("a.dat", b"\x00\x01\nbig|1", "in the encoding that it names"),
        ("a.dat", b"UTF-8\nbig|two\n", r"line 2 of .* WORD\|NUMBER_OF_MEANINGS"),
        ("a.dat", b"UTF-8\nbig|2\n(adj)|large\n", r"line 4 of .*SYNONYM of big, got ''"),
        ("a.dat", b"UTF-8\nbig|1\nsmall|1\n(adj)|little\n", r"line 4 .* WORD\|NUMBER"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_thesaurus(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.dat \(No such file"):
        load_thesaurus(tmp_path / "absent.dat")


def test_synonyms_need_a_thesaurus():
    config = TrialConfig(model="text_cnn", synonym_probability=0.1)
    with pytest.raises(InputError, match=r"got 0\.1; give one by --thesaurus FILE"):
        check_synonyms(config, has_thesaurus=False)
    check_synonyms(config, has_thesaurus=True)
    check_synonyms(TrialConfig(model="text_cnn"), has_thesaurus=False)
