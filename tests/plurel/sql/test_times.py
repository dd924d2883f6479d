"""Times of declared tables: ascending, spread over the window, and never before what a row points to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plurel import SyntheticDataset

SHOP = """CREATE TABLE shop (id int PRIMARY KEY, opened timestamp NOT NULL);
CREATE TABLE line (id int PRIMARY KEY, shop int REFERENCES shop, size real);
CREATE TABLE sale (id int PRIMARY KEY, at timestamp NOT NULL, line int NOT NULL REFERENCES line, price real);
CREATE TABLE bill (nr int PRIMARY KEY, at timestamp UNIQUE NOT NULL, shop int NOT NULL REFERENCES shop, sum real);"""


@pytest.mark.parametrize("seed", range(3))
def test_no_row_is_older_than_what_it_points_to(seed: int, dataset: Callable[..., SyntheticDataset]) -> None:
    made = dataset(SHOP, seed, rows={"shop": 50, "line": 100, "sale": 2000, "bill": 500})
    db = made.make_db()
    shop, line, sale, bill = (db.table_dict[name].df for name in ("shop", "line", "sale", "bill"))
    opened = line["shop"].map(shop["opened"])[sale["line"]].reset_index(drop=True)  # through a table without time
    assert opened.notna().any() and (sale["at"] >= opened)[opened.notna()].all()
    assert all(times.is_monotonic_increasing for times in (shop["opened"], sale["at"], bill["at"]))
    assert bill["at"].is_unique
    assert 0.4 < (sale["at"] <= made.val_timestamp).mean() < 0.9
    assert sale["id"].tolist() == list(range(2000))
