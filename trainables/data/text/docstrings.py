"""A real set of texts that every Python carries: the docstrings of its standard library.

Each is labelled by the chapter of the library reference that describes its module.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import platform
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from trainables.data.text.chapters import CHAPTERS
from trainables.data.text.source import TextSource
from trainables.errors import InputError

MIN_WORDS = 5
MAX_PER_CLASS = 600
MIN_PER_CLASS = 5
_TEST_FOLDERS = frozenset({"test", "tests", "idle_test"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def load_docstrings(stdlib: Path | None = None) -> TextSource:
    """Read the docstrings of modules, classes, functions and methods from their source.

    Nothing is imported or run. Docstrings that differ only in white space or case are one sample,
    so no two parts of a split can share one. A class keeps at most `MAX_PER_CLASS`: those whose
    SHA-256 is the least, a choice that depends on each text alone.

    Args:
        stdlib: folder of the library's source files; that of this Python by default. The set
            differs between Python versions, and so does its fingerprint.

    Raises:
        InputError: if the folder lacks the source files, as in a frozen Python.
    """
    folder = stdlib or Path(sysconfig.get_path("stdlib"))
    seen: set[bytes] = set()
    texts: list[str] = []
    labels: list[int] = []
    for label, (chapter, modules) in enumerate(CHAPTERS.items()):
        by_digest = {
            _digest(text): text for text in _docstrings(folder, modules) if _is_long_enough(text)
        }
        kept = sorted(by_digest.keys() - seen)[:MAX_PER_CLASS]
        if len(kept) < MIN_PER_CLASS:
            raise InputError(
                f"the standard library must be source files with docstrings, got {len(kept)} on "
                f"{chapter} in {folder}; use a Python that has them, or text files"
            )
        seen |= by_digest.keys()
        texts += [by_digest[digest] for digest in kept]
        labels += [label] * len(kept)
    return TextSource(
        name="docstrings",
        note=f"{len(texts)} docstrings of the standard library of Python "
        f"{platform.python_version()}, by chapter of its reference",
        texts=texts,
        labels=np.array(labels, np.int64),
        test_texts=None,
        test_labels=None,
        class_names=tuple(CHAPTERS),
    )


def _docstrings(folder: Path, modules: Sequence[str]) -> Iterator[str]:
    for module in modules:
        for path in (folder / f"{module}.py", *sorted((folder / module).rglob("*.py"))):
            if path.is_file() and _TEST_FOLDERS.isdisjoint(path.relative_to(folder).parts):
                yield from _docstrings_in(path)


def _docstrings_in(path: Path) -> Iterator[str]:
    """Walk statements only: no expression holds a docstring, and most nodes are expressions."""
    nodes: list[ast.AST] = [ast.parse(path.read_bytes())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, _DOCUMENTED):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield inspect.cleandoc(text)
        for field in ("body", "orelse", "handlers", "finalbody"):
            nodes += getattr(node, field, ())


def _is_long_enough(text: str) -> bool:
    return len(text.split()) >= MIN_WORDS


def _digest(text: str) -> bytes:
    return hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
