"""Measures how long a curve is from A to each of its points."""

from collections.abc import Sequence
from itertools import pairwise
from math import comb

import numpy as np
import torch

from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.curves import Bezier, Curve, Polygon
from lmc_mlflow.weights import State

NODES = 64
"""Of the Gauss-Legendre rule on each interval: of a speed that is smooth it leaves rounding alone."""


def arc_lengths(curve: Curve, names: Sequence[str], alphas: Values) -> Values:
    """Compute the length (T,) of the curve from A to its points: L2, in double precision.

    The speed of a Bezier curve with n + 1 control points is n |sum_i b_i(t) D_i|: the D_i are the differences of
    neighbouring control points, the b_i the Bernstein polynomials of degree n - 1. Its integral needs the inner
    products of the D_i alone. A polygon moves along one D_i after the other, a segment along its only one.

    Args:
        curve: from A to B.
        names: of the tensors that count.
        alphas: (T,) from 0 to 1, in order.
    """
    controls = curve.controls if isinstance(curve, Bezier | Polygon) else curve.ends
    products = _inner_products(controls, names)
    if isinstance(curve, Bezier):
        return np.array([_bezier_length(products, 0.0, float(alpha)) for alpha in alphas])
    corners = np.linspace(0, 1, len(products) + 1)
    lengths = np.concatenate([[0.0], np.cumsum(np.sqrt(np.diagonal(products)))])
    return np.asarray(np.interp(alphas, corners, lengths))


def _bezier_length(products: Values, start: float, stop: float) -> float:
    nodes, shares = np.polynomial.legendre.leggauss(NODES)
    ts = start + (stop - start) * (nodes + 1) / 2
    degree = len(products) - 1
    basis = np.array([comb(degree, i) * ts**i * (1 - ts) ** (degree - i) for i in range(degree + 1)])
    squares = np.einsum("it,ij,jt->t", basis, products, basis)
    return float((degree + 1) * np.sqrt(np.maximum(squares, 0)) @ shares * (stop - start) / 2)


def _inner_products(controls: Sequence[State], names: Sequence[str]) -> Values:
    """The inner products (n, n) of the differences of neighbouring control points."""
    found = np.zeros((len(controls) - 1, len(controls) - 1))
    for name in names:
        steps = torch.stack([(b[name].double() - a[name].double()).flatten().detach() for a, b in pairwise(controls)])
        found += (steps @ steps.T).cpu().numpy()
    return found
