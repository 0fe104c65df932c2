"""The integral in the Shapley formula of trees, by Gauss-Legendre nodes on [0, 1]."""

from dataclasses import dataclass

import numpy as np

from staunch_training.types import Floats


@dataclass(frozen=True)
class Quadrature:
    """Nodes t and weights w, float64 (q,), exact for polynomials of degree 2q - 1."""

    t: Floats
    w: Floats

    @classmethod
    def exact_for(cls, features: int) -> "Quadrature":
        """Gives the fewest nodes that are exact for paths of up to `features` distinct features."""
        # The integrand has degree features - 1, and q nodes are exact up to degree 2q - 1.
        nodes, weights = np.polynomial.legendre.leggauss((features + 1) // 2)
        return cls((nodes + 1) / 2, weights / 2)  # from [-1, 1] to [0, 1]

    def factor(self, met: Floats, ratio: Floats) -> Floats:
        """Gives z + t (o - z) at each node for o and z of shape (...): float64 (..., q), above 0.

        Above 0, since z is and all nodes lie within the interval: products may be divided by any factor.
        """
        return ratio[..., None] + self.t * (met - ratio)[..., None]
