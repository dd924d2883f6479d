"""SQL that cannot be used: one clear error that says where; spoilt SQL gives a schema or such an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurel import PlurelError, schema_from_sql, schema_from_url
from plurel.sql.schema import SqlSchema

DDL = Path(__file__).parents[1] / "ddl"
TEXTS = {name: (DDL / f"{name}.sql").read_text() for name in ("chinook", "northwind", "sakila", "pagila")}
WORDS = [
    "(", ")", ",", ";", "'", '"', "`", "[", "]", "--", "/*", "$$", "NOT", "NULL", "CHECK", "PRIMARY", "KEY", "UNIQUE",
    "REFERENCES", "FOREIGN", "CREATE", "TABLE", "ALTER", "DOMAIN", "TYPE", "ENUM", "DELIMITER //", "INHERITS (a)", "AS",
    "int", "varchar(0)", "decimal(2, 9)", "tsquery", "x", "1", "-1e999", "\x00", "é", "CHECK (a > b)", "PARTITION OF",
]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("", "no CREATE TABLE"),
        ("  \n", "no CREATE TABLE"),
        ("SELECT 1;", "no CREATE TABLE"),
        ("CREATE TABLE a ();", r"table a has no columns|line 1"),
        ('CREATE TABLE "../../../evil" (x int);', "table ../../../evil: a table's name is a file's"),
        (r'CREATE TABLE "a\b" (x int);', "a table's name is a file's"),
        ('CREATE TABLE ".." (x int);', "a table's name is a file's"),
        (f"CREATE TABLE {'a' * 201} (x int);", "at most 200 bytes"),
        ("CREATE TABLE a (CHECK (1 > 0));", "table a|columns"),
        ("CREATE TABLE a (x int);\n\nCREATE TABLE b (x int y int);", "line 3"),
        ("CREATE TABLE a (x int);\nCREATE TABLE b (x int", "line 2"),
        ("CREATE TABLE a (x text DEFAULT 'no end);", "no SQL"),
        ("CREATE TABLE a AS SELECT 1;", "line 1: table a is created without a list of columns"),
        ("CREATE TABLE a (x int, X text);", "table a, column X is declared twice"),
        ("CREATE TABLE a (x int); CREATE TABLE A (y int);", "table A is declared twice"),
        ("CREATE TABLE a (x int, PRIMARY KEY (y));", r"table a, primary key: there is no column y; there are x"),
        ("CREATE TABLE a (xx int, UNIQUE (xy));", "table a, unique key: there is no column xy; did you mean xx"),
        ("CREATE TABLE a (x int REFERENCES bb); CREATE TABLE b (y int PRIMARY KEY);", "no table bb; did you mean b"),
        ("CREATE TABLE a (x int REFERENCES b (yy)); CREATE TABLE b (y int PRIMARY KEY);", "no column yy; did you"),
        ("CREATE TABLE a (x int REFERENCES b (y)); CREATE TABLE b (y int);", "neither a primary key nor unique"),
        ("CREATE TABLE a (x int REFERENCES b); CREATE TABLE b (y int);", "has no primary key; name the columns"),
        ("CREATE TABLE a (x int REFERENCES b); CREATE TABLE b (y int, z int, PRIMARY KEY (y, z));", "1 columns and"),
        ("CREATE TABLE a (x int REFERENCES b); CREATE TABLE b (y text PRIMARY KEY);",
         r"foreign key \(x\): column x is of type integer and refers to b \(y\) of type text"),
        ("CREATE TABLE a (x json PRIMARY KEY);", "column x of type json cannot be in a key"),
        ("CREATE TABLE a (x tsquery);", "table a, column x: no values can be made for type"),
        ("CREATE TABLE a (x decimal(2, 9));", r"column x: DECIMAL\(2, 9\) must have 0 <= scale"),
        ("CREATE TABLE a (x int, y int GENERATED ALWAYS AS (x * 2) STORED, CHECK (y > 2));", "column y is computed"),
        ("ALTER TABLE a ADD PRIMARY KEY (x);", "ALTER TABLE or INDEX of a, which is not created"),
        ("CREATE TABLE a (LIKE b INCLUDING ALL);", "table a is LIKE another"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(sql: str, words: str) -> None:
    with pytest.raises(PlurelError, match=words):
        schema_from_sql(sql)


def test_files_and_urls(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database")
    for call, argument, words in (
        (schema_from_sql, tmp_path / "none.sql", "none.sql: the schema cannot be read"),
        (schema_from_sql, tmp_path, "cannot be read"),
        (schema_from_url, f"sqlite:///{tmp_path}/none.db", "there is no such file"),
        (schema_from_url, f"sqlite:///{tmp_path}/text.db", "the schema cannot be read"),
        (schema_from_url, "sqlite://", "no CREATE TABLE|no table"),
        (schema_from_url, "nonsense", "the schema cannot be read"),
        (schema_from_url, "oracle+cx_oracle://u@h/d", "is not installed|are not read"),
    ):
        with pytest.raises(PlurelError, match=words):
            call(argument)
    with pytest.raises(PlurelError, match="unknown dialect 'mysqll'; did you mean mysql"):
        schema_from_sql("CREATE TABLE a (x int);", "mysqll")


@st.composite
def spoilt_texts(draw: Any) -> str:
    """A part of a real schema with words deleted, doubled, swapped or replaced."""
    text = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    statements = text.split(";\n")
    first = draw(st.integers(0, len(statements) - 1))
    words = ";\n".join(statements[first : first + draw(st.integers(1, 4))] + [""]).split(" ")
    for _ in range(draw(st.integers(1, 3))):
        i, j = (draw(st.integers(0, len(words) - 1)) for _ in range(2))
        match draw(st.sampled_from(["delete", "double", "swap", "replace", "cut"])):
            case "delete" if len(words) > 1:
                del words[i]
            case "double":
                words.insert(i, words[j])
            case "swap":
                words[i], words[j] = words[j], words[i]
            case "cut":
                words[i] = words[i][: len(words[i]) // 2]
            case _:
                words[i] = draw(st.sampled_from(WORDS))
    return " ".join(words) + "\n"


@given(spoilt_texts(), st.sampled_from([None, "postgres", "mysql", "sqlite"]))
@settings(max_examples=150, deadline=None)
def test_spoilt_text(text: str, dialect: str | None) -> None:
    try:
        schema = schema_from_sql(text, dialect)
    except PlurelError as error:
        assert "SQL text" in str(error)
        return
    assert isinstance(schema, SqlSchema) and all(table.columns for table in schema.tables)
