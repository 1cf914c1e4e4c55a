"""Citations by author and year in round brackets: Tipping and Bishop (1999); the list is in the order of surnames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sphinxcontrib.bibtex.plugin
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _round_brackets() -> BracketStyle:
    return BracketStyle(left="(", right=")")


@dataclass
class RoundAuthorYearStyle(AuthorYearReferenceStyle):
    """``AuthorYearReferenceStyle`` with the brackets that statistics journals use."""

    bracket_parenthetical: BracketStyle = field(default_factory=_round_brackets)
    bracket_textual: BracketStyle = field(default_factory=_round_brackets)
    bracket_author: BracketStyle = field(default_factory=_round_brackets)
    bracket_label: BracketStyle = field(default_factory=_round_brackets)
    bracket_year: BracketStyle = field(default_factory=_round_brackets)


class SurnameFirstStyle(Style):  # type: ignore[misc]  # of a package without types
    """The plain style, with each surname before the first names, as the list is ordered by them."""

    default_name_style = "lastfirst"


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinxcontrib.bibtex")
    register_plugin("pybtex.style.formatting", "surname_first", SurnameFirstStyle)
    sphinxcontrib.bibtex.plugin.register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "author_year_round", RoundAuthorYearStyle, force=True
    )
