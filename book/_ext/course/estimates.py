"""Numbers that come from draws: each is shown with its standard error, and with no more digits than that supports.

The notebooks are read, not run. A value is random if a cell computes it with a call that draws, or from a random value;
where a cell prints one, glues it into the prose or plots it, a ``±``, the word *error* or a band must stand beside it.
A cell whose random numbers estimate nothing is tagged ``no-estimate`` and says why, as in
``# no estimate: the draws themselves``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from course.quantified import VOUCHED, sentences
from course.records import BOOK_ONLY

TAG = "no-estimate"
REASON = re.compile(r"# no estimate: \w+")

DRAWS = {
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "cubo",
    "elbo",
    "eubo",
    "importance_sampling",
    "iwae_bound",
    "jackknife_bound",
    "loads",  # measurements from a file
    "log_weights",
    "multinomial",
    "prior_monte_carlo",
    "rand",
    "randint",
    "randn",
    "renyi_bound",
    "rsample",
    "sample",
    "sample_posterior",
    "self_normalized_expectation",
    "summarize_weights",
    "surrogate",
}
# Of an estimate, what is no estimate.
CERTAIN = {"shape", "num_samples", "direction", "dtype", "device", "ndim"}
SHOWS = {"print", "glue", "display"}
DRAWN = {"bar", "barh", "hist", "loglog", "plot", "scatter", "semilogx", "semilogy", "step", "weights"}
PLOTS = re.compile(r"\bplots\.show\(")
BANDS = re.compile(r"fill_between|errorbar|\bband")
DECIMAL = re.compile(r"(?<![\w.])[-+−]?\d+\.\d+")
ERROR = re.compile(r"±|\berrors?\b|std_error", re.IGNORECASE)
# A line of a table may give the truth beside the estimates.
EXACT = re.compile(r"\bexact", re.IGNORECASE)
PLUS_MINUS = re.compile(r"(?P<value>\d+(?:\.\d+)?)(?:\*\*|\$|\s)*(?:±|\\pm)(?:\*\*|\$|\s)*(?P<error>\d+(?:\.\d+)?)")
GLUED = re.compile(r"\{glue:text\}`([\w-]+)")
BETTER = re.compile(r"\b(?:better|worse|beats?|outperforms?|wins?)\b", re.IGNORECASE)


def complaints(notebook: Any, page: Path) -> list[str]:
    """One line for each random number of a notebook or of its chapter that stands without its error."""
    names: set[str] = set()
    glued: set[str] = set()
    found = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    hidden = [nbformat.from_dict({**cell, "cell_type": "code"}) for cell in notebook.metadata.lvmlib["glued"]]
    for number, cell in enumerate((*cells, *hidden), 1):
        tags = cell.get("metadata", {}).get("tags", [])
        shown = _shown(_tree(cell.source), names)
        glued |= {name for name in map(_glued_name, shown) if name}
        if BOOK_ONLY in tags or number > len(cells):
            continue
        place = f"{page.stem}, code cell {number}"
        if TAG in tags:
            found += [] if REASON.search(cell.source) else [f"{place}: tagged {TAG}, and no reason given"]
        elif shown:
            found += [f"{place}: {line.strip()!r} without a standard error" for line in _bare_lines(cell)]
            if PLOTS.search(cell.source) and not BANDS.search(cell.source):
                found.append(f"{place}: a figure of random numbers without bands")
    return found + list(_in_prose(page, glued)) + list(_false_digits(notebook, page))


def _tree(source: str) -> ast.Module:
    return ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))


def _shown(tree: ast.Module, names: set[str]) -> list[ast.expr]:
    """What a cell shows that is random; ``names`` grows by the random names that the cell makes."""
    found: list[ast.expr] = []
    for statement in tree.body:
        # Loops and functions use what is made further down in them: read them until nothing new is found.
        while True:
            before = len(names)
            for node in ast.walk(statement):
                names |= _made(node, names)
            if len(names) == before:
                break
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        shows = [call for call in calls if _name(call.func) in SHOWS | DRAWN]
        found += [call for call in shows if any(_is_random(part, names) for part in call.args)]
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and _is_random(last.value, names):
        found.append(last.value)
    return found


def _made(node: ast.AST, names: set[str]) -> set[str]:
    """The names that a statement makes random."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
        if node.value is None or not _is_random(node.value, names):
            return set()
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {name for target in targets for name in _targets(target)}
    if isinstance(node, (ast.For, ast.comprehension)):
        return set(_targets(node.target)) if _is_random(node.iter, names) else set()
    if isinstance(node, ast.FunctionDef):
        returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
        return {node.name} if any(_is_random(value, names) for value in returned) else set()
    if isinstance(node, ast.Call) and _name(node.func) in ("append", "extend", "add"):
        assert isinstance(node.func, ast.Attribute)
        return set(_targets(node.func.value)) if any(_is_random(part, names) for part in node.args) else set()
    return set()


