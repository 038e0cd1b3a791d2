"""Names of the optimizers, and the defaults that a choice among them needs."""

from __future__ import annotations

import enum

TRUST_REGION, ROTOSOLVE = "trust-region", "rotosolve"
FIRST_SHOTS = 1000  # of a point, over all groups
NEAR_SHOTS = 2000  # the same, where the search starts near the minimum: fewer would not see the way that is left
DEFAULT_TOLERANCE = 1.6e-3  # hartree: chemical accuracy


class ScipyMethod(enum.StrEnum):
    """Method of `scipy.optimize.minimize`.

    COBYLA: linear interpolation in a shrinking trust region (M. J. D. Powell, in Advances in Optimization and Numerical
    Analysis, Kluwer 1994, 51; SciPy's port of PRIMA). COBYQA: quadratic interpolation (T. M. Ragonneau, thesis, Hong
    Kong Polytechnic University, 2022). Nelder-Mead: a simplex (Comput. J. 7 (1965) 308). Powell: line searches along
    conjugate directions (Comput. J. 7 (1964) 155). The others use gradients, which are measured by the parameter-shift
    rule: unlike finite differences, its differences are as large as the energy itself, so shot noise matters less.
    Methods that need a Hessian are left out.
    """

    COBYLA = "cobyla"
    COBYQA = "cobyqa"
    NELDER_MEAD = "nelder-mead"
    POWELL = "powell"
    CG = "cg"
    BFGS = "bfgs"
    L_BFGS_B = "l-bfgs-b"
    TNC = "tnc"
    SLSQP = "slsqp"

    @property
    def uses_gradient(self) -> bool:
        """True if each evaluation also measures the gradient."""
        return self not in (self.COBYLA, self.COBYQA, self.NELDER_MEAD, self.POWELL)
