"""Every exercise of the book against its own checker: the solution, the misconceptions, a stub, and noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import pytest
from given import mistaken_answer, right_answer

from tutor import Feedback, collection
from tutor.checking import begin_derivation, check_answer
from tutor.exercises import LETTERS, Choice, Code, Derivation, Exercise, Number
from tutor.quantities import slips_of

EXERCISES = list(collection().values())
NEEDS_TORCH = {one.id for one in EXERCISES if not one.in_page}
every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: f"{one.id} {one.label}")


def of_kind(kind: str) -> pytest.MarkDecorator:
    found = [one for one in EXERCISES if one.kind == kind]
    return pytest.mark.parametrize("exercise", found, ids=lambda one: f"{one.id} {one.label}")


@every_exercise
def test_its_solution_passes(exercise: Exercise) -> None:
    feedback = check_answer(exercise, right_answer(exercise))
    assert feedback.verdict == "right", feedback


@every_exercise
def test_every_misconception_fails_with_its_own_message_and_no_other(exercise: Exercise) -> None:
    said = [one.says for one in exercise.misconceptions]
    assert len(said) == len(set(said))
    for one in exercise.misconceptions:
        feedback = check_answer(exercise, mistaken_answer(exercise, one))
        assert (feedback.verdict, feedback.misconception) == ("wrong", one.name), feedback
        assert one.says in feedback.message
        assert [other for other in said if other != one.says and other in feedback.message] == []


@every_exercise
def test_nothing_and_what_the_reader_begins_with_are_not_attempts(exercise: Exercise) -> None:
    begun: list[object] = [None, ..., "", "  \n", "..."]
    if isinstance(exercise.answer, Code):
        begun += [exercise.answer.starter, exercise.answer.starter.replace("...", "pass  # later")]
    if isinstance(exercise.answer, Derivation):
        begun.append(begin_derivation(exercise.answer))
    assert {check_answer(exercise, answer).verdict for answer in begun} == {"not attempted"}


@pytest.mark.thorough
@every_exercise
def test_the_right_answer_written_otherwise_passes(exercise: Exercise) -> None:
    for answer in (*exercise.also_right, *other_spellings(exercise)):
        feedback = check_answer(exercise, answer)
        assert feedback.verdict == "right", (answer, feedback)


def other_spellings(exercise: Exercise) -> Iterator[object]:
    """A right answer in the forms that a checker must not care about."""
    task = exercise.answer
    if isinstance(task, Number):
        value = task.target
        yield from (value, f" {value!r} ", f"({task.value})", f"1 * ({task.value})")
        if math.isfinite(value):
            yield from (Fraction(value), f"{100 * value!r} %", f"\\frac{{{2 * value!r}}}{{2}}")
            yield str(value).replace("-", "\N{MINUS SIGN}")
    elif isinstance(task, Choice):
        option = task.options[LETTERS.index(task.right)]
        yield from (task.right.upper(), f"({task.right})", option.text)
    elif isinstance(task, Derivation):
        yield "$$\n" + task.right + "\n$$"
        yield task.right.replace(r"\E", r"\mathbb{E}").replace(r"\Vert", r"\|").replace(r"\KL", r"D_{\mathrm{KL}}")
    else:
        yield "# a comment\n" + task.right.replace("\n", "\n\n") + "\n"


@pytest.mark.thorough
@every_exercise
def test_noise_fails_and_is_not_taken_for_a_misconception(exercise: Exercise) -> None:
    for answer in (*exercise.wrong, *noise(exercise)):
        feedback = check_answer(exercise, answer)
        assert feedback.verdict in ("wrong", "unread"), (answer, feedback)
        assert feedback.misconception == "", (answer, feedback)
        assert feedback.message


def noise(exercise: Exercise) -> Iterator[object]:
    """What nobody means as an answer."""
    task = exercise.answer
    if isinstance(task, Number):
        yield from ("yes", "1 +", "2 3", "import os", "__import__('os')", object(), float("nan"), 1e300)
    elif isinstance(task, Choice):
        yield from ("z", "7", "a and b", 3.5)
    elif isinstance(task, Derivation):
        yield from ("hello", r"\frac{1}{", f"{task.first} {SIGN[task.relation]} {task.last}", 5)
        yield "A = A = A"
    else:
        yield from (
            "1 +",
            "x = 1",
            f"def {task.function}(*arguments):\n    return 'seven'",
            f"def {task.function}(*arguments):\n    return [object()]",
            f"def {task.function}(*arguments):\n    raise KeyError('no')",
            f"def {task.function}(*arguments):\n    return {task.function}(*arguments)",
            7,
        )


SIGN = {"=": "=", ">=": r"\ge", "<=": r"\le"}


@of_kind("number")
def test_the_general_slips_are_told_apart(exercise: Exercise) -> None:
    task = exercise.answer
    assert isinstance(task, Number)
    for _, value, says in slips_of(task):
        feedback = check_answer(exercise, repr(value))
        assert feedback.verdict == "wrong"
        assert feedback.message in {says, *(one.says for one in exercise.misconceptions)}


@of_kind("number")
def test_a_number_at_the_edge_of_its_tolerance_passes_and_one_beyond_it_fails(exercise: Exercise) -> None:
    task = exercise.answer
    assert isinstance(task, Number)
    for side in (-1, 1):
        inside, outside = (check_answer(exercise, task.target + side * task.allowed * part) for part in (0.999, 1.02))
        assert inside.verdict == "right"
        if task.allowed:
            assert outside.verdict == "wrong"


@every_exercise
def test_its_hints_differ_and_none_is_the_whole_answer(exercise: Exercise) -> None:
    assert len(set(exercise.hints)) == len(exercise.hints)
    if isinstance(exercise.answer, Derivation | Code):
        assert not any(exercise.answer.right.strip() in hint for hint in exercise.hints)


def test_the_table_of_the_collection(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints chapter by chapter how many exercises there are of each kind, and how many misconceptions."""
    kinds: dict[str, Counter[str]] = {}
    for one in EXERCISES:
        row = kinds.setdefault(one.chapter, Counter())
        row[one.kind] += 1
        row["in the page"] += one.in_page
        row["misconceptions"] += len(one.misconceptions)
        row["minutes"] += one.minutes
        row["★" * one.stars] += 1
    columns = ["number", "choice", "derive", "code", "in the page", "misconceptions", "★", "★★", "★★★", "minutes"]
    total = sum(kinds.values(), Counter())
    lines = ["chapter  " + "  ".join(columns)]
    for chapter, row in [*kinds.items(), ("all", total)]:
        cells = "  ".join(f"{row[name]:>{len(name)}}" for name in columns)
        lines.append(f"{chapter!s:>7}  {cells}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert total["misconceptions"] >= 2 * len(EXERCISES)
    assert isinstance(check_answer(EXERCISES[0], None), Feedback)
