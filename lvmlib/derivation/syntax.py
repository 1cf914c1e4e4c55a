r"""The syntax tree of one side of a relation, and how to write it as LaTeX again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

__all__ = [
    "Call",
    "Density",
    "Divergence",
    "Entropy",
    "Expectation",
    "Exponential",
    "Expression",
    "Extremum",
    "FreeConstant",
    "Gradient",
    "Index",
    "IndexedSum",
    "Information",
    "Integral",
    "Logarithm",
    "Measure",
    "Negative",
    "Number",
    "Power",
    "Product",
    "Quotient",
    "Span",
    "Sum",
    "Variable",
    "Variance",
    "to_latex",
]


@dataclass(frozen=True, slots=True)
class Index:
    """An index: a letter plus a number (``k + 1``), or a number alone (``letter`` empty)."""

    letter: str = ""
    offset: int = 0

    def __str__(self) -> str:
        if not self.letter:
            return str(self.offset)
        return self.letter + (f"{self.offset:+d}" if self.offset else "")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of indices, ends included: ``1:K``."""

    first: Index
    last: Index

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"


@dataclass(frozen=True, slots=True)
class Variable:
    r"""A random variable as written: ``z``, ``z_k``, ``z_{1:K}``, ``z'``; ``name`` is empty for a dot."""

    name: str
    index: tuple[Index | Span, ...] = ()
    mark: str = ""

    def __str__(self) -> str:
        name = f"\\{self.name}" if len(self.name) > 1 else self.name or r"\cdot"
        return name + self.mark + (f"_{{{','.join(map(str, self.index))}}}" if self.index else "")


class Expression:
    """A node of the tree; its subexpressions are the fields that hold expressions."""

    __slots__ = ()

    def parts(self) -> Iterator[Expression]:
        """The direct subexpressions."""
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            if isinstance(value, Expression):
                yield value
            elif isinstance(value, tuple):
                yield from (part for part in value if isinstance(part, Expression))

    def map(self, change: Callable[[Expression], Expression]) -> Expression:
        """The same node with each direct subexpression changed."""
        changes: dict[str, object] = {}
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            if isinstance(value, Expression):
                changes[entry.name] = change(value)
            elif isinstance(value, tuple) and any(isinstance(part, Expression) for part in value):
                changes[entry.name] = tuple(change(p) if isinstance(p, Expression) else p for p in value)
        return replace(self, **changes) if changes else self  # type: ignore[type-var]

    def walk(self) -> Iterator[Expression]:
        """This node and all below it."""
        yield self
        for part in self.parts():
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class Number(Expression):
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Call(Expression):
    r"""A name: a scalar, a size, a defined quantity or a function such as ``f(z)``, ``w_k``, ``\mathcal L(q)``.

    ``variables`` are its arguments where they are variables, ``others`` where they are not (a density letter,
    a parameter).
    """

    name: str
    index: tuple[Index | Span, ...] = ()
    variables: tuple[Variable, ...] = ()
    others: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Density(Expression):
    r"""``p_\theta(left | right)``; ``left`` is empty where a letter stands alone."""

    letter: str
    left: tuple[Variable, ...] = ()
    right: tuple[Variable, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum(Expression):
    """Terms added."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Product(Expression):
    """Factors multiplied."""

    factors: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Quotient(Expression):
    """A fraction."""

    numerator: Expression
    denominator: Expression


@dataclass(frozen=True, slots=True)
class Negative(Expression):
    """A term with a minus sign."""

    body: Expression


@dataclass(frozen=True, slots=True)
class Power(Expression):
    """A power or root."""

    base: Expression
    exponent: Expression


@dataclass(frozen=True, slots=True)
class Logarithm(Expression):
    """The natural logarithm."""

    body: Expression


@dataclass(frozen=True, slots=True)
class Exponential(Expression):
    """The exponential function."""

    body: Expression


@dataclass(frozen=True, slots=True)
class Measure(Expression):
    r"""What an expectation is taken over: densities, and the variables they are said to range over.

    ``names[i]`` holds the variables written before ``\sim`` for ``densities[i]``, and is empty where none were.
    """

    densities: tuple[Expression, ...]
    names: tuple[tuple[Variable, ...], ...]


@dataclass(frozen=True, slots=True)
class Expectation(Expression):
    """An expectation."""

    measure: Measure
    body: Expression


@dataclass(frozen=True, slots=True)
class Variance(Expression):
    """A variance."""

    measure: Measure
    body: Expression


@dataclass(frozen=True, slots=True)
class Integral(Expression):
    """An integral or a sum over values; ``variables`` is empty where none are named."""

    variables: tuple[Variable, ...]
    body: Expression
    is_sum: bool = False


@dataclass(frozen=True, slots=True)
class IndexedSum(Expression):
    """A sum or a product over an index."""

    letter: str
    lower: Index
    upper: Index
    body: Expression
    is_product: bool = False


@dataclass(frozen=True, slots=True)
class Divergence(Expression):
    """``kind`` is "kl", "chi2", "renyi" or "tv"; ``order`` is the order of Rényi's."""

    kind: str
    first: Expression
    second: Expression
    order: Expression | None = None


@dataclass(frozen=True, slots=True)
class Entropy(Expression):
    """The entropy of a density, or the cross-entropy of two."""

    first: Expression
    second: Expression | None = None


@dataclass(frozen=True, slots=True)
class Information(Expression):
    """``I(first; second | given)``, or the entropy ``H(first | given)`` where ``second`` is empty."""

    letter: str
    first: tuple[Variable, ...]
    second: tuple[Variable, ...] = ()
    given: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True)
