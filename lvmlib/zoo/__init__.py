r"""The zoo: small models, proposals and functions with exact answers, each made to break something.

A statement about importance weights that survives all of them has been tried on zeros in the tables, on proposals that
miss mass, on light and heavy tails, on far modes and in fifty dimensions. So has an estimator, or a diagnostic.
"""

from __future__ import annotations

from lvmlib.zoo.member import Grid, Member, Truth
from lvmlib.zoo.members import member, members

__all__ = ["Grid", "Member", "Truth", "member", "members"]
