"""Checks a derivation: every line true, from the first side to the last, and more than a restatement."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

from proofreader.checking import check_derivation
from proofreader.report import DerivationLine
from proofreader.syntax import Node
from tutor.exercises import Derivation, Exercise, Misconception
from tutor.feedback import Feedback, Line, Verdict
from tutor.outline import Outline, OutlineSide, outline, same_value, trees_of

__all__ = ["check_derive"]

TURNED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
SIGNS = {"=": "=", ">=": r"\ge", "<=": r"\le", ">": ">", "<": "<"}
WORDS = {"=": "equalities", ">=": "equalities and $\\ge$", "<=": "equalities and $\\le$"}


def check_derive(exercise: Exercise, answer: object) -> Feedback:
    """What to say to a derivation in LaTeX."""
    task = exercise.answer
    assert isinstance(task, Derivation)
    if not isinstance(answer, str):
        return Feedback(exercise.id, "unread", f"Expected LaTeX as text, in quotes, not {type(answer).__name__}.")
    return _Examination(exercise, task, answer.strip().strip("$").strip()).feedback()


@dataclass(frozen=True)
class _Claim:
    """One relation with the sides on both sides of it."""

    number: int
    left: OutlineSide
    relation: str
    right: OutlineSide
    line: DerivationLine


class _Examination:
    """One derivation against what its exercise asks."""

    def __init__(self, exercise: Exercise, task: Derivation, latex: str) -> None:
        self.exercise, self.task, self.latex = exercise, task, latex

    @cached_property
    def outline(self) -> Outline:
        return outline(self.latex, self.task.given)

    @cached_property
    def claims(self) -> list[_Claim]:
        found: list[_Claim] = []
        lines = iter(self.outline.report.lines)
        for chain in self.outline.chains:
            for at, relation in enumerate(chain.relations):
                found.append(_Claim(len(found) + 1, chain.sides[at], relation, chain.sides[at + 1], next(lines)))
            if not chain.relations:
                next(lines, None)
        return found

    @cached_property
    def sides(self) -> list[OutlineSide]:
        """All sides in order; where a chain begins with the end of the one before, that side once."""
        found: list[OutlineSide] = []
        for sides in (chain.sides for chain in self.outline.chains):
            found += sides[1:] if found and sides[0].looks_like(found[-1].trees) else sides
        return found

    def feedback(self) -> Feedback:
        """The first of these that has something to say."""
        if not self.claims:
            return self.say(
                "unread", f"A derivation is a chain such as $A = B \\\\ = C$: begin with ${self.task.first}$."
            )
        checks = (self.unreadable, self.false, self.conditional, self.joined, self.direction, self.ends)
        for check in (*checks, self.restated, self.stepped):
            found = check()
            if found is not None:
                return found
        return self.say("right", self.praise())

    def say(self, verdict: Verdict, message: str, misconception: str = "") -> Feedback:
        lines = tuple(Line(claim.line.latex, claim.line.verdict, tuple(claim.line.remarks())) for claim in self.claims)
        return Feedback(self.exercise.id, verdict, message, misconception, lines)

    def unreadable(self) -> Feedback | None:
        for claim in self.claims:
            if claim.line.verdict == "unreadable":
                return self.say("unread", f"I cannot read line {claim.number}: {claim.line.cause}.")
        return None

    def false(self) -> Feedback | None:
        for claim in self.claims:
            if claim.line.verdict == "false":
                known = self.known(claim)
                if known is not None:
                    return self.say("wrong", f"Line {claim.number} is false. {known.says}", known.name)
                why = claim.line.cause or "the remark below it shows a model on which its two sides differ"
                return self.say("wrong", f"Line {claim.number} is false: {why}.")
        return None

    def known(self, claim: _Claim) -> Misconception | None:
        """The misconception that a false line shows."""
        for one in self.exercise.misconceptions:
            if self.has_side(claim, one):
                return one
            if one.turned and claim.relation in TURNED:
                turned = f"{claim.left.latex} {SIGNS[TURNED[claim.relation]]} {claim.right.latex}"
                if check_derivation(turned, definitions=list(self.task.given), explain=False).holds:
                    return one
        return None

    def has_side(self, claim: _Claim, one: Misconception) -> bool:
        """Whether a side of a line has the value of the wrong side of a misconception."""
        return bool(one.side) and any(
            side.trees and same_value(side.latex, one.side, self.task.given) for side in (claim.right, claim.left)
        )

    def conditional(self) -> Feedback | None:
        """A line that holds under an assumption which the exercise does not grant."""
        for claim in self.claims:
            condition = claim.line.condition
            if claim.line.verdict == "holds_if" and not any(words in condition for words in self.task.allows):
                for one in self.exercise.misconceptions:
                    if (one.condition and one.condition in condition) or self.has_side(claim, one):
                        return self.say("wrong", f"Line {claim.number} holds only if {condition}. {one.says}", one.name)
                return self.say(
                    "wrong", f"Line {claim.number} holds only if {condition}, which the exercise does not grant."
                )
        return None

    def joined(self) -> Feedback | None:
        """Chains that do not continue each other prove nothing together."""
        chains = [chain.sides for chain in self.outline.chains if chain.relations]
        for before, after in itertools.pairwise(chains):
            if not after[0].looks_like(before[-1].trees):
                return self.say(
                    "wrong",
                    f"The part that begins with ${after[0].latex}$ does not continue the one before. Write one chain.",
                )
        return None

    def direction(self) -> Feedback | None:
        """Relations that together say less than what is asked, or the opposite."""
        relations = {claim.relation for claim in self.claims}
        wanted = {self.task.relation}
        backwards = {TURNED.get(self.task.relation, "=")}
        allowed = backwards if self.reversed else wanted
        stray = next((r for r in relations if r not in {"=", *allowed}), None)
        if stray is not None:
            return self.say(
                "wrong",
                f"Every line is true, but the chain uses ${SIGNS.get(stray, stray)}$, "
                f"and this statement needs a chain of {WORDS[next(iter(allowed))]} alone.",
            )
        return None

    @cached_property
    def first(self) -> tuple[Node, ...]:
        return trees_of(self.task.first)

    @cached_property
    def last(self) -> tuple[Node, ...]:
        return trees_of(self.task.last)

    @cached_property
    def reversed(self) -> bool:
        """Whether the chain runs from the last side to the first, which proves the same."""
        return self.sides[0].looks_like(self.last) and self.sides[-1].looks_like(self.first)

    def ends(self) -> Feedback | None:
        if self.reversed:
            return None
        for side, wanted, latex, word in (
            (self.sides[0], self.first, self.task.first, "begin"),
            (self.sides[-1], self.last, self.task.last, "end"),
        ):
            if not side.looks_like(wanted):
                return self.say("wrong", f"Every line is true, but the derivation must {word} with ${latex}$.")
        return None

    @cached_property
    def middle(self) -> list[OutlineSide]:
        """The sides that are neither the first nor the last written again."""
        ends = (*self.first, *self.last)
        return [side for side in self.sides[1:-1] if not side.looks_like(ends)]

    def restated(self) -> Feedback | None:
        if self.middle:
            return None
        return self.say(
            "wrong",
            "That states what is to be shown. Write down the steps between its two sides, one at a time.",
        )

    def stepped(self) -> Feedback | None:
        for step in self.task.steps:
            if not any(self.shows(side, step.equals, step.contains) for side in self.middle):
                return self.say("wrong", f"Every line is true, but a step is missing. {step.missing}")
        return None

    def shows(self, side: OutlineSide, equals: str, contains: tuple[str, ...]) -> bool:
        if not all(side.contains(trees_of(part)) for part in contains):
            return False
        return not equals or same_value(side.latex, equals, self.task.given)

    def praise(self) -> str:
        conditions = dict.fromkeys(claim.line.condition for claim in self.claims if claim.line.condition)
        noted = f" It needs {'; '.join(conditions)}." if conditions else ""
        count = len(self.claims)
        return f"Right: {count} lines, each true on every model tried.{noted}"
