"""SQL text as the statements that declare something; data, views, triggers and functions are not even parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from plurel.errors import PlurelError
from plurel.sql.resolution import nearest

DIALECTS = ("postgres", "mysql", "sqlite")
SAVED = "-- Schema saved by plurel"  # as the first line; PostgreSQL with the integers of DuckDB
_MARKS = {
    "postgres": (SAVED.casefold(),),
    "mysql": ("`", "auto_increment", "engine=", "engine =", "delimiter "),
    "sqlite": ("autoincrement", "pragma ", "without rowid"),
}
_BRACKETED = re.compile(r"\[([^\[\]]+)\]")  # names as SQL Server writes them, which SQLite accepts
_VERSIONED = re.compile(r"/\*!\d*(.*?)\*/", re.DOTALL)  # comments that MySQL runs
_DELIMITED = re.compile(r"^\s*DELIMITER\s+(?!;\s*$)\S+\s*$.*?^\s*DELIMITER\s+;\s*$", re.DOTALL | re.MULTILINE | re.I)
_COPIED = re.compile(r"^COPY\s[^;]*?\sFROM\s+stdin[^;]*;[ \t\r]*$.*?^\\\.[ \t\r]*$", re.DOTALL | re.MULTILINE | re.I)
_OF_CLIENT = re.compile(r"^\\.*$", re.MULTILINE)  # such as \connect, which ends without a semicolon
_BATCH_END = re.compile(r"^[ \t]*GO[ \t\r]*$", re.MULTILINE | re.I)  # of SQL Server's clients
_CHANGES = {"ADD", "SET", "DROP", "TYPE", "RENAME", "MODIFY", "CHANGE"}
_SRID = re.compile(r"\bSRID\s+\d+", re.I)


@dataclass(frozen=True)
class Statement:
    """One statement. `line` is where it begins.

    Attributes:
        kind: table, domain (read as a table of one column), partition (`name` belongs to another table) or other.
    """

    kind: str
    line: int
    parsed: exp.Expression | None = None
    name: str = ""


def statements(text: str, dialect: str | None, source: str) -> Iterator[Statement]:
    """What the text declares, in its order.

    Args:
        dialect: postgres, mysql or sqlite; None: whichever the text looks like, postgres where nothing tells.

    Raises:
        PlurelError: for an unknown dialect, or text that is no SQL of it, naming the line.
    """
    text = _BATCH_END.sub(";", _OF_CLIENT.sub(_blank, _COPIED.sub(_blank, text)))
    if dialect is None:
        lowered = text.casefold()
        dialect = next((d for d, marks in _MARKS.items() if any(mark in lowered for mark in marks)), "postgres")
    if dialect not in DIALECTS:
        raise PlurelError(f"{source}: unknown dialect {dialect!r}; {nearest(str(dialect), DIALECTS)}")
    if dialect == "mysql":
        text = _SRID.sub(_blank, _VERSIONED.sub(r"\1", _DELIMITED.sub(_blank, text)))
    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except (SqlglotError, ValueError, IndexError) as error:
        raise PlurelError(f"{source}: this is no SQL of dialect {dialect} ({_short(error)})") from error
    start = 0
    for i, token in enumerate([*tokens, None]):
        if token is None or token.token_type == TokenType.SEMICOLON:
            statement, start = tokens[start:i], i + 1
            if statement:
                yield from _declarations(statement, text, dialect, source)


def _declarations(tokens: list[Token], text: str, dialect: str, source: str) -> Iterator[Statement]:
    words = [token.text.upper() for token in tokens]
    line, first = tokens[0].line, words[:2]
    is_table = first[:1] == ["CREATE"] and "TABLE" in words[:4]
    if is_table and {"TEMP", "TEMPORARY"} & set(words[: words.index("TABLE")]):
        return
    if (first == ["ALTER", "TYPE"] and {"VALUE", "RENAME"} & set(words)) or first[0] == "RENAME":
        raise not_followed(_sql(tokens, text), f"{source}, line {line}")
    if first == ["CREATE", "DOMAIN"]:
        yield Statement("domain", line, _parsed(_domain_as_table(tokens, text), dialect, line, source))
    elif is_table:
        columns = _without_options(tokens)
        rest = words[len(columns) :]
        _check_end(tokens[len(columns) :], source)
        name, end = _dotted_name(tokens, _before_name(words))
        if "INHERITS" in rest or words[end : end + 2] == ["PARTITION", "OF"]:
            yield Statement("partition", line, name=name)
            return
        parsed = _parsed(_sql(columns, text), dialect, line, source)
        if isinstance(parsed, exp.Command):
            shown = " ".join(_sql(columns, text).split())[:60]
            raise PlurelError(f"{source}, line {line}: {shown} ... cannot be read as SQL of {dialect}")
        yield Statement("table", line, parsed)
    elif first == ["ALTER", "TABLE"] and "ATTACH" in words and "PARTITION" in words:
        yield Statement("partition", line, name=_dotted_name(tokens, words.index("PARTITION"))[0])
    elif first == ["ALTER", "TABLE"] and not _CHANGES & set(words):
        return  # such as OWNER TO
    elif first in (["CREATE", "TYPE"], ["ALTER", "TABLE"], ["CREATE", "UNIQUE"], ["DROP", "TABLE"]):
        _check_end(tokens[1:], source)
        yield Statement("other", line, _parsed(_sql(tokens, text), dialect, line, source))


def _parsed(sql: str, dialect: str, line: int, source: str) -> exp.Expression:
    sql = _BRACKETED.sub(r'"\1"', sql) if dialect == "sqlite" else sql
    try:
        return sqlglot.parse_one(sql, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    except RecursionError as error:
        raise PlurelError(f"{source}, line {line}: the statement is nested too deeply") from error
    except (SqlglotError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise PlurelError(f"{source}, line {line}: {_short(error)} (dialect {dialect})") from error


def _sql(tokens: list[Token], text: str) -> str:
    return text[tokens[0].start : tokens[-1].end + 1]


def _domain_as_table(tokens: list[Token], text: str) -> str:
    """CREATE DOMAIN name AS type ... as a table `name` whose one column VALUE has that type and its constraints."""
    names = [i for i, token in enumerate(tokens) if token.text.upper() == "AS"]
    start = names[0] + 1 if names and names[0] <= 5 else 3
    declared = _sql(tokens[2 : names[0] if start != 3 else 3], text)
    return f"CREATE TABLE {declared} (VALUE {_sql(tokens[start:], text) if tokens[start:] else ''})"


def _without_options(tokens: list[Token]) -> list[Token]:
    """A CREATE TABLE up to the bracket that ends its columns: engines and the like do not matter here."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if token.token_type == TokenType.R_PAREN and not depth:
            return tokens[: i + 1]
    return tokens


