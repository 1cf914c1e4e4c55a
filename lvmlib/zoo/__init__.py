r"""The zoo: small models, proposals and functions with exact answers, each made to break something.

A statement about importance weights that survives all of them has been tried on zeros in the tables, on proposals that
miss mass, on light and heavy tails, on far modes and in fifty dimensions. So has an estimator, or a diagnostic:
:func:`score` repeats an estimate of :math:`\log p(x)` on a :class:`Case` and compares it with the truth.
"""

from __future__ import annotations

from lvmlib.zoo.cases import Case, cases
from lvmlib.zoo.estimators import Estimator, estimators
from lvmlib.zoo.member import Grid, Member, Truth
from lvmlib.zoo.members import member, members
from lvmlib.zoo.scores import EstimatorError, Score, Verdict, score, verdict

__all__ = [
    "Case",
    "Estimator",
    "EstimatorError",
    "Grid",
    "Member",
    "Score",
    "Truth",
    "Verdict",
    "cases",
    "estimators",
    "member",
    "members",
    "score",
    "verdict",
]
