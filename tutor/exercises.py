"""What an exercise is, and how it is read from the data that its author wrote.

Every field is checked when it is read, so that a slip of the author is found by name, in the build and in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from tutor.expressions import ExpressionError, evaluate

__all__ = [
    "KINDS",
    "Choice",
    "Code",
    "Derivation",
    "Exercise",
    "ExerciseError",
    "Misconception",
    "Number",
    "Option",
    "Step",
    "read_exercise",
]

KINDS = ("number", "choice", "derive", "code")
ID = re.compile(r"(\d+|[A-Z])\.\d+")
LABEL = re.compile(r"ex-[a-z0-9-]+")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ROLE = re.compile(r"\{[a-z:-]+\}`")
LETTERS = "abcdefgh"
# What `tutor.quantities` recognises when it is named.
SLIP_NAMES = (
    *("sign", "bits", "decimal", "nats", "variance", "deviation", "sum", "mean", "log-count"),
    *("logarithm", "exponential", "half", "percent"),
)


class ExerciseError(ValueError):
    """An exercise is not what an author may write; names the exercise, the field and what is expected."""


@dataclass(frozen=True)
class Misconception:
    """A wrong answer, or a rule that recognises a class of them.

    Args:
        name: What tests and reports call it, such as ``mean-of-logs``.
        says: What to tell the reader.
        value: For a number: the expression of the wrong value.
        code: For code: a wrong program, which the reader's is recognised by: it gives the same results.
        answer: For a derivation: one that makes the mistake, for the tests.
        side: For a derivation: a wrong side; recognised where a side of a false line has its value on every model.
        turned: For a derivation: whether it is a line that holds with its inequality turned around.
        condition: For a derivation: words of an assumption that a line needs and the exercise does not grant.
    """

    name: str
    says: str
    value: str = ""
    code: str = ""
    answer: str = ""
    side: str = ""
    turned: bool = False
    condition: str = ""


@dataclass(frozen=True)
class Number:
    """A number is asked for.

    Args:
        asks: The label of the field: which number, in which unit.
        value: The right value, as an expression.
        tolerance: How far from it an answer may lie: ``0.005``, or ``1 %`` of the value.
        unit: ``nats``, ``bits``, or nothing; in nats, the logarithms to the bases 2 and 10 are recognised.
        slips: Further general slips to recognise, from ``tutor.quantities.SLIPS``.
        count: For the slips of an average: how many terms it has.
    """

    asks: str
    value: str
    tolerance: str
    unit: str = ""
    slips: tuple[str, ...] = ()
    count: float = 0

    @property
    def target(self) -> float:
        """The right value."""
        return evaluate(self.value)

    @property
    def allowed(self) -> float:
        """How far an answer may lie from the right value."""
        share = self.tolerance.endswith("%")
        return abs(self.target) * evaluate(self.tolerance) if share else evaluate(self.tolerance)


@dataclass(frozen=True)
class Option:
    """One of the answers to choose from, with why it is right or wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Choice:
    """One of several answers is right."""

    options: tuple[Option, ...]
    asks: str = "Your answer"

    @property
    def right(self) -> str:
        """The letter of the right option."""
        return LETTERS[next(at for at, option in enumerate(self.options) if option.right)]


@dataclass(frozen=True)
class Step:
    """What some line in the middle of a derivation must show.

    Args:
        missing: What to tell the reader if no line does.
        equals: It has the value of this expression, on every model.
        contains: Each of these expressions stands in it.
    """

    missing: str
    equals: str = ""
    contains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Derivation:
    """A chain of equalities and inequalities from the first side to the last.

    Args:
        first: The side to begin with.
        last: The side to arrive at.
        right: The worked derivation, one display; the solution shows it.
        relation: What the whole chain states: ``=``, ``>=`` or ``<=``.
        steps: What its lines must show.
        given: What the checker takes as given, as for ``check_derivation``: definitions, ranges, draws.
        allows: Words of the conditions under which a line may hold, such as ``q(z) > 0``.
    """

    first: str
    last: str
    right: str
    relation: str = "="
    steps: tuple[Step, ...] = ()
    given: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """A function to write.

    Args:
        function: Its name.
        starter: What the reader begins with; its body is ``...``.
        right: A right program; the solution shows it.
        cases: A program with ``cases(random)``, which yields tuples of arguments: the hidden models.
        exact: A program with ``exact(*arguments)``: the exact answer, where ``right`` only estimates it.
        tolerance: How far a result may lie from the exact one, relative to it, or absolute where that is below 1.
        runs: ``page`` (plain Python, in the page too) or ``notebook`` (may use torch and lvmlib).
        judge: ``exact``; ``estimate``, where ``exact`` returns the mean and the standard deviation of one result; or
            ``property``, where many results are right.
        verify: For a property: a program with ``verify(result, *arguments)``, which returns what is wrong with a
            result, to follow "your function", or nothing; or a pair of that and the name of a misconception.
        seconds: How long all cases together may take.
        megabytes: How much memory they may take, where that can be bounded.
    """

    function: str
    starter: str
    right: str
    cases: str
    exact: str = ""
    tolerance: float = 1e-9
    runs: str = "page"
    judge: str = "exact"
    verify: str = ""
    seconds: float = 5.0
    megabytes: int = 1000


