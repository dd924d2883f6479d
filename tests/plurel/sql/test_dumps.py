"""What dumps, clients and editors write around CREATE TABLE: nothing that they declare is lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from plurel import PlurelError, schema_from_sql

DUMP = r"""\restrict 3kVb
DROP TABLE IF EXISTS public.shop, public.sale;
ALTER TABLE IF EXISTS ONLY public.sale DROP CONSTRAINT IF EXISTS sale_shop;
\connect shop
CREATE TABLE public.shop (id integer NOT NULL, name citext);
COPY public.shop (id, name) FROM stdin;
1\tO'Hara; "half
2\tCREATE TABLE `x` (
\.

ALTER TABLE ONLY public.shop ADD CONSTRAINT shop_pkey PRIMARY KEY (id);
\unrestrict 3kVb
CREATE TABLE public.sale (shop integer, "of" text, partition text);
ALTER TABLE ONLY public.sale ADD CONSTRAINT sale_shop FOREIGN KEY (shop) REFERENCES public.shop (id);
"""


def columns(sql: str, dialect: str | None = None) -> dict[str, dict[str, str]]:
    """Kinds of the columns of each table."""
    return {t.name: {c.name: c.type.kind for c in t.columns} for t in schema_from_sql(sql, dialect).tables}


def test_a_dump_of_postgres_with_its_data() -> None:
    shop, sale = schema_from_sql(DUMP).tables
    assert (shop.primary_key, shop.column("name").type.kind) == (("id",), "text")
    assert [key.parent for key in sale.foreign_keys] == ["shop"]
    assert [column.name for column in sale.columns] == ["shop", "of", "partition"]


def test_a_byte_order_mark_hides_no_table(tmp_path: Path) -> None:
    text = "\ufeffCREATE TABLE a (x int); CREATE TABLE b (x int);"
    (tmp_path / "schema.sql").write_text(text, encoding="utf-8")
    assert set(columns(text)) == set(columns(tmp_path / "schema.sql")) == {"a", "b"}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("CREATE TABLE temp (x int); CREATE TEMP TABLE b (x int);", {"temp": {"x": "integer"}}),
        ("CREATE TABLE a (x int)\nGO\nCREATE TABLE b (y int)\ngo\n", {"a": {"x": "integer"}, "b": {"y": "integer"}}),
        ("CREATE TABLE a (x int, y int, z int); ALTER TABLE a DROP COLUMN x, DROP COLUMN IF EXISTS z;",
         {"a": {"y": "integer"}}),
        ("CREATE TABLE a (x int, y int); ALTER TABLE a ALTER COLUMN x TYPE text USING x::text;",
         {"a": {"x": "text", "y": "integer"}}),
        ("CREATE TABLE `a` (x int, y int); ALTER TABLE a MODIFY x text;", {"a": {"x": "text", "y": "integer"}}),
        ("CREATE TABLE a (x int); DROP TABLE a; CREATE TABLE a (y date);", {"a": {"y": "date"}}),
    ],
)  # fmt: skip
def test_later_statements_are_followed(sql: str, found: dict) -> None:
    assert {name: list(kinds.items()) for name, kinds in columns(sql).items()} == {
        name: list(kinds.items()) for name, kinds in found.items()
    }


def test_whether_a_column_may_be_null_is_followed() -> None:
    sql = "CREATE TABLE a (x int NOT NULL, y int); ALTER TABLE a ALTER x DROP NOT NULL, ALTER y SET NOT NULL;"
    assert [column.nullable for column in schema_from_sql(sql).tables[0].columns] == [True, False]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("CREATE TABLE b (x int)\nCREATE TABLE c (x int);", "line 3: CREATE comes within another statement; end"),
        ("ALTER TABLE a ADD y int\nCREATE TABLE c (x int);", "line 3: CREATE comes within another statement"),
        ("ALTER TABLE a RENAME TO b;", "line 2: ALTER TABLE a RENAME TO b is not followed; write the schema as it is"),
        ("ALTER TABLE a RENAME COLUMN x TO y;", "RENAME COLUMN x TO y is not followed"),
        ("ALTER TABLE a DROP COLUMN x;", "line 2: DROP COLUMN x of table a, which a key"),
        ("ALTER TYPE e ADD VALUE 'z';", "line 2: ALTER TYPE e ADD VALUE 'z' is not followed"),
        ("RENAME TABLE a TO b;", "RENAME TABLE a TO b is not followed"),
    ],
)
def test_what_is_not_followed_is_named(change: str, words: str) -> None:
    with pytest.raises(PlurelError, match=words):
        schema_from_sql("CREATE TABLE a (x int PRIMARY KEY);\n" + change)
