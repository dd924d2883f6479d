"""How a node joins what its parents say, element by element (paper.md, section 4); see plurel.kernels.join."""

AGGREGATIONS = ("sum", "max", "product", "logexp")  # logexp: the logarithm of the sum of exponentials

# what changes nothing where it is joined; -1e30 stands for -inf, which interpolation would turn to NaN
NEUTRAL = {"sum": 0.0, "max": -1e30, "product": 1.0, "logexp": -1e30}
