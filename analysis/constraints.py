"""Limits on trials, read from text such as `latency_ms < 5 and val_accuracy >= 0.9`.

    rule       = any_of
    any_of     = all_of { "or" all_of }
    all_of     = term { "and" term }
    term       = "not" term | "(" rule ")" | column operator number
    operator   = "<" | "<=" | ">" | ">=" | "==" | "!="

Nothing of the text is ever run as code. A trial without a value in a column meets no limit on it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.records import numeric_columns

OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<operator><=|>=|==|!=|<|>)|(?P<bracket>[()]))"
)
_WORDS: Final = ("and", "or", "not")
MAX_DEPTH: Final = 50


@dataclass(frozen=True)
class Limit:
    """A column compared with a number."""

    column: str
    operator: str
    value: float

    def holds(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return [num_trials] bool; False where the column has no value."""
        values = np.asarray(table[self.column], dtype=np.float64)
        met = np.asarray(OPERATORS[self.operator](values, self.value))
        return met & ~np.isnan(values)

    def limits(self) -> Iterable[Limit]:
        """Yield the limits this is made of."""
        yield self

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value:g}"


@dataclass(frozen=True)
class Combined:
    """Rules of which all, or any, must hold."""

    word: Literal["and", "or"]
    parts: tuple[Rule, ...]

    def holds(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return [num_trials] bool."""
        met = [part.holds(table) for part in self.parts]
        return np.asarray(np.all(met, axis=0) if self.word == "and" else np.any(met, axis=0))

    def limits(self) -> Iterable[Limit]:
        """Yield the limits this is made of."""
        for part in self.parts:
            yield from part.limits()

    def __str__(self) -> str:
        inner = (f"({part})" if isinstance(part, Combined) else str(part) for part in self.parts)
        return f" {self.word} ".join(inner)


@dataclass(frozen=True)
class Negated:
    """A rule that must not hold; a trial without a value in one of its columns fails it too."""

    part: Rule

    def holds(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return [num_trials] bool."""
        columns = [np.asarray(table[limit.column], dtype=np.float64) for limit in self.limits()]
        return np.asarray(~self.part.holds(table) & ~np.any(np.isnan(columns), axis=0))

    def limits(self) -> Iterable[Limit]:
        """Yield the limits this is made of."""
        yield from self.part.limits()

    def __str__(self) -> str:
        return f"not ({self.part})"


Rule = Limit | Combined | Negated


def parse_constraints(text: str, columns: Collection[str]) -> Rule:
    """Return the rule that a text states.

    Args:
        text: as a user writes it.
        columns: numeric columns that may be limited.

    Raises:
        ValueError: if the text is no rule, or names another column or one of the test part.

    Example:
        >>> rule = parse_constraints("latency_ms < 5 and flops <= 1e9", ["latency_ms", "flops"])
        >>> str(rule)
        'latency_ms < 5 and flops <= 1e+09'
    """
    return _Parser(text, columns).parse()


def meets(table: pa.Table, text: str) -> NDArray[np.bool_]:
    """Return which trials of a table meet a rule, [num_trials] bool.

    Args:
        table: `Run.trials`, or another table with numeric columns.
        text: such as `latency_ms < 5 and val_accuracy >= 0.9`.

    Raises:
        ValueError: as `parse_constraints`.

    Example:
        >>> table = pa.table({"latency_ms": [1.0, 9.0, None]})
        >>> meets(table, "latency_ms < 5").tolist()
        [True, False, False]
    """
    return parse_constraints(text, numeric_columns(table.schema)).holds(table)


class _Parser:
    """Reads a rule by recursive descent."""

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = text
        self._columns = columns
        self._tokens: list[tuple[str, str]] = []
        self._place = 0
        self._tokens += self._split()

    def parse(self) -> Rule:
        """Return the whole text as a rule."""
        rule = self._any_of(0)
        if self._place < len(self._tokens):
            raise self._error("and, or or the end after a limit")
        return rule

    def _split(self) -> Iterable[tuple[str, str]]:
        place = 0
        text = self._text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise self._error("column names, numbers, < <= > >= == !=, and, or, not and ( )")
            kind = str(match.lastgroup)
            yield kind, match[kind]
            place = match.end()

    def _any_of(self, depth: int) -> Rule:
        return self._chain("or", lambda: self._chain("and", lambda: self._term(depth)))

    def _chain(self, word: Literal["and", "or"], read: Callable[[], Rule]) -> Rule:
        parts = [read()]
        while self._next() == ("word", word):
            self._place += 1
            parts.append(read())
        return parts[0] if len(parts) == 1 else Combined(word, tuple(parts))

    def _term(self, depth: int) -> Rule:
        if depth > MAX_DEPTH:
            raise self._error(f"at most {MAX_DEPTH} levels deep")
        if self._next() == ("word", "not"):
            self._place += 1
            return Negated(self._term(depth + 1))
        if self._next() == ("bracket", "("):
            self._place += 1
            rule = self._any_of(depth + 1)
            self._take("bracket", "a closing )", ")")
            return rule
        return self._limit()

    def _limit(self) -> Limit:
        column = self._take("word", "a column name, not or (")
        if column in _WORDS:
            self._place -= 1
            raise self._error("a column name, not or (")
        if column.startswith("test_"):
            raise ValueError(
                f"constraints must not read the test part, got {column!r}; use "
                f"{column.replace('test_', 'val_', 1)}: what is chosen by the test part can't be "
                "tested by it"
            )
        if column not in self._columns:
            raise ValueError(
                f"constraints must name numeric columns, got {column!r}; choose from "
                f"{', '.join(c for c in self._columns if not c.startswith('test_'))}"
            )
        compare = self._take("operator", "< <= > >= == or != after a column name")
        value = float(self._take("number", f"a number after {compare}"))
        return Limit(column, compare, value)

    def _next(self) -> tuple[str, str] | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _take(self, kind: str, rule: str, text: str | None = None) -> str:
        token = self._next()
        if token is None or token[0] != kind or text not in (None, token[1]):
            raise self._error(rule)
        self._place += 1
        return token[1]

    def _error(self, rule: str) -> ValueError:
        token = self._next()
        where = "" if token is None else f" at {token[1]!r}"
        return ValueError(
            f"constraints must have {rule}, got {self._text!r}{where}; write them as "
            "'latency_ms < 5 and val_accuracy >= 0.9'"
        )
