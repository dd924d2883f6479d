"""Tables of results as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plurel.files import replacing


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a table whole or not at all, numbers with six digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
