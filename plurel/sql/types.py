"""Types of SQL dialects as plurel.sql.schema.ColumnType, by way of sqlglot's names for them."""

from __future__ import annotations

from sqlglot import exp

from plurel.errors import PlurelError
from plurel.sql.schema import Column, ColumnType

_INTEGER_BITS = {
    "TINYINT": 8,
    "SMALLINT": 16,
    "SMALLSERIAL": 16,
    "YEAR": 16,
    "MEDIUMINT": 32,
    "INT": 32,
    "INTEGER": 32,
    "SERIAL": 32,
    "BIGINT": 64,
    "BIGSERIAL": 64,
    "INT128": 128,
    "HUGEINT": 128,
}
_KINDS = {
    "decimal": "DECIMAL DECIMAL32 DECIMAL64 DECIMAL128 UDECIMAL MONEY SMALLMONEY BIGDECIMAL",
    "real": "FLOAT DOUBLE UDOUBLE",
    "text": "CHAR NCHAR VARCHAR NVARCHAR BPCHAR NAME TEXT TINYTEXT MEDIUMTEXT LONGTEXT CITEXT ENUM SET TSVECTOR",
    "boolean": "BOOLEAN",
    "date": "DATE DATE32",
    "time": "TIME TIMETZ",
    "timestamp": "TIMESTAMP TIMESTAMPTZ TIMESTAMPLTZ TIMESTAMPNTZ DATETIME DATETIME2 DATETIME64 SMALLDATETIME",
    "binary": "BLOB TINYBLOB MEDIUMBLOB LONGBLOB BINARY VARBINARY IMAGE",
    "interval": "INTERVAL",
    "uuid": "UUID",
    "json": "JSON JSONB",
    "geometry": "GEOMETRY",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_BOUNDS = {"YEAR": (1901.0, 2155.0), "MEDIUMINT": (-(2.0**23), 2.0**23 - 1), "UMEDIUMINT": (0.0, 2.0**24 - 1)}


def declared_column(name: str, kind: exp.DataType | None, where: str) -> Column:
    """A column of that type which may be NULL, with the values that an ENUM (or SET: one of its members) allows.

    Args:
        name: of the column.
        kind: as sqlglot read it; None for a column of SQLite without a type, which is taken for text.
        where: file, table and column, for messages.

    Raises:
        PlurelError: for a type that no value can be made for.
    """
    if kind is None:
        return Column(name, ColumnType("text"))
    declared = type_name(kind)
    if declared in ("ENUM", "SET") and kind.expressions:
        return Column(name, ColumnType("text"), values=tuple(value.name for value in kind.expressions))
    low, high = _BOUNDS.get(declared, (None, None))
    return Column(name, _column_type(kind, declared, where), low=low, high=high)


def type_name(kind: exp.DataType | None) -> str:
    """The last word of a type's name in upper case: of sqlglot's own, or of one that it does not know."""
    if kind is None:
        return ""
    own = kind.args.get("kind")
    if own is None:
        return kind.this.name if isinstance(kind.this, exp.DType) else str(kind.this).upper()
    return (own if isinstance(own, str) else own.name).split(".")[-1].strip('"').upper()


def _column_type(kind: exp.DataType, name: str, where: str) -> ColumnType:
    numbers = [int(p.this.name) for p in kind.expressions if isinstance(p, exp.DataTypeParam) and p.this.is_int]
    if name == "ARRAY" and len(kind.expressions) == 1:
        element = declared_column("", kind.expressions[0], where).type
        if element.kind not in ("integer", "decimal", "real", "text", "boolean"):
            raise PlurelError(f"{where}: arrays of {kind.expressions[0].sql()} are not made; only of numbers and texts")
        return ColumnType("array", element=element)
    if name.removeprefix("U") in _INTEGER_BITS:
        if name == "TINYINT" and numbers == [1]:  # what MySQL writes for BOOLEAN
            return ColumnType("boolean")
        return ColumnType("integer", bits=_INTEGER_BITS[name.removeprefix("U")], is_unsigned=name[0] == "U")
    if name == "BIT" and numbers in ([], [1]):
        return ColumnType("boolean")
    if name not in _KIND_OF:
        raise PlurelError(
            f"{where}: no values can be made for type {kind.sql()}; known are integers, decimals, reals, texts, "
            "booleans, dates, times, timestamps, intervals, binaries, uuid, json, geometries, arrays, enumerations "
            "and domains"
        )
    if _KIND_OF[name] == "decimal":
        precision, scale = [*numbers, 0][:2] if numbers else (18, 4)
        if not 0 <= scale <= precision or precision < 1:
            raise PlurelError(f"{where}: DECIMAL({precision}, {scale}) must have 0 <= scale <= precision")
        return ColumnType("decimal", precision=precision, scale=scale)
    if _KIND_OF[name] in ("text", "binary"):
        is_letter = name in ("CHAR", "NCHAR") and not numbers  # CHAR is CHAR(1)
        length = numbers[0] if numbers else 1 if is_letter else None
        if length == 0:
            raise PlurelError(f"{where}: a text of length 0 holds nothing; give it at least one character")
        return ColumnType(_KIND_OF[name], length=length)
    return ColumnType(_KIND_OF[name])
