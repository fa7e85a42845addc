"""Synonyms from a thesaurus file that the user gives. Needs no Torch.

No maintained Python package was found that carries one in its wheel. Debian's `mythes-en-us` does,
made from WordNet (Miller 1995), and so does every LibreOffice: `th_en_US_v2.dat`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from trainables.errors import InputError
from trainables.trial_config import TrialConfig

Thesaurus = Mapping[str, tuple[str, ...]]
"""Synonyms by word, all in lower case; the commonest senses first."""

_MYTHES_SUFFIX = ".dat"


def check_synonyms(config: TrialConfig, *, has_thesaurus: bool) -> None:
    """Check that there is a thesaurus if a config asks for synonyms.

    Raises:
        InputError: if there is none; says how to get one.
    """
    if config.synonym_probability and not has_thesaurus:
        raise InputError(
            "synonym_probability must be 0 without a thesaurus, got "
            f"{config.synonym_probability:g}; give one by --thesaurus FILE, such as "
            "/usr/share/mythes/th_en_US_v2.dat of Debian's mythes-en-us"
        )


def load_thesaurus(path: Path) -> Thesaurus:
    """Read a thesaurus.

    Args:
        path: a MyThes file (`.dat`, as LibreOffice's), of which only true synonyms are taken (no
            generic, related or opposite terms); or UTF-8 lines of a word, a tab, and synonyms
            separated by commas.

    Raises:
        InputError: naming the line, if the file is missing, damaged or of another format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the thesaurus must be a file that can be read, got {path} ({error.strerror}); "
            "check --thesaurus"
        ) from error
    is_mythes = path.suffix == _MYTHES_SUFFIX
    named = content.partition(b"\n")[0].strip().decode("ascii", "replace")
    try:
        text = content.decode(named if is_mythes else "utf-8-sig")
    except (LookupError, ValueError) as error:
        raise InputError(
            f"the thesaurus must be text in the encoding that it names, or UTF-8, got {path} "
            f"({error}); convert it"
        ) from error
    lines = [line.rstrip("\r") for line in text.rstrip("\r\n").split("\n")]
    entries = _mythes_entries(path, lines) if is_mythes else _tabbed_entries(path, lines)
    thesaurus = _collect(entries)
    if not thesaurus:
        raise InputError(
            f"the thesaurus must hold at least one word with a synonym, got none in {path}; "
            "check --thesaurus"
        )
    return thesaurus


def _collect(entries: Iterable[tuple[str, list[str]]]) -> Thesaurus:
    synonyms: dict[str, dict[str, None]] = {}
    for word, others in entries:
        found = synonyms.setdefault(word.strip().lower(), {})
        found.update(dict.fromkeys(other.strip().lower() for other in others))
    return {
        word: kept
        for word, found in synonyms.items()
        if (kept := tuple(other for other in found if other not in ("", word)))
    }


def _tabbed_entries(path: Path, lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(lines, 1):
        word, tab, others = line.partition("\t")
        if line.strip() and not (tab and word.strip() and others.strip()):
            raise _wrong_line(path, number, line, "a word, a tab and synonyms with commas between")
        yield word, others.split(",")


def _mythes_entries(path: Path, lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Parse the encoding, then per entry `word|num_meanings` and a line for each meaning.

    A meaning is `(part of speech)|synonym|synonym|term (generic term)|...`.
    """
    rest = enumerate(lines[1:], 2)
    for number, line in rest:
        word, bar, num_meanings = line.rpartition("|")
        if not (bar and num_meanings.isdecimal()):
            raise _wrong_line(path, number, line, "WORD|NUMBER_OF_MEANINGS")
        for _ in range(int(num_meanings)):
            number, meaning = next(rest, (number + 1, ""))
            terms = meaning.split("|")[1:]
            if not terms:
                raise _wrong_line(path, number, meaning, f"(PART OF SPEECH)|SYNONYM of {word}")
            yield word, [term for term in terms if not term.endswith(")")]


def _wrong_line(path: Path, number: int, line: str, rule: str) -> InputError:
    return InputError(
        f"line {number} of the thesaurus {path} must be {rule}, got {line[:40]!r}; repair or "
        "replace the file"
    )
