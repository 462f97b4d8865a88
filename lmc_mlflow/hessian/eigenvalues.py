"""Computes the largest eigenvalue of a symmetric operator that is known by its products with vectors."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

logger = logging.getLogger(__name__)
Products = Callable[[Tensor], Tensor]
"""Multiplies an operator (P, P) with vectors (K, P)."""
MOST_DENSE = 32
"""Operators up to this size are written out: Lanczos iterations would be no shorter."""
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-5}
"""Number type -> relative error of an eigenvalue."""
MOST_RESTARTS = 300
NAN = float("nan")


def largest_eigenvalue(products: Products, start: Tensor) -> float:
    """Compute the largest (not the largest absolute) eigenvalue by Lanczos iterations (ARPACK).

    Args:
        products: of the operator.
        start: (P,) a random vector, from which the iterations begin.

    Returns:
        The eigenvalue; nan where the operator is not finite, or where the iterations do not converge, which is said.
    """
    size = len(start)
    first = products(start[None])
    if not bool(first.isfinite().all()):
        return NAN
    if size <= MOST_DENSE:
        matrix = products(torch.eye(size, dtype=start.dtype, device=start.device))
        return float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
    if not bool(first.any()):  # the loss is flat: Lanczos iterations have nothing to go on
        return 0.0

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        given = torch.from_numpy(np.ascontiguousarray(vector.reshape(-1))).to(start)
        return products(given[None])[0].double().cpu().numpy()

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        found = eigsh(
            operator,
            k=1,
            which="LA",
            v0=start.double().cpu().numpy(),
            tol=TOLERANCES[start.dtype],
            maxiter=MOST_RESTARTS,
            return_eigenvectors=False,
        )
    except ArpackNoConvergence:
        logger.warning("an eigenvalue of %d parameters did not converge: it is left out", size)
        return NAN
    return float(found[0])