def _check_end(tokens: list[Token], source: str) -> None:
    """Refuses a second statement among the last tokens of one, which would be lost."""
    for token in tokens:
        if token.token_type == TokenType.CREATE:
            raise PlurelError(f"{source}, line {token.line}: CREATE comes within another statement; end that with a ;")


def not_followed(sql: str, where: str) -> PlurelError:
    """The error for a statement that changes what an earlier one declares, such as RENAME."""
    return PlurelError(f"{where}: {' '.join(sql.split())[:60]} is not followed; write the schema as it is after it")


def _before_name(words: list[str]) -> int:
    """Where the word before the name in CREATE TABLE [IF NOT EXISTS] name is."""
    at = words.index("TABLE")
    return at + 3 if words[at + 1 : at + 4] == ["IF", "NOT", "EXISTS"] else at


def _dotted_name(tokens: list[Token], at: int) -> tuple[str, int]:
    """The last part of the dotted name that follows token `at`, and the token behind it."""
    end = at + 2
    while end + 1 < len(tokens) and tokens[end].token_type == TokenType.DOT:
        end += 2
    return (tokens[end - 1].text if end <= len(tokens) else ""), end


def _blank(match: re.Match) -> str:
    return "\n" * match.group().count("\n")  # so that later lines keep their numbers


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].replace("\033[4m", "").replace("\033[0m", "")
