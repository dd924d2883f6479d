"""What a stored column is: its semantic type, and its values as numbers or text.

    arrow type                        semantic type   value
    bool                              BOOLEAN         0 or 1
    integer, floating, decimal        BOOLEAN         where both 0 and 1 occur and nothing else,
                                      NUMBER          as it is, otherwise
    duration                          NUMBER          seconds
    timestamp, date                   DATETIME        seconds since 1970 (UTC)
    dictionary (pandas' category
    of strings), string and
    everything else                   TEXT            str() of the value; a list is one string, such as "[1, 2]"

So a category of strings is TEXT, one string per level. Parquet keeps a category of integers as integers, and codes of
categories look like numbers. The dataset's manifest can say otherwise, column by column, under a key that relbench
leaves alone:

    tables:
      orders:
        pkey: order_id
        sem_types: {status_code: text, is_paid: boolean}     # number | boolean | datetime | text

Missing, and so without a cell: null, NaN, NaT, and numbers that float32 cannot hold (infinities among them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rfm.errors import RfmError
from rfm.store.format import SemType

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST_SECOND, _LAST_SECOND = (int(t.timestamp()) for t in (pd.Timestamp.min.ceil("s"), pd.Timestamp.max.floor("s")))


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


def read_column(array: pa.ChunkedArray, wanted: SemType | None, what: str) -> ColumnValues:
    """Types and converts one column; `wanted` takes the place of the rule above.

    Raises:
        RfmError: naming `what`, where the values cannot be of the wanted type.
    """
    kind = array.type
    if wanted is SemType.TEXT:
        return _text(to_strings(array))
    if pa.types.is_null(kind) and wanted is not None:
        return _numeric(wanted, to_float(array))
    if pa.types.is_boolean(kind) or is_number_type(kind) or pa.types.is_duration(kind):
        return _number_or_boolean(to_float(array), wanted, pa.types.is_boolean(kind), what)
    if _is_time_type(kind):
        found = SemType.DATETIME
        seconds, fraction, valid = to_seconds(array)
        values = _numeric(found, np.where(valid, seconds + fraction * 1e-9, np.nan))
    else:
        found, values = SemType.TEXT, _text(array)
    if wanted not in (None, found):
        raise RfmError(f"{what}: {kind} cannot be read as {wanted.name.lower()}, as the manifest's sem_types want it")
    return values


def _number_or_boolean(value: np.ndarray, wanted: SemType | None, is_boolean: bool, what: str) -> ColumnValues:
    known = value[~np.isnan(value)]
    is_binary = bool(np.isin(known, (0.0, 1.0)).all())
    if wanted is SemType.DATETIME or (wanted is SemType.BOOLEAN and not is_binary):
        wrong = "a number" if wanted is SemType.DATETIME else f"{known[~np.isin(known, (0.0, 1.0))][0]:g}"
        raise RfmError(f"{what}: {wrong} cannot be read as {wanted.name.lower()}, as the manifest's sem_types want it")
    both_occur = is_binary and len(known) > 0 and known.min() != known.max()
    by_rule = SemType.BOOLEAN if is_boolean or both_occur else SemType.NUMBER
    return _numeric(by_rule if wanted is None else wanted, value)


def to_float(array: pa.ChunkedArray) -> np.ndarray:
    """float64 (n,) of a boolean, number, duration (in seconds) or null column, NaN where null."""
    if pa.types.is_duration(array.type):
        return to_float(array.cast(pa.int64())) / _UNITS_PER_SECOND[array.type.unit]
    return pc.fill_null(array.cast(pa.float64(), safe=False), np.nan).to_numpy()


def to_seconds(array: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(seconds int64, rounded down; nanoseconds past them int64; valid bool), each (n,), of a timestamp or date."""
    kind = array.type
    valid = np.asarray(pc.is_valid(array).to_numpy(), dtype=bool)
    if pa.types.is_date(kind):
        array, unit = array.cast(pa.timestamp("s"), safe=False), "s"
    else:
        unit = kind.unit
    raw = pc.fill_null(array.cast(pa.int64()), 0).to_numpy()
    seconds, rest = np.divmod(raw, _UNITS_PER_SECOND[unit])
    return seconds, rest * (10**9 // _UNITS_PER_SECOND[unit]), valid


def to_strings(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as strings, null where missing; whole numbers without a decimal point."""
    kind = array.type
    if not is_number_type(kind):
        return array.cast(pa.string()) if pa.types.is_boolean(kind) or _is_time_type(kind) else array
    if not pa.types.is_integer(kind):
        value = to_float(array)
        array = pa.chunked_array([pa.array(value, from_pandas=True)])
        known = value[~np.isnan(value)]
        if (np.abs(known) < 2**53).all() and (known == np.floor(known)).all():
            array = array.cast(pa.int64())
    return array.cast(pa.string())


def check_time_column(array: pa.ChunkedArray, what: str, column: str) -> pa.ChunkedArray:
    """The array itself, if it can be a time column.

    Raises:
        RfmError: naming `what`, the column and the row, for other than timestamps and dates, and for times that
            relbench and pandas cannot hold in nanoseconds, such as 9999-12-31 in place of "unknown".
    """
    if not _is_time_type(array.type):
        first = f"; row 0 holds {array[0].as_py()!r}" if len(array) else ""
        raise RfmError(f"{what}: time column {column!r} must be a timestamp or date, got {array.type}{first}")
    seconds, _, valid = to_seconds(array)
    outside = valid & ((seconds < _FIRST_SECOND) | (seconds > _LAST_SECOND))
    if outside.any():
        row = int(np.argmax(outside))
        time = np.datetime64(int(seconds[row]), "s")
        raise RfmError(
            f"{what}: time column {column!r} has {time} in row {row}; times must lie between 1677-09-22 and 2262-04-11 "
            "(leave an unknown time empty)"
        )
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