def _targets(node: ast.expr) -> Iterator[str]:
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Starred)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, (ast.Tuple, ast.List)):
        for part in node.elts:
            yield from _targets(part)


def _is_random(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Attribute) and node.attr in CERTAIN:
        return False
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name in DRAWS or (name in ("kl", "chi_square") and _has(node, "num_samples")):
            return True
        if name in ("len", "type", "isinstance"):
            return False
    if isinstance(node, ast.Name):
        return node.id in names
    return any(_is_random(child, names) for child in ast.iter_child_nodes(node))


def _has(call: ast.Call, keyword: str) -> bool:
    return any(given.arg == keyword for given in call.keywords)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _glued_name(shown: ast.expr) -> str | None:
    if isinstance(shown, ast.Call) and _name(shown.func) == "glue" and isinstance(shown.args[0], ast.Constant):
        return str(shown.args[0].value)
    return None


def _bare_lines(cell: Any) -> Iterator[str]:
    """The printed lines with a decimal number for which neither they nor a heading above them name an error."""
    for output in cell.outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        headed = False
        for line in text.splitlines() if "image/png" not in output.get("data", {}) else ():
            number = DECIMAL.search(line)
            headed = headed or bool(not number and ERROR.search(line))
            if number and not headed and not ERROR.search(line) and not EXACT.search(line):
                yield line


def _in_prose(page: Path, glued: set[str]) -> Iterator[str]:
    for sentence in sentences(page):
        random = sorted(glued.intersection(GLUED.findall(sentence.text)))
        if random and not ERROR.search(sentence.text):
            yield f"{sentence.place}: {', '.join(random)} without a standard error: {sentence.text}"
        measured = GLUED.search(sentence.text) or DECIMAL.search(sentence.text)
        if measured and BETTER.search(sentence.text) and not ERROR.search(sentence.text + _named(sentence.text)):
            yield f"{sentence.place}: compares without an interval: {sentence.text}"


def _named(text: str) -> str:
    """A comparison of exact numbers is vouched for by a test, and then needs no interval."""
    return "±" if VOUCHED.search(text) else ""


def _false_digits(notebook: Any, page: Path) -> Iterator[str]:
    """Pairs such as 3.14159 ± 0.2, whose digits do not end where the error begins."""
    for cell in notebook.cells:
        texts = [cell.source] if cell.cell_type == "markdown" else [output.get("text", "") for output in cell.outputs]
        for pair in (match for text in texts for match in PLUS_MINUS.finditer(text)):
            value, error = pair["value"], pair["error"]
            digits = error.replace(".", "").lstrip("0")
            if _decimals(value) != _decimals(error) or (len(digits) > 2 and "." in error) or not digits:
                yield f"{page.stem}: {pair[0]!r} shows digits that its error does not support, or no error"


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def found_in(root: Path) -> dict[str, list[str]]:
    """The complaints about each notebook, by the name of its page."""
    found = {}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook: Any = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        found[path.stem] = complaints(notebook, root / "book" / f"{path.stem}.md")
    return found


if __name__ == "__main__":
    for listed in found_in(Path()).values():
        print("\n".join(listed))
