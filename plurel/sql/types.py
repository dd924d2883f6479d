"""Types of SQL dialects as plurel.sql.schema.ColumnType, by way of sqlglot's names for them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from plurel.errors import PlurelError
from plurel.sql.schema import ColumnType

_INTEGER_BITS = {
    "TINYINT": 8,
    "SMALLINT": 16,
    "SMALLSERIAL": 16,
    "YEAR": 16,
    "MEDIUMINT": 24,
    "INT": 32,
    "SERIAL": 32,
    "BIGINT": 64,
    "BIGSERIAL": 64,
}
_KINDS = {
    "decimal": "DECIMAL DECIMAL32 DECIMAL64 DECIMAL128 UDECIMAL MONEY SMALLMONEY BIGDECIMAL",
    "real": "FLOAT DOUBLE UDOUBLE",
    "text": "CHAR NCHAR VARCHAR NVARCHAR BPCHAR NAME TEXT TINYTEXT MEDIUMTEXT LONGTEXT ENUM SET",
    "boolean": "BOOLEAN",
    "date": "DATE DATE32",
    "time": "TIME TIMETZ",
    "timestamp": "TIMESTAMP TIMESTAMPTZ TIMESTAMPLTZ TIMESTAMPNTZ DATETIME DATETIME2 DATETIME64 SMALLDATETIME",
    "binary": "BLOB TINYBLOB MEDIUMBLOB LONGBLOB BINARY VARBINARY IMAGE",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}

Values = tuple[str | int | float, ...]


def column_type(kind: exp.DataType | None, enums: Mapping[str, Values], where: str) -> tuple[ColumnType, Values | None]:
    """The type of a column, and the values that an ENUM (or SET: one of its members) allows.

    Args:
        kind: as sqlglot read it; None for a column of SQLite without a type, which is taken for text.
        enums: values of the types that the schema creates itself, by their name in lower case.
        where: file, table and column, for messages.

    Raises:
        PlurelError: for a type that no value can be made for.
    """
    if kind is None:
        return ColumnType("text"), None
    name = kind.this.name
    if name == "USERDEFINED":
        own = kind.args["kind"]
        declared = own if isinstance(own, str) else own.name
        if declared.casefold() not in enums:
            raise PlurelError(f"{where}: unknown type {kind.sql()}; {_known_types(enums)}")
        return ColumnType("text"), enums[declared.casefold()]
    numbers = [int(p.this.name) for p in kind.expressions if isinstance(p, exp.DataTypeParam) and p.this.is_int]
    if name.removeprefix("U") in _INTEGER_BITS:
        if name == "TINYINT" and numbers == [1]:  # what MySQL writes for BOOLEAN
            return ColumnType("boolean"), None
        return ColumnType("integer", bits=_INTEGER_BITS[name.removeprefix("U")], is_unsigned=name[0] == "U"), None
    if name == "BIT" and numbers in ([], [1]):
        return ColumnType("boolean"), None
    if name not in _KIND_OF:
        raise PlurelError(f"{where}: no values can be made for type {kind.sql()}; {_known_types(enums)}")
    if _KIND_OF[name] == "decimal":
        precision, scale = [*numbers, 0][:2] if numbers else (18, 4)
        return ColumnType("decimal", precision=precision, scale=scale), None
    if name in ("ENUM", "SET"):
        return ColumnType("text"), tuple(value.name for value in kind.expressions)
    if _KIND_OF[name] == "text":
        is_letter = name in ("CHAR", "NCHAR") and not numbers  # CHAR is CHAR(1)
        return ColumnType("text", length=numbers[0] if numbers else 1 if is_letter else None), None
    return ColumnType(_KIND_OF[name]), None


def _known_types(enums: Mapping[str, Values]) -> str:
    own = f" and those created here ({', '.join(enums)})" if enums else ""
    return (
        f"known are integers, decimals, reals, texts, booleans, dates, times, timestamps, binaries, enumerations{own}"
    )
