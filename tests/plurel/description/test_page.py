"""The page as a whole: well formed, self-contained, safe against any name, complete, small."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from relbench.base import Database, Table

from plurel import Config, PlurelError, SyntheticDataset, describe
from plurel.description.causal_graph import draw_causal_graph
from plurel.description.page import amount, percent
from plurel.keys import open_database
from plurel.scm import TableSCM

EVIL = '<script>alert("x")</script>&\'"'
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags and texts of a page; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check(html: str, db: Database) -> Page:
    """What holds for every page."""
    page = Page(html)
    assert len(html.encode()) < 3e6
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed"}
        assert not attributes.keys() & {"src", "srcset", "data", "action"}
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"https?:|@import|url\(", html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for _, a in page.tags if "href" in a} <= set(ids)
    for drawing in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        assert "nan" not in re.sub(r"<(title|text)[^>]*>[^<]*|aria-label=\"[^\"]*\"", "", drawing)
        ElementTree.fromstring(drawing)
    headings = "".join(page.texts)
    assert all(str(name) in headings for name in db.table_dict)
    return page


def test_real_and_synthetic_databases(large: Database | Path) -> None:
    db = open_database(large)
    page = check(describe(large), db)
    cards = sum("card" in (attributes.get("class") or "").split() for _, attributes in page.tags)
    keys = sum(len(t.fkey_col_to_pkey_table) for t in db.table_dict.values())
    columns = sum(len(t.df.columns) - (t.pkey_col is not None) for t in db.table_dict.values())
    assert cards == columns  # one per foreign key, and one per column that is no key
    assert sum("reference" in (a.get("class") or "").split() for _, a in page.tags) == keys
    assert f"{sum(map(len, db.table_dict.values())):,}" in page.texts


@pytest.mark.parametrize(("prior", "seed"), [("paper", 1), ("main", 3), ("diverse", 5)])
def test_synthetic_databases_show_their_causal_models(prior: str, seed: int, tmp_path: Path) -> None:
    dataset = SyntheticDataset(seed, Config.preset(prior))
    db = dataset.make_db()
    html = describe(db, tmp_path / "new" / "page.html", dataset=dataset)
    page = check(html, db)
    assert (tmp_path / "new" / "page.html").read_text() == html
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["page.html"]
    assert page.texts.count("Causal model") == len(db.table_dict)
    assert f"{prior}-{seed}" in page.texts
    assert describe(db, dataset=dataset) == html


def test_a_causal_drawing_shows_the_graph() -> None:
    dataset = SyntheticDataset(3)
    db = dataset.make_db()
    for schema in dataset.schema.tables[:6]:
        drawn = draw_causal_graph(dataset, schema.name, db.table_dict[schema.name])
        graph = TableSCM(3, schema, dataset.config).graph
        paths = len(re.findall('class="cause"', drawn.drawing))
        nodes = len(re.findall('class="node ', drawn.drawing))
        assert (paths, nodes) == (drawn.num_edges, drawn.num_nodes)
        assert nodes + drawn.num_unused == len(graph) and paths <= graph.number_of_edges()
        assert len(re.findall("<text", drawn.drawing)) == schema.num_columns
        kept = [column for column in db.table_dict[schema.name].df if column.startswith("feature_")]
        assert schema.num_columns - drawn.num_dropped == len(kept)


def test_names_are_escaped_everywhere() -> None:
    parent = pd.DataFrame({EVIL: [0, 1, 2], f"a{EVIL}": [EVIL, "b", "b"]})
    child = pd.DataFrame(
        {EVIL: [0, 1, 1] * 20, f"t{EVIL}": pd.date_range("2020", periods=60), "x": np.arange(60.0), "y": [EVIL] * 60}
    )
    db = Database({EVIL: Table(parent, {}, EVIL, None), f"c{EVIL}": Table(child, {EVIL: EVIL}, None, f"t{EVIL}")})
    html = describe(db)
    assert EVIL not in html and "<script>alert" not in html
    assert EVIL in check(html, db).texts


def test_awkward_and_tiny_databases(awkward: Database) -> None:
    check(describe(awkward), awkward)
    lonely = Database({"only": Table(pd.DataFrame({"v": [np.inf, np.nan, 1.0]}), {}, None, None)})
    assert "Degrees" not in check(describe(lonely), lonely).texts
    missing = Database({"gone": Table(pd.DataFrame({"v": [None, None]}), {}, None, None)})
    assert "all values are missing" in check(describe(missing), missing).texts
    child = Table(pd.DataFrame({"p": [7]}), {"p": "a"}, None, None)
    stray = Database({"a": Table(pd.DataFrame({"id": [1]}), {}, "id", None), "b": child})
    with pytest.raises(PlurelError, match=r"b\.p: 1 rows point to no row of a\.id"):
        describe(stray)


def test_crow_feet_say_what_the_data_say() -> None:
    """One parent each, several children: a foot; a childless parent or a missing key: a circle."""
    parent = Table(pd.DataFrame({"id": [0, 1]}), {}, "id", None)

    def marks(keys: list[int | None]) -> tuple[int, int]:
        child = Table(pd.DataFrame({"p": pd.array(keys, dtype="Int64")}), {"p": "a"}, None, None)
        html = describe(Database({"a": parent, "b": child}))
        reference = re.search(r'<g class="reference.*?</g>', html, flags=re.DOTALL).group()
        return len(re.findall(r'd="M[^"]*L[^"]*L', reference)), reference.count("<circle")

    assert marks([0, 1]) == (0, 0)
    assert marks([0, 1, 1]) == (1, 0)
    assert marks([0, 0]) == (1, 1)
    assert marks([0, None]) == (0, 2)


def test_numbers_read_well() -> None:
    assert [amount(x) for x in (0.0, -3.0, 12345.0, 0.000314, -1.5e20, float("nan"))] == [
        "0", "−3", "12,345", "0.000314", "−1.5e20", "–",
    ]  # fmt: skip
    assert [percent(x) for x in (0, 0.0004, 0.021, 0.5, 0.9996, 1)] == [
        "0 %",
        "< 0.1 %",
        "2.1 %",
        "50 %",
        "> 99.9 %",
        "100 %",
    ]


def test_describing_needs_no_torch() -> None:
    code = (
        "import sys, plurel\nds = plurel.SyntheticDataset(0)\nplurel.describe(ds.make_db(), dataset=ds)\n"
        "print(sorted({'torch', 'matplotlib', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