Task = Number | Choice | Derivation | Code
_TASKS: dict[str, type[Any]] = {"number": Number, "choice": Choice, "derive": Derivation, "code": Code}


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Args:
        id: Its number in the book, such as ``3.1``.
        label: Its name for cross-references, and for the reader's progress: it never changes.
        title: Its heading.
        kind: ``number``, ``choice``, ``derive`` or ``code``.
        stars: How hard it is: 1, 2 or 3.
        minutes: How long it takes.
        prompt: What to do, in MyST.
        hints: From gentle to explicit; Markdown with formulas.
        answer: What is right, and how it is checked.
        misconceptions: Wrong answers that are recognised.
        solution: The worked solution, in MyST.
        also_right: The right answer written otherwise, for the tests.
        wrong: Wrong answers that no misconception explains, for the tests.
    """

    id: str
    label: str
    title: str
    kind: str
    stars: int
    minutes: int
    prompt: str
    hints: tuple[str, ...]
    answer: Task
    misconceptions: tuple[Misconception, ...]
    solution: str
    also_right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def chapter(self) -> str:
        """The number of its chapter, or the letter of a page that is none."""
        return self.id.partition(".")[0]

    @property
    def in_page(self) -> bool:
        """Whether a page can check it, without torch."""
        return not isinstance(self.answer, Code) or self.answer.runs == "page"


T = TypeVar("T")


def read_exercise(data: Mapping[str, Any], source: str) -> Exercise:
    """An exercise from its data.

    Args:
        data: The fields as the author wrote them.
        source: The name of the file, for errors.

    Raises:
        ExerciseError: If a field is missing, unknown, of another type or out of range.
    """
    place = f"{source}, exercise {data.get('id', data.get('label', '?'))}"
    kind = data.get("kind")
    if kind not in KINDS:
        raise ExerciseError(f"{place}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    answer = dict(_mapping(data.get("answer"), f"{place}, answer"))
    if "options" in answer:
        answer["options"] = _all(Option, answer["options"], f"{place}, answer, options")
    if "steps" in answer:
        answer["steps"] = _all(Step, answer["steps"], f"{place}, answer, steps")
    task = _made(_TASKS[kind], answer, f"{place}, answer")
    misconceptions = _all(Misconception, data.get("misconceptions", []), f"{place}, misconceptions")
    if kind == "choice":
        if misconceptions:
            raise ExerciseError(f"{place}: a choice has its misconceptions in its options: give each a `why`")
        misconceptions = tuple(
            Misconception(f"option-{letter}", option.why)
            for letter, option in zip(LETTERS, task.options, strict=False)
            if not option.right
        )
    exercise = _made(Exercise, {**data, "answer": task, "misconceptions": misconceptions}, place)
    _examine(exercise, place)
    return exercise


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ExerciseError(f"{place}: expected fields with values, not {type(value).__name__}")
    return value


def _all(cls: type[T], values: Any, place: str) -> tuple[T, ...]:
    if not isinstance(values, list):
        raise ExerciseError(f"{place}: expected a list, not {type(values).__name__}")
    return tuple(_made(cls, _mapping(value, place), f"{place} {at}") for at, value in enumerate(values, 1))


def _made(cls: type[T], values: Mapping[str, Any], place: str) -> T:
    """An object of a class from fields of the types that it states."""
    known: Any = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    if unknown := values.keys() - known.keys():
        raise ExerciseError(f"{place}: no field is called {sorted(unknown)[0]!r}; there are {', '.join(known)}")
    made = {}
    for name, field in known.items():
        if name not in values:
            if field.default is MISSING:
                raise ExerciseError(f"{place}: {name} is missing")
            continue
        made[name] = _typed(values[name], field.type, f"{place}, {name}")
    return cls(**made)


def _typed(value: Any, kind: str, place: str) -> Any:
    if kind == "tuple[str, ...]":
        if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
            raise ExerciseError(f"{place}: expected a list of texts; quote what YAML reads as a number")
        return tuple(part.strip() for part in value)
    if kind == "str":
        if place.endswith((", value", ", tolerance")) and isinstance(value, (int, float)):
            return repr(value)
        if not isinstance(value, str):
            raise ExerciseError(f"{place} is {value!r}: expected text; quote it: '{value}'")
        return value.strip("\n") if "\n" in value else value.strip()
    expected: Any = {"int": int, "float": (int, float), "bool": bool}.get(kind)
    if expected is not None and (not isinstance(value, expected) or isinstance(value, bool) != (kind == "bool")):
        raise ExerciseError(f"{place} is {value!r}: expected {kind}; YAML reads 1e-9 as text, write 1.0e-9")
    return value


def _examine(exercise: Exercise, place: str) -> None:
    """What the types of the fields do not say."""

    def demand(holds: bool, message: str) -> None:
        if not holds:
            raise ExerciseError(f"{place}: {message}")

    demand(bool(ID.fullmatch(exercise.id)), f"id is {exercise.id!r}: expected chapter and number, such as '3.1'")
    demand(bool(LABEL.fullmatch(exercise.label)), f"label is {exercise.label!r}: expected 'ex-' and small letters")
    demand(exercise.stars in (1, 2, 3), f"stars is {exercise.stars}: expected 1, 2 or 3")
    demand(1 <= exercise.minutes <= 240, f"minutes is {exercise.minutes}: expected 1 to 240")
    for name in ("title", "prompt", "solution"):
        demand(bool(getattr(exercise, name)), f"{name} is empty")
    demand(bool(exercise.hints), "hints is empty: give one at least")
    names = [one.name for one in exercise.misconceptions]
    demand(len(names) == len(set(names)), "two misconceptions have one name")
    said = [*exercise.hints]
    for one in exercise.misconceptions:
        demand(bool(NAME.fullmatch(one.name)), f"a misconception is called {one.name!r}: write it like sum-for-mean")
        demand(bool(one.says), f"misconception {one.name}: says is empty")
        said.append(one.says)
    if isinstance(exercise.answer, Choice):
        options = exercise.answer.options
        demand(2 <= len(options) <= len(LETTERS), f"{len(options)} options: expected 2 to {len(LETTERS)}")
        demand(sum(option.right for option in options) == 1, "expected one option with `right: true`")
        said += [option.why for option in options]
    for text in said:
        demand(
            ROLE.search(text) is None, f"a role in {text[:40]!r}: hints and messages are plain Markdown with $formulas$"
        )
    _examine_task(exercise, demand)


def _examine_task(exercise: Exercise, demand: Any) -> None:
    """What each kind wants of its answer and of its misconceptions."""
    task = exercise.answer
    if isinstance(task, Number):
        demand(task.unit in ("", "nats", "bits"), f"unit is {task.unit!r}: expected nats, bits or nothing")
        unknown = [name for name in task.slips if name not in SLIP_NAMES]
        demand(not unknown, f"slips has {unknown}: expected some of {', '.join(SLIP_NAMES)}")
        texts = [task.value, task.tolerance, *(one.value for one in exercise.misconceptions)]
        for text in texts:
            try:
                evaluate(text)
            except ExpressionError as error:
                demand(False, f"{text!r} is not a number: {error}")
    elif isinstance(task, Derivation):
        demand(task.relation in ("=", ">=", "<="), f"relation is {task.relation!r}: expected =, >= or <=")
        for one in exercise.misconceptions:
            rules = bool(one.side) + one.turned + bool(one.condition)
            demand(rules == 1, f"misconception {one.name}: give one of side, turned and condition")
            demand(bool(one.answer), f"misconception {one.name}: give an answer that makes the mistake")
    elif isinstance(task, Code):
        demand(task.runs in ("page", "notebook"), f"runs is {task.runs!r}: expected page or notebook")
        judges = ("exact", "estimate", "property")
        demand(task.judge in judges, f"judge is {task.judge!r}: expected {', '.join(judges)}")
        demand(
            task.judge != "estimate" or bool(task.exact), "an estimate needs `exact`: its mean and standard deviation"
        )
        demand((task.judge == "property") == bool(task.verify), "`verify` and `judge: property` go together")
        demand(f"def {task.function}(" in task.starter, f"starter does not define {task.function}")
        for one in exercise.misconceptions:
            demand(bool(one.code), f"misconception {one.name}: give the wrong code")
