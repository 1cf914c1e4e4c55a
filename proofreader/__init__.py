r"""Derivations that check themselves: reads LaTeX and judges every line on random finite models.

A line such as ``\log p(x) \ge \E_{q(z)}[\log p(x, z) - \log q(z)]`` says something about *every* model and every q.
:func:`check_derivation` puts random tables in the place of ``p`` and ``q``, evaluates both sides exactly on many
models,
and gives one of five verdicts a line:

- ``"holds"``: the strict reading is true on all models;
- ``"holds_if"``: it is true under the ``condition`` that the report names, an assumption or another reading;
- ``"false"``: every plausible reading fails, and a small model on which it does is shown;
- ``"unreadable"``: it is not understood, or a name in it is not defined;
- ``"no_claim"``: it states nothing: a definition, a choice of q, a declaration, an update, a condition, a fragment.

**Names.** Differently decorated names are different objects (``\theta^*``, ``\theta_t``, ``p'``). A family ``z_1, …,
z_K``
consists of variables of its own where a density takes several of its members at once, and of draws otherwise.

**Densities and probabilities.** A density may exceed 1, and in half of the models it does, so that a fact about
discrete variables alone (an entropy is not negative) holds only if they are. A sum over the values of a variable says
that it is discrete.

**Files** are read with more doubt than a derivation that is typed for the checker: in them a line is false only where a
single correction makes it hold (:mod:`proofreader.slips`), unless ``confirmed=False`` or ``--unconfirmed`` asks for all
that fails.

**Marks in a file**, on a line of their own in front of a display, as a comment of TeX or of Markdown:

- ``% derivation: unread, REASON``: do not read it;
- ``% derivation: false, REASON``: it is false on purpose, and must be found false;
- ``% derivation: define w(z) := p(x,z)/q(z)``: take this as given (may be repeated);
- ``% derivation: throughout define …``: the same, down to the end of the file;
- ``% derivation: label NAME``: gives the display a name for links and lists.

How far operators without brackets reach is said in :mod:`proofreader.parse`. Nothing that is read is ever executed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from proofreader.checking import check_derivation
from proofreader.errors import DerivationSyntaxError
from proofreader.report import Counterexample, DerivationLine, DerivationReport
from proofreader.source import Macro, macros_of

if TYPE_CHECKING:
    from proofreader.displays import Display, displays_in
    from proofreader.documents import CheckedDisplay, check_file

__all__ = [
    "CheckedDisplay",
    "Counterexample",
    "DerivationLine",
    "DerivationReport",
    "DerivationSyntaxError",
    "Display",
    "Macro",
    "check_derivation",
    "check_file",
    "displays_in",
    "macros_of",
]


def __getattr__(name: str) -> Any:
    """What reads files is loaded when it is first asked for: a page needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'proofreader' has no attribute {name!r}")
    return getattr(importlib.import_module("proofreader.documents"), name)
