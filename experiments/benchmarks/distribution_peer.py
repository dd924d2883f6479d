"""Databases of the published generator, as RelBench-3 folders without tasks; experiments.benchmarks.distribution reads
them. Run by the Python of the published package (1.1.0), not by ours:

    PEERS_HOME/venv/bin/python experiments/benchmarks/distribution_peer.py --prior main --seeds 1 61 --out DIR

`main` is its default. `paper` is its closest to the paper's section 3: every choice added since is pinned, and, as it
has no option for them, the scales of its activations are set to 1 and its noise drawn from the paper's five shapes.
(1.0.0, made from the same options, takes 15 minutes a database and draws the activations of a layer anew at each row.)

DIR/<prior>/plurel-<seed>/ appears when it is complete; what is there is kept. A seed that the package cannot make
leaves plurel-<seed>/failed.txt with its reason.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["TQDM_DISABLE"] = "1"

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml

from plurel import Choices, Config, DAGParams, DatabaseParams, SCMParams, SyntheticDataset, transforms

NOISE_SHAPES = ((0.5, 0.5), (2.0, 2.0), (2.0, 3.0), (2.0, 4.0), (4.0, 1.0))


def only(*options):
    return Choices(kind="set", value=list(options))


class NoiseShapes:
    """Gives the first number of a random shape, then the second one of the same: the package asks in that order.

    Drawn from numpy's global generator, as the package draws everything: it seeds that one.
    """

    def __init__(self):
        self.pending = None

    def sample_uniform(self):
        if self.pending is None:
            first, self.pending = NOISE_SHAPES[np.random.randint(len(NOISE_SHAPES))]
            return first
        second, self.pending = self.pending, None
        return second


def main_prior(sizes):
    """The package's default; `sizes` replaces ranges of its DatabaseParams."""
    return Config(database_params=DatabaseParams(**sizes))


def paper_prior(sizes):
    """The paper's prior in the published package's terms."""
    draw = transforms.MLP.__init__

    def draw_without_scales(self, *args, **kwargs):
        draw(self, *args, **kwargs)
        self.act_scales = [(function, 1.0) for function, _ in self.act_scales]

    transforms.MLP.__init__ = draw_without_scales
    shapes = NoiseShapes()
    return Config(
        database_params=DatabaseParams(col_transform_choices=only("identity"), **sizes),
        scm_params=SCMParams(
            scm_layout_choices=only("ErdosRenyi", "BarabasiAlbert", "RandomTree", "ReverseRandomTree", "Layered"),
            activation_choices=only(F.relu, F.elu, F.selu, F.silu, F.softsign, F.tanh),
            node_noise_alpha_choices=shapes,
            node_noise_beta_choices=shapes,
            mlp_num_layers_choices=Choices(kind="range", value=[2, 2]),
            mlp_weight_density_choices=Choices(kind="range", value=[1.0, 1.0]),
            source_gen_type_choices=only("ts"),
            ts_ar_rho_choices=Choices(kind="range", value=[0.0, 0.0]),
            ts_value_scale_choices=only(1),
            propagation_agg_choices=only("sum"),
            propagation_mode_choices=only("type_eager"),
        ),
        dag_params=DAGParams(edge_weight_dist_choices=only("gaussian")),
    )


PRIORS = {"main": main_prior, "paper": paper_prior}


def make(seed, config, folder):
    """Writes one database; the folder's name changes from .tmp at the end."""
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "db").mkdir(parents=True)
    try:
        dataset = SyntheticDataset(seed=seed, config=config)
        db = dataset.make_db()
    except AssertionError as error:  # a causal graph that fell apart
        frame = error.__traceback__
        while frame.tb_next is not None:
            frame = frame.tb_next
        (temporary / "failed.txt").write_text(f"AssertionError in {frame.tb_frame.f_code.co_qualname}\n")
    else:
        tables = {}
        for name, table in sorted(db.table_dict.items()):
            table.df.to_parquet(temporary / "db" / f"{name}.parquet", index=False)
            tables[name] = {
                "pkey": table.pkey_col,
                "time_col": table.time_col,
                "fkeys": dict(table.fkey_col_to_pkey_table),
            }
        stamps = {key: str(getattr(dataset, key).date()) for key in ("val_timestamp", "test_timestamp")}
        manifest = {"name": folder.name, "manifest_version": 1} | stamps | {"tables": tables}
        (temporary / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    os.replace(temporary, folder)


def main():
    """Makes what is missing; one line per database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", choices=PRIORS, required=True)
    parser.add_argument("--seeds", type=int, nargs=2, required=True, metavar=("A", "B"), help="A, ..., B - 1; A > 0")
    parser.add_argument("--sizes", type=json.loads, default={}, help='such as {"num_tables_choices": [3, 8]}')
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if not 0 < args.seeds[0] < args.seeds[1]:
        parser.error("--seeds A B needs 0 < A < B: the package does not seed its graphs with 0")
    torch.set_num_threads(1)
    sizes = {name: Choices(kind="range", value=bounds) for name, bounds in args.sizes.items()}
    config = PRIORS[args.prior](sizes)
    for seed in range(*args.seeds):
        folder = args.out / args.prior / f"plurel-{seed}"
        if folder.is_dir():
            continue
        start = time.process_time()
        make(seed, config, folder)
        state = "failed" if (folder / "failed.txt").exists() else "made"
        seconds = time.process_time() - start
        print(f"{args.prior} {seed}: {state} in {seconds:.1f} s of CPU", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
