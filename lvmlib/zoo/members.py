"""All members of the zoo, by name."""

from __future__ import annotations

from functools import lru_cache

import torch

from lvmlib.zoo.continuous import continuous
from lvmlib.zoo.gaussians import gaussians
from lvmlib.zoo.member import Member
from lvmlib.zoo.tables import tables

__all__ = ["member", "members"]


@lru_cache(maxsize=1)
def members() -> tuple[Member, ...]:
    """Every member of the zoo, in float64 and on the CPU.

    Returns:
        Members whose names are unique.

    Example:
        >>> from lvmlib.zoo import members
        >>> len(members()) >= 20
        True
    """
    with torch.device("cpu"):
        return (*tables(), *gaussians(), *continuous())


def member(name: str) -> Member:
    """The member with this name.

    Args:
        name: As in ``member("far-modes")``.

    Returns:
        The member, whose ``truth`` holds the exact answers.

    Raises:
        ValueError: If there is none; the message lists the names.

    Example:
        >>> from lvmlib.zoo import member
        >>> round(member("light-tails").tail_index, 3), member("light-tails").truth.chi_square
        (0.6, inf)
    """
    for one in members():
        if one.name == name:
            return one
    raise ValueError(f"name is {name!r}: expected a member of the zoo; choose {', '.join(m.name for m in members())}.")
