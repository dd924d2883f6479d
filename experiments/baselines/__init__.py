"""Models that every transfer score stands beside, one a file.

`trivial` needs no training (constant, entity mean, label history), `boosting` learns from joined and aggregated
`features`, `graphsage` is a graph network trained on one task.
"""

from experiments.baselines.trivial import baseline_predictions

__all__ = ["baseline_predictions"]
