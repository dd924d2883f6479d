"""Random weight matrices, by name (paper, section 3); see plurel.kernels.weights."""

INITIALISERS = (
    "kaiming_normal",
    "kaiming_uniform",
    "xavier_normal",
    "xavier_uniform",
    "truncated_normal",  # standard; what lies beyond ±2 is drawn again
    "sparse",  # normal of scale 0.01 with half of each column (rounded up) zero
)
