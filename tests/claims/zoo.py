"""The zoo as the tests meet it: its members, by name. They live in the library, where chapter 11 meets them too."""

from __future__ import annotations

from lvmlib.zoo import Member, member, members

__all__ = ["Member", "member", "members"]
