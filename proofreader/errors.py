"""The one error of this package: LaTeX that cannot be read, and where."""

from __future__ import annotations

from typing import Any

__all__ = ["DerivationSyntaxError", "TooSlowError"]


class DerivationSyntaxError(ValueError):
    r"""LaTeX that cannot be read as a derivation.

    Args:
        message: What is wrong, and the likely slip.
        latex: The source that was read.
        position: Where in it, counted in characters from 0.

    Attributes:
        mended: The symbols of the side with the bracket closed that is clearly missing, if one is.

    Example:
        >>> print(DerivationSyntaxError("a bracket opened at column 4 is never closed", "-KL(q", 3))
        a bracket opened at column 4 is never closed
          -KL(q
             ^
    """

    def __init__(self, message: str, latex: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.latex = latex
        self.position = max(0, min(position, len(latex)))
        self.mended: tuple[Any, ...] | None = None

    @property
    def column(self) -> int:
        """The column in its own line of the source, counted from 1."""
        return self.position - (self.latex.rfind("\n", 0, self.position) + 1) + 1

    def caret(self) -> str:
        """The line of the source at fault, with a caret under the place."""
        start = self.latex.rfind("\n", 0, self.position) + 1
        end = self.latex.find("\n", self.position)
        line = self.latex[start : len(self.latex) if end < 0 else end]
        shown = line.strip()
        offset = max(0, self.position - start - (len(line) - len(line.lstrip())))
        if len(shown) > 100:
            cut = max(0, offset - 50)
            shown, offset = shown[cut : cut + 100], offset - cut
        return f"  {shown}\n  {' ' * offset}^"

    def __str__(self) -> str:
        return f"{self.message}\n{self.caret()}" if self.latex else self.message


class TooSlowError(Exception):
    """The time allowed for one derivation is over; the lines that are left are not judged."""
