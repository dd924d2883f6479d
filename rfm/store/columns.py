"""What a stored column is: its semantic type, and its values as numbers or text.

    arrow type                        semantic type   value
    bool                              BOOLEAN         0 or 1
    integer, floating, decimal        NUMBER          as it is
    timestamp, date                   DATETIME        seconds since 1970 (UTC)
    dictionary (pandas' category),
    string and everything else        TEXT            str() of the value

Missing, and so without a cell: null, NaN, NaT, and numbers that float32 cannot hold (infinities among them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rfm.errors import RfmError
from rfm.store.format import SemType

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class ColumnValues:
    """One column of n rows."""

    sem_type: SemType
    valid: np.ndarray  # bool (n,), False where there is no cell
    value: np.ndarray  # float64 (n,), raw; 0 where not valid and for text
    text: np.ndarray | None  # int32 (n,), index into `strings`, -1 where not valid; None unless text
    strings: list[str]  # unique strings of the column


def is_number_type(kind: pa.DataType) -> bool:
    """Whether a column of this type becomes a NUMBER."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def read_column(array: pa.ChunkedArray) -> ColumnValues:
    """Types and converts one column."""
    kind = array.type
    if pa.types.is_boolean(kind):
        return _numeric(SemType.BOOLEAN, to_float(array))
    if is_number_type(kind):
        return _numeric(SemType.NUMBER, to_float(array))
    if _is_time_type(kind):
        seconds, fraction, valid = to_seconds(array)
        return _numeric(SemType.DATETIME, np.where(valid, seconds + fraction * 1e-9, np.nan))
    return _text(array)


def to_float(array: pa.ChunkedArray) -> np.ndarray:
    """float64 (n,) of a boolean, number or null column, NaN where null."""
    return pc.fill_null(array.cast(pa.float64(), safe=False), np.nan).to_numpy()


def to_seconds(array: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(seconds int64, rounded down; nanoseconds past them int64; valid bool), each (n,), of a timestamp or date."""
    kind = array.type
    valid = np.asarray(pc.is_valid(array).to_numpy(), dtype=bool)
    if pa.types.is_date(kind):
        array, unit = array.cast(pa.timestamp("s")), "s"
    else:
        unit = kind.unit
    raw = pc.fill_null(array.cast(pa.int64()), 0).to_numpy()
    seconds, rest = np.divmod(raw, _UNITS_PER_SECOND[unit])
    return seconds, rest * (10**9 // _UNITS_PER_SECOND[unit]), valid


def time_column(array: pa.ChunkedArray, what: str, column: str) -> pa.ChunkedArray:
    """The array itself, once its type is that of a time column.

    Raises:
        RfmError: naming `what` and the column, for other than timestamps and dates.
    """
    if not _is_time_type(array.type):
        raise RfmError(f"{what}: time column {column!r} must be a timestamp or date, got {array.type}")
    return array


def mean_std(values: np.ndarray) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof 1), as pandas has them.

    The deviation is 1 where it is zero or undefined; without any value the result is (0, 1).
    """
    if len(values) == 0:
        return 0.0, 1.0
    if values.min() == values.max():  # rounding of the mean must not leave a deviation of 1e-17
        return float(values[0]), 1.0
    std = float(values.std(ddof=1))
    return float(values.mean()), std if std > 0 and np.isfinite(std) else 1.0


def _is_time_type(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def _numeric(sem_type: SemType, value: np.ndarray) -> ColumnValues:
    valid = np.abs(value) <= _FLOAT32_MAX  # False for NaN
    return ColumnValues(sem_type, valid, np.where(valid, value, 0.0), None, [])


def _text(array: pa.ChunkedArray) -> ColumnValues:
    if pa.types.is_dictionary(array.type):
        encoded = array.unify_dictionaries().combine_chunks()
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        encoded = array.dictionary_encode().combine_chunks()
    else:  # lists, structs, times of day: rare, and only python knows how they read
        strings = [None if v is None else str(v) for v in array.to_pylist()]
        encoded = pa.chunked_array([pa.array(strings, pa.string())]).dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no chunk at all
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], encoded.type)
    code = pc.fill_null(encoded.indices.cast(pa.int32()), -1).to_numpy(zero_copy_only=False)
    values = encoded.dictionary.to_pylist()
    known = np.array([v is not None for v in values] + [False])  # a dictionary may itself hold a null
    text = np.where(known[code], code, -1).astype(np.int32)
    strings = ["" if v is None else str(v) for v in values]
    return ColumnValues(SemType.TEXT, text >= 0, np.zeros(len(text)), text, strings)
