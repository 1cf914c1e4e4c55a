"""How a claim is attacked: on every case that meets its hypotheses, and on one that breaks each of them alone.

    @attack("thm-elbo")
    def test_the_elbo_is_below_the_log_evidence(case): ...

    @breaks("thm-jensen", without="concave", case=CONVEX, because="a convex function turns the inequality around")
    def test_a_convex_function_is_on_the_other_side(case): ...

The hypotheses stand in the claim itself, where the page prints them: ``{hyp}`words <key>```. What a key asks of a case
is a function in ``hypotheses.py``. By default the cases are the members of the zoo.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import pytest
from course.claims import Claim, claims
from hypotheses import HYPOTHESES

from lvmlib.zoo import members

ROOT = Path(__file__).resolve().parents[2]


class Case(Protocol):
    """Anything with a name to which the hypotheses of a claim can be put; a member of the zoo is one."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Attack:
    """A test that tries a claim on the cases that meet its hypotheses."""

    label: str
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Need:
    """Why a claim needs a hypothesis: a case that breaks the claim, or, where there is none, a reason."""

    label: str
    without: str
    because: str
    case: str | None


# By file and name of the test, so that a module that is read twice is counted once.
ATTACKS: dict[tuple[str, str], Attack] = {}
NEEDS: dict[tuple[str, str], Need] = {}

Decorator = Callable[[Callable[..., None]], Any]


def attack(label: str, cases: Iterable[Case] | None = None) -> Decorator:
    """Run a test on each case that meets all hypotheses of a claim, given to it as ``case``.

    Args:
        label: The label of the claim.
        cases: What to try; by default every member of the zoo.

    Raises:
        ValueError: If no claim has the label, or no case meets its hypotheses.
    """
    keys = _keys(label)
    tried = [case for case in (members() if cases is None else cases) if all(HYPOTHESES[key](case) for key in keys)]
    if not tried:
        raise ValueError(f"{label}: no case meets its hypotheses {keys}; add one that does")
    names = tuple(case.name for case in tried)

    def decorate(test: Callable[..., None]) -> Any:
        ATTACKS[_place(test)] = Attack(label, names)
        return pytest.mark.vouches(label)(pytest.mark.parametrize("case", tried, ids=names)(test))

    return decorate


def breaks(label: str, *, without: str, case: Case, because: str) -> Decorator:
    """Run a test that shows a claim to fail on a case that violates one of its hypotheses and meets the others.

    Args:
        label: The label of the claim.
        without: The key of the hypothesis that is dropped.
        case: The case, given to the test as ``case``.
        because: The end of the sentence "needed because …" that the page shows; ``$`` encloses formulas.

    Raises:
        ValueError: If the claim has no such hypothesis, or the case violates another one, or none.
    """
    keys = _keys(label)
    if without not in keys:
        raise ValueError(f"{label}: {without!r} is not among its hypotheses {keys}")
    violated = [key for key in keys if not HYPOTHESES[key](case)]
    if violated != [without]:
        raise ValueError(f"{label}: {case.name} violates {violated}; expected {without!r} alone")

    def decorate(test: Callable[..., None]) -> Any:
        NEEDS[_place(test)] = Need(label, without, because, case.name)
        return pytest.mark.vouches(label)(pytest.mark.parametrize("case", [case], ids=[case.name])(test))

    return decorate


def explained(label: str, *, without: str, because: str) -> None:
    """Say why a hypothesis stands for which there can be no case: without it, for example, the claim says nothing.

    Raises:
        ValueError: If the claim has no such hypothesis.
    """
    if without not in _keys(label):
        raise ValueError(f"{label}: {without!r} is not among its hypotheses {_keys(label)}")
    NEEDS[(label, without)] = Need(label, without, because, None)


def _place(test: Callable[..., None]) -> tuple[str, str]:
    return Path(inspect.getfile(test)).relative_to(ROOT).as_posix(), test.__name__


@lru_cache(maxsize=1)
def _claims() -> dict[str, Claim]:
    return {claim.label: claim for page in sorted((ROOT / "book").glob("*.md")) for claim in claims(page)}


def _keys(label: str) -> tuple[str, ...]:
    if label not in _claims():
        raise ValueError(f"{label!r} is not the label of a claim of the book")
    keys = tuple(hypothesis.key for hypothesis in _claims()[label].hypotheses)
    unknown = [key for key in keys if key not in HYPOTHESES]
    if unknown:
        raise ValueError(f"{label}: hypotheses.py has no {unknown}; add a function of a case for each")
    return keys