class Gradient(Expression):
    """A derivative with respect to parameters."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class Extremum(Expression):
    """``kind`` is "max", "min", "argmax" or "argmin"; ``over`` names density letters or parameters."""

    kind: str
    over: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class FreeConstant(Expression):
    """An additive constant that is not named further."""


_ATOMS = (Number, Call, Density, Expectation, Variance, Divergence, Entropy, Information, Power, FreeConstant)


def _name(name: str) -> str:
    if name.startswith("@"):
        return rf"\mathrm{{{name[1:]}}}"
    if ":" in name:
        style, letter = name.split(":", 1)
        command = {"cal": "mathcal", "bb": "mathbb", "upright": "mathrm", "dot": "dot"}.get(style, style)
        return rf"\{command}{{{_name(letter)}}}"
    if "[" in name:
        letter, decoration = name[:-1].split("[", 1)
        return f"{_name(letter)}{decoration}"
    return f"\\{name}" if len(name) > 1 and name.isalpha() else name


def _variables(variables: tuple[Variable, ...]) -> str:
    return ", ".join(map(str, variables))


def _measure(measure: Measure) -> str:
    texts = []
    for density, names in zip(measure.densities, measure.names, strict=True):
        text = "" if density == Number(1.0) else to_latex(density)
        texts.append(rf"{_variables(names)} \sim {text}" if names and text else text or _variables(names))
    return r"\,".join(texts)


def _wrapped(part: Expression) -> str:
    text = to_latex(part)
    return text if isinstance(part, (*_ATOMS, Quotient)) else rf"\left({text}\right)"


def in_text(tree: Expression) -> str:
    """An expression for the middle of a sentence, between dollar signs as in Markdown."""
    return f"${to_latex(tree)}$"


def to_latex(tree: Expression) -> str:
    r"""Writes an expression as LaTeX, with brackets wherever a reader could doubt.

    Example:
        >>> to_latex(Logarithm(Density("p", (Variable("x"),), (Variable("z"),))))
        '\\log p(x \\mid z)'
    """
    match tree:
        case Number(value):
            return f"{value:g}"
        case Call(name, index, variables, others, parameters):
            subs = [*map(str, index), *(_name(p) for p in parameters)]
            text = _name(name) + (f"_{{{','.join(subs)}}}" if subs else "")
            arguments = [*map(str, variables), *(_name(o) for o in others)]
            return text + (f"({', '.join(arguments)})" if arguments else "")
        case Density(letter, left, right, parameters):
            sub = f"_{{{','.join(_name(p) for p in parameters)}}}" if parameters else ""
            if not left:
                return _name(letter) + sub
            given = rf" \mid {_variables(right)}" if right else ""
            return f"{_name(letter)}{sub}({_variables(left)}{given})"
        case Sum(terms):
            text = ""
            for term in terms:
                if isinstance(term, Negative):
                    text += f" - {_wrapped(term.body) if isinstance(term.body, Sum) else to_latex(term.body)}"
                else:
                    text += f" + {to_latex(term)}"
            return text[3:] if text.startswith(" + ") else text.strip()
        case Product(factors):
            *first, last = factors
            loose = isinstance(last, Expectation | Integral | IndexedSum | Logarithm)
            return r" \, ".join([*map(_wrapped, first), to_latex(last) if loose else _wrapped(last)])
        case Quotient(numerator, denominator):
            return rf"\frac{{{to_latex(numerator)}}}{{{to_latex(denominator)}}}"
        case Negative(body):
            return f"-{_wrapped(body) if isinstance(body, Sum) else to_latex(body)}"
        case Power(base, exponent):
            if exponent == Number(0.5):
                return rf"\sqrt{{{to_latex(base)}}}"
            return f"{_wrapped(base)}^{{{to_latex(exponent)}}}"
        case Logarithm(body):
            loose = isinstance(body, Integral | IndexedSum)
            return rf"\log {to_latex(body) if loose else _wrapped(body)}"
        case Exponential(body):
            return rf"\exp\left({to_latex(body)}\right)"
        case Expectation(measure, body):
            return rf"\mathbb{{E}}_{{{_measure(measure)}}}\left[{to_latex(body)}\right]"
        case Variance(measure, body):
            return rf"\mathrm{{Var}}_{{{_measure(measure)}}}\left[{to_latex(body)}\right]"
        case Integral(variables, body, is_sum):
            if is_sum:
                return rf"\sum_{{{_variables(variables)}}} {_wrapped(body)}"
            return rf"\int {_wrapped(body)} \," + r"\,".join(f"d{v}" for v in variables)
        case IndexedSum(letter, lower, upper, body, is_product):
            return rf"\{'prod' if is_product else 'sum'}_{{{letter}={lower}}}^{{{upper}}} {_wrapped(body)}"
        case Divergence(kind, first, second, order):
            name = {"kl": r"\mathrm{KL}", "chi2": r"\chi^2", "tv": r"\mathrm{TV}"}.get(kind, "D")
            sub = f"_{{{to_latex(order)}}}" if order is not None else ""
            return rf"{name}{sub}\left({to_latex(first)} \,\Vert\, {to_latex(second)}\right)"
        case Entropy(first, second):
            return rf"\mathrm{{H}}\left[{to_latex(first)}{', ' + to_latex(second) if second else ''}\right]"
        case Information(letter, left, right, given):
            other = f"; {_variables(right)}" if right else ""
            condition = rf" \mid {_variables(given)}" if given else ""
            return rf"\mathrm{{{'I' if right else 'H'}}}_{{{_name(letter)}}}({_variables(left)}{other}{condition})"
        case Gradient(parameters, body):
            return rf"\nabla_{{{', '.join(_name(p) for p in parameters)}}} {_wrapped(body)}"
        case Extremum(kind, over, body):
            command = {"argmax": r"\arg\max", "argmin": r"\arg\min"}.get(kind, f"\\{kind}")
            return rf"{command}_{{{', '.join(_name(o) for o in over)}}} \left[{to_latex(body)}\right]"
        case Measure():
            return _measure(tree)
        case FreeConstant():
            return r"\text{const}"
        case _:
            raise TypeError(f"no LaTeX for {type(tree).__name__}")
