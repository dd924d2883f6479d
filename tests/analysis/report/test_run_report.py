"""The report parses, loads nothing from a network, escapes what it shows, and tells the bad news."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.report import write_report
from analysis.report.data_card import DataCard
from analysis.report.joint import joint_section
from analysis.report.page import duration
from analysis.report.run_files import RunFiles
from analysis.report.run_report import limits
from analysis.report.transfer_table import lift_verdict, score_text, transfer_rows, transfer_verdict

VOID = {"meta", "img", "br", "source", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects text, tags and attributes, and checks that every tag is closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "srcset", "href", "action", "data", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text += data


def read_page(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    page.text = re.sub(r"\s+", " ", page.text)
    return page


def test_report_is_whole_and_self_contained(make_run: Callable) -> None:
    run_dir = make_run()
    path = write_report(run_dir)
    assert path == run_dir / "report.html" and not list(run_dir.glob("*.tmp"))
    page = read_page(path)
    assert page.references and all(r.startswith("data:image/svg+xml;base64,") for r in page.references)
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg\")|@import|url\((?!#)|fetch\(|innerHTML =", path.read_text()
    )
    assert not {"link", "iframe"} & set(page.tags)
    assert path.stat().st_size < 5e6
    assert "prefers-color-scheme: dark" in path.read_text()


def test_report_tells_laws_errors_transfer_and_provenance(make_run: Callable, grid_results: pd.DataFrame) -> None:
    text = read_page(write_report(make_run())).text
    num_cells = len(grid_results)
    for wanted in (
        f"{num_cells} cells, {1.5 * num_cells:.1f} s one after another",
        "0.07 N−0.38 + 0.36",
        "0.02 S−0.46 + 0.36",
        "Another scale than the paper's.",
        "error of the excess over the floor",
        "only one distinct x more than parameters",
        "label history",
        "−341.0",
        "−344.5",
        "0 of 2 zero-shot",
        "1 of 2 fine-tuned",
        "3 held-out synthetic databases",
        "4 min 11 s",
        "torch==2.13.0",
        "python -m experiments.scaling",
        "changes that are not in the commit",
        "with one seed",
        "95 % interval of the exponent",
        "“temporal”",
    ):
        assert wanted in text, wanted


def test_run_without_extras_says_what_is_not_recorded(make_run: Callable) -> None:
    text = read_page(write_report(make_run(extras=False))).text
    assert text.count("not recorded") >= 6
    assert "no law was fitted" in text and "No transfer was run." in text and "has no data card" in text


def test_diverged_cells_are_counted_and_not_hidden(make_run: Callable) -> None:
    run_dir = make_run()
    for path in (run_dir / "results").glob("n1-*.parquet"):
        pd.read_parquet(path).assign(value=float("nan")).to_parquet(path, index=False)
    text = read_page(write_report(run_dir)).text
    assert "4 cells of the grid are missing or diverged" in text


def test_charts_hold_every_cell_the_laws_and_the_training_curves(make_run: Callable) -> None:
    run_dir = make_run()
    for first, losses in ((0, [0.9, 0.8, 0.7]), (2, [0.6, 0.5])):  # the second part went over step 2 again
        folder = run_dir / "logs" / "n4-trunk" / f"from-{first}"
        folder.mkdir(parents=True)
        steps = range(first, first + len(losses))
        rows = [{"step": s, "tokens": 1024.0 * (s + 1), "train/loss": v} for s, v in zip(steps, losses, strict=True)]
        pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
    charts = json.loads(read_page(write_report(run_dir)).scripts[0])
    over_n, over_s = charts["chart-grid"]["views"]
    cells = [s for s in over_n["series"] if s["kind"] == "cells"]
    assert len(cells) == 4 and all(len(s["x"]) == 5 for s in cells)
    assert [s["dashed"] for s in over_s["series"] if s["kind"] == "law"] == [False, True]
    law = next(s for s in over_n["series"] if s["kind"] == "law")
    assert all(low <= y <= high for low, y, high in zip(law["low"], law["y"], law["high"], strict=True))
    (curve,) = charts["chart-curves"]["views"][0]["series"]
    assert curve["group"] == "N = 4" and curve["y"] == [0.9, 0.8, 0.6, 0.5] and curve["x"][-1] == 4096
    (run_dir / "logs" / "n4-trunk" / "from-2" / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AnalysisError, match=r"metrics\.csv: no column step, tokens or train/loss"):
        write_report(run_dir)


def test_law_that_could_not_be_fitted_is_explained(make_run: Callable) -> None:
    run_dir = make_run()
    (run_dir / "fits.json").write_text('{"num_databases": {"error": "2 distinct x to fit"}, "command": "x"}')
    assert "2 distinct x to fit" in read_page(write_report(run_dir)).text


def test_names_are_escaped(make_run: Callable, make_transfer: Callable) -> None:
    evil = "<script>alert(1)</script>"
    run_dir = make_run(
        transfer=make_transfer(task=evil, dataset='"><img src=x onerror=alert(1)>'),
        command=f"run {evil}",
        profile=evil,
        prior="<b>bold</b>",
        stages=[dict(name=evil, wall_s=1.0)],
        versions={evil: "1"},
        machine=dict(processor=evil),
    )
    page = read_page(write_report(run_dir))
    assert page.tags.count("script") == 2 and "b" not in page.tags[: page.tags.index("div")]
    assert page.text.count(evil) >= 6
    assert all(reference.startswith("data:") for reference in page.references)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", r"run\.json is damaged"),
        ("run.json", "[]", r"run\.json must hold a JSON object"),
        ("fits.json", '{"tokens": {"exponent": 1}}', r"fits\.json: power law: missing key"),
        ("transfer.csv", "a,b\n1,2\n", r"transfer\.csv: no column 'dataset'"),
    ],
)
def test_damaged_files_are_named_and_no_report_is_left(
    make_run: Callable, name: str, content: str, message: str
) -> None:
    run_dir = make_run()
    (run_dir / name).write_text(content)
    with pytest.raises(AnalysisError, match=message):
        write_report(run_dir)
    assert not (run_dir / "report.html").exists()


def test_texts_of_numbers() -> None:
    assert [duration(s) for s in (4.06, 59.999, 251.4, 7500)] == ["4.1 s", "1 min 00 s", "4 min 11 s", "2 h 05 min"]
    assert [score_text(v, 1) for v in (-0.04, -341.0, float("nan"))] == ["0.0", "−341.0", "–"]
    assert score_text(0.5, 2, signed=True) == "+0.50"


def test_a_joint_law_and_its_frontier(make_run: Callable[..., Path]) -> None:
    stages = [dict(name="corpora and stores", wall_s=19.0)]
    page = write_report(make_run(stages=stages)).read_text(encoding="utf-8")
    assert "Lines of equal loss of the overfitting law" in page  # the form that the made-up grid follows
    assert "if a database costs 1 s" in page  # 19 seconds, 16 databases and 3 for validation
    without = write_report(make_run(name="other")).read_text(encoding="utf-8")
    assert "Lines of equal loss" in without
    assert "if a database costs" not in without


def test_transfer_table_gives_intervals_and_counts_clear_wins(make_transfer: Callable) -> None:
    transfer = make_transfer(half_width=2.0)
    table = transfer_rows(transfer, "test")
    auroc = dict(zip([model["key"] for model in table["models"]], table["rows"][0]["cells"], strict=True))
    assert table["has_intervals"] and auroc["zero-shot"]["interval"] == "55.2 to 59.2"
    assert auroc["zero-shot"]["lift_interval"] == "−6.7 to −2.7" and auroc["zero-shot"]["verdict"] == "down"
    zero_shot, tuned = transfer_verdict(transfer)  # of AUROC and R²
    assert [zero_shot[word] for word in ("wins", "of", "up", "level", "down")] == [0, 2, 0, 0, 2]
    assert [tuned[word] for word in ("wins", "of", "up", "level", "down")] == [1, 2, 1, 1, 0]
    without = make_transfer()
    assert not transfer_rows(without, "test")["has_intervals"] and transfer_verdict(without)[0]["up"] is None


def test_a_lift_is_clear_where_its_interval_leaves_out_zero() -> None:
    nan = float("nan")
    assert [lift_verdict(1.0, *ends) for ends in ((0.1, 2.0), (-0.1, 2.0), (nan, nan))] == ["up", "level", "up"]
    assert [lift_verdict(-1.0, *ends) for ends in ((-2.0, -0.1), (-2.0, 0.1), (nan, nan))] == ["down", "level", "down"]


def test_data_card_and_lift_over_the_grid_are_shown(
    make_run: Callable, make_transfer: Callable, make_scores: Callable
) -> None:
    run_dir = make_run(transfer=make_transfer(half_width=2.0))
    evil = "<script>alert(1)<br>"
    databases = [
        dict(name=name, tables=3 * i, rows=1000 * i, columns=10 * i, foreign_keys=i)
        for i, name in enumerate([evil, "paper-1", "paper-2"], start=1)
    ]
    card = dict(prior=evil, prior_hash="0123456789abcdef", version=3, num_databases=3, num_validation=2)
    card |= dict(options={"scm_params.activation_choices": "relu, elu"}, databases=databases)
    card |= dict(examples=[evil, "paper-2"])
    (run_dir / "data_card.json").write_text(json.dumps(card))
    grid = make_scores(np.array([[-8.0, -9.0], [0.5, 4.0]]), [1, 4], [1024, 4096])
    grid.assign(task=evil).to_csv(run_dir / "transfer_grid.csv", index=False)
    with pytest.raises(AnalysisError, match=r"schema-.*svg is missing; run experiments\.report again"):
        DataCard.read(run_dir)
    (run_dir / "figures").mkdir()
    for name in card["examples"]:
        (run_dir / "figures" / f"schema-{name}.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert DataCard.read(run_dir).spread.loc["rows"].tolist() == [1000, 2000, 3000]
    page = read_page(write_report(run_dir))
    assert "Lift over label history on the grid" in page.text
    assert evil in page.text and page.tags.count("script") == 2
    for wanted in ("hash 0123456789abcdef", "activation: relu, elu", "3 for training, 2 held", "55.2 to 59.2"):
        assert wanted in page.text, wanted
    (run_dir / "data_card.json").write_text('{"prior": 1}')
    with pytest.raises(AnalysisError, match=r"data_card\.json is damaged"):
        DataCard.read(run_dir)


def test_lift_is_shown_for_every_metric_that_label_history_has(
    make_run: Callable, make_transfer: Callable, make_scores: Callable
) -> None:
    run_dir = make_run(transfer=make_transfer().replace({"metric": {"auroc": "accuracy"}}))
    grid = make_scores(np.array([[-8.0, -9.0], [0.5, 4.0]]), [1, 4], [1024, 4096]).assign(metric="accuracy")
    grid.to_csv(run_dir / "transfer_grid.csv", index=False)
    page = read_page(write_report(run_dir))
    assert "Lift over label history on the grid" in page.text and "test rows, accuracy, R²" in page.text
    without = read_page(write_report(make_run(name="without")))
    assert page.tags.count("img") == without.tags.count("img") + 2  # over N and over S
    grid[grid["model"] != "label_history"].to_csv(run_dir / "transfer_grid.csv", index=False)
    assert "Lift over label history on the grid" not in read_page(write_report(run_dir)).text


@pytest.mark.parametrize(("second", "rises"), [(0.4, False), (0.6, True)])
def test_a_line_that_ends_early_overfits_where_it_rises_before_its_end(
    make_run: Callable, make_grid: Callable, second: float, rises: bool
) -> None:
    losses = np.array([[0.5, second, np.nan], [0.5, 0.45, 0.35]])
    results = make_grid(losses, [1, 2], [1024, 2048, 4096])
    run = replace(RunFiles.read(make_run(extras=False)), results=results)
    assert any("the loss rises again before the largest S" in text for text in limits(run)) == rises


def test_few_cells_are_fitted_by_the_forms_that_they_can_test(make_grid: Callable) -> None:
    n, s = np.array([1, 4])[:, None], np.array([1, 2, 4])[None, :]
    results = make_grid(0.3 + 0.1 / (n * s) ** 0.5, [1, 4], [1024, 2048, 4096])
    section = joint_section(results, {})
    assert set(section.comparison["form"]) == {"additive", "multiplicative", "kaplan"}
    assert "so few parameters" in joint_section(results[results["num_databases"] == 1], {})
