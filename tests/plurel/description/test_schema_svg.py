"""The schema diagram alone is well-formed, complete, and follows no other file."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import plurel


def test_it_shows_every_table_and_key(tmp_path: Path) -> None:
    db = plurel.SyntheticDataset(seed=4).get_db()
    drawn = plurel.draw_schema(db, tmp_path / "schema.svg")
    assert (tmp_path / "schema.svg").read_text(encoding="utf-8") == drawn
    root = ElementTree.fromstring(drawn)
    tables = {node.get("data-table") for node in root.iter("{http://www.w3.org/2000/svg}a")}
    assert tables == set(db.table_dict)
    keys = {(node.get("data-child"), node.get("data-parent")) for node in root.iter() if node.get("data-child")}
    assert keys == {
        (child, parent) for child, table in db.table_dict.items() for parent in table.fkey_col_to_pkey_table.values()
    }


def test_its_colours_are_its_own() -> None:
    drawn = plurel.draw_schema(plurel.SyntheticDataset(seed=4).get_db())
    style = re.search("<style>(.*?)</style>", drawn, re.S).group(1)
    used, given = set(re.findall(r"var\((--[\w-]+)\)", style)), set(re.findall(r"(--[\w-]+):", style))
    assert used <= given
    assert ":root" not in style  # inside a page it must leave the page's colours alone
