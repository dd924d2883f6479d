"""How kernels are compiled."""

from __future__ import annotations

from functools import partial

from numba import njit

# Products and sums may be fused, nothing else of "fast math": no sum is reordered, so results do not depend on the
# width of a processor's vectors. Division as numpy's, without a branch for zero, which would keep loops from vectors.
kernel = partial(njit, cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
