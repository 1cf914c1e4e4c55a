"""The zoo as the tests meet it: its members by name, and numbers of draws to try them with."""

from __future__ import annotations

from lvmlib.zoo import Member, member, members

__all__ = ["SAMPLE_SIZES", "Member", "member", "members"]

# One draw, two, and enough for a limit to show.
SAMPLE_SIZES = (1, 2, 10, 1000)
