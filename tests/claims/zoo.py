"""The zoo as the tests meet it: its members, by name. They live in the library, where chapter 11 meets them too."""

from __future__ import annotations

from dataclasses import dataclass

from lvmlib.zoo import Member, Truth, member, members

__all__ = ["Drawn", "Member", "member", "members"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """K draws for a member, from its q unless the class says otherwise: independent, or one K times."""

    member: Member
    independent: bool = True

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def truth(self) -> Truth:
        return self.member.truth

    def draws_are_independent(self) -> bool:
        return self.independent
