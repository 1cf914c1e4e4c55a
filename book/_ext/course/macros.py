r"""Writes out the macros of ``_config.yml``, for places that do not know them: bare Jupyter, Colab.

A macro is what MathJax's ``tex.macros`` takes: a definition, or a pair of definition and number of arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Macro = str | Sequence[str | int]

COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
COMMENT = re.compile(r"(?<!\\)%[^\n]*")
MAX_DEPTH = 20


def expand(latex: str, macros: Mapping[str, Macro], depth: int = 0) -> str:
    r"""Replace every macro by its definition, and the definition's macros too.

    Raises:
        ValueError: If a macro misses an argument, or macros define each other in a circle.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"macros that define each other in a circle: {latex}")
    written: list[str] = []
    position = 0
    while match := COMMAND.search(latex, position):
        name, end = match.group(1), match.end()
        written.append(latex[position : match.start()])
        position = end
        if name not in macros:
            written.append(match.group())
            continue
        macro = macros[name]
        body, count = (macro, 0) if isinstance(macro, str) else (str(macro[0]), int(macro[1]))
        for number in range(1, count + 1):
            argument, position = _argument(latex, position, name)
            body = body.replace(f"#{number}", argument)
        body = expand(body, macros, depth + 1)
        # A command must not run into the letter after it, where the macro's own name ended.
        if re.search(r"\\[A-Za-z]+$", body) and latex[position : position + 1].isalpha():
            body += " "
        written.append(body)
    return "".join(written) + latex[position:]


def _argument(latex: str, position: int, name: str) -> tuple[str, int]:
    """One TeX argument at ``position``: a group in braces, a command or a single character."""
    while position < len(latex) and latex[position].isspace():
        position += 1
    if position == len(latex):
        raise ValueError(f"\\{name} misses an argument in: {latex}")
    if latex[position] != "{":
        command = COMMAND.match(latex, position)
        end = command.end() if command else position + 1
        return latex[position:end], end
    level = 0
    for end in range(position, len(latex)):
        if latex[end] in "{}" and (end == 0 or latex[end - 1] != "\\"):
            level += 1 if latex[end] == "{" else -1
            if level == 0:
                return latex[position + 1 : end], end + 1
    raise ValueError(f"\\{name} has an argument that does not close in: {latex}")


def without_comments(latex: str) -> str:
    """Drop TeX comments, which would swallow the rest of a formula written on one line."""
    return COMMENT.sub("", latex)
