"""Keys to the table itself, and those that close a cycle: drawn last, and heard by the columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plurel import Config, SyntheticDataset
from plurel.random_streams import stream
from plurel.sql.columns import column_values
from plurel.sql.links import Links, draw_late
from plurel.sql.parser import schema_from_sql
from plurel.sql.plan import TablePlan, plan_tables

Maker = Callable[..., SyntheticDataset]
# every node a number, every edge exact: what no message reaches stays the same to the last bit
CONFIG = Config.from_dict(
    {
        "scm_params": {
            "edge_knots": 0,
            "col_stype_choices": {"kind": "set", "value": ["numerical"]},
            "propagation_mode_choices": {"kind": "set", "value": ["type_eager"]},
        }
    }
)
STAFF = "CREATE TABLE staff (id int PRIMARY KEY, boss int {} REFERENCES staff, {});"
COLUMNS = ", ".join(f"x{i} float NOT NULL" for i in range(8))
PAIR = f"""CREATE TABLE store (id int PRIMARY KEY, manager int REFERENCES staff, {COLUMNS});
CREATE TABLE staff (id int PRIMARY KEY, store int NOT NULL REFERENCES store, {COLUMNS});"""


def numbers(plans: list[TablePlan], links: dict[str, Links], table: str, seed: int) -> np.ndarray:
    sizes = {plan.table.name: 60 for plan in plans}
    return np.stack([values.data for values in column_values(plans, links, sizes, seed, CONFIG)[table]], axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_rows_with_a_parent_in_their_own_table_hear_it(seed: int) -> None:
    plans = plan_tables(schema_from_sql(STAFF.format("", COLUMNS)), CONFIG, seed)
    (key,) = plans[0].table.foreign_keys
    parents = np.where(np.arange(60) % 3 == 0, -1, np.arange(60) // 3 * 3)
    heard = numbers(plans, {"staff": {key: parents}}, "staff", seed)
    alone = numbers(plans, {"staff": {key: np.full(60, -1)}}, "staff", seed)
    has_changed = (heard != alone).any(axis=1)
    assert not has_changed[parents < 0].any() and has_changed[parents >= 0].all()


def test_a_key_that_closes_a_cycle_is_heard_too() -> None:
    plans = plan_tables(schema_from_sql(PAIR), CONFIG, 0)
    late = {plan.table.name: plan.late for plan in plans}
    (manager,), (store,) = (
        plan.table.foreign_keys for plan in sorted(plans, key=lambda plan: plan.table.name != "store")
    )
    assert late == {"store": {manager}, "staff": set()}  # the one that may be NULL
    works_in = {store: np.arange(60)}
    heard = numbers(plans, {"store": {manager: np.arange(60)}, "staff": works_in}, "store", 0)
    alone = numbers(plans, {"store": {manager: np.full(60, -1)}, "staff": works_in}, "store", 0)
    assert (heard != alone).any(axis=1).all()


@pytest.mark.parametrize(
    ("rule", "is_free", "is_unique"), [("", True, False), ("NOT NULL", False, False), ("UNIQUE", True, True)]
)
def test_parents_are_earlier_rows(rule: str, is_free: bool, is_unique: bool) -> None:
    (plan,) = plan_tables(schema_from_sql(STAFF.format(rule, COLUMNS)), CONFIG, 0)
    (rows,) = draw_late(plan, {"staff": 200}, None, stream(0, "test")).values()
    numbers = np.arange(200)
    is_root = rows == (-1 if is_free else numbers)
    assert 0.1 < is_root.mean() < 0.3 and is_root[0]
    assert (rows[~is_root] < numbers[~is_root]).all()
    assert not is_unique or np.unique(rows[~is_root]).size == (~is_root).sum()


def test_tenants_and_managers_of_the_same_tenant(dataset: Maker) -> None:
    """A key to the table itself that shares a column with another key is none."""
    sql = """CREATE TABLE tenant (id int PRIMARY KEY);
    CREATE TABLE person (tenant int REFERENCES tenant, id int, boss int, PRIMARY KEY (tenant, id),
      FOREIGN KEY (tenant, boss) REFERENCES person (tenant, id));"""
    person = dataset(sql).make_db().table_dict["person"].df
    assert person["tenant_boss"].isna().all()
