r"""Derivations that check themselves: reads LaTeX and evaluates every line on random finite models.

A line such as ``\log p(x) \ge \E_{q(z)}[\log p(x, z) - \log q(z)]`` says something about *every* model and every
q. :func:`check_derivation` binds ``p`` and ``q`` to random tables over a few values of each variable, evaluates
both sides exactly, for many models, and reports for each line whether it holds.

**What is random.** ``p`` is one joint table over all variables that the display gives to it; each marginal and
conditional follows from it, and ``p_\theta`` is the same density. Every other letter (``q``, ``r``, ``\pi``, or
one marked by a star or an index such as ``q^*`` and ``p_{\theta'}``) has a joint table of its own. A variable that
nothing binds is free: the line must hold at each of its values. A size such as ``K`` is 2 in some models and 3 in
others. Names that nothing defines are arbitrary functions and positive numbers; calligraphic letters and words
must be defined, by ``:=`` in the display, by standing alone on a side of ``=``, or in ``definitions``.

**Densities and probabilities.** A density may exceed 1. So in half of the models the values of a variable have random
sizes: an integral weighs each value by its size, and a density is a probability divided by a size. A display that
sums over the values of a variable, or speaks of entropy or information, is about probabilities, and all sizes are 1.
In about a quarter of the models q is close to the posterior, where a bound is tight and a false one is found out.

**Parameters.** ``\nabla_\theta`` is the derivative along a random direction of a log-linear family: of every density
that the display gives theta to, or of p where it gives it to none. A prior written without theta beside a
``p_\theta(x \mid z)`` does not move. ``\max_q`` runs over every density q, ``\max_\theta`` over a few random values of
theta.

**Indices.** Where some density takes two members of a family at once, as ``p(x, z_1, z_2)`` does, they are
variables of their own. Otherwise ``z_k`` and ``z'`` are further values of ``z``, and draws from one density are
independent. An index that nothing binds is any one value.

**Precedence.** Products bind closer than sums. A logarithm without brackets takes all factors that follow in its
term, up to the next logarithm: ``\log p(x \mid z) p(z)`` is the logarithm of the product; but a fraction or
a bracket right behind it is all it takes, unless the fraction stands in front of a sum. An expectation, a sum or an
integral without brackets takes the rest of
its term and stops at ``+`` and ``-``; with brackets it takes the bracket; an integral with its ``dz`` takes what
stands between. A product sign stops at the next logarithm, sum or expectation. A gradient takes the next factor.
A maximum takes the rest of the side. Where readers differ, the other reading is tried if the first fails, and the
report says so.

**Expectations.** ``\E_{z \sim q(z \mid x)}``, ``\E_{q(z)}`` and ``\E_q`` bind the variables of the density. An
expectation over a variable that names no density is read over the prior, with a note. ``\propto`` means
proportional in the variables in front of the bar of the chain's first side, or else in the latent variables.
``\approx`` states no identity: it holds if it is exact once every sample average is replaced by its expectation,
and cannot be judged without a sample average.

**Marks in a source file.** A line of its own in front of a display, ``% derivation: ...`` in MyST and LaTeX or
``<!-- derivation: ... -->`` in Markdown, speaks about the next display only, or about all that follow if it says
``throughout``:

- ``% derivation: unread, REASON``: do not read it;
- ``% derivation: false, REASON``: it is false on purpose, and must be found false;
- ``% derivation: define w(z) := p(x,z)/q(z)``: take this as given (may be repeated);
- ``% derivation: throughout define w(z) := p(x,z)/q(z)``: the same, down to the end of the file;
- ``% derivation: label NAME``: gives the display a name for links and lists.

What a display defines by ``:=`` is known to the later displays of its file, but for densities: those are given in
every display anew. Nothing that is read is ever executed: the text meets a tokeniser, a grammar and arithmetic.

Example:
    >>> print(check_derivation(r"\log p(x) \ge \E_{q(z)}[\log p(x,z) - \log q(z)]"))
    ✓ \log p(x) \ge \E_{q(z)}[\log p(x,z) - \log q(z)]
        equality when q(z) = p(z | x)
"""

from lvmlib.derivation.checking import check_derivation
from lvmlib.derivation.documents import CheckedBlock, DisplayBlock, check_file, display_blocks
from lvmlib.derivation.reader import DerivationSyntaxError, macros_of
from lvmlib.derivation.report import Counterexample, DerivationLine, DerivationReport

__all__ = [
    "CheckedBlock",
    "Counterexample",
    "DerivationLine",
    "DerivationReport",
    "DerivationSyntaxError",
    "DisplayBlock",
    "check_derivation",
    "check_file",
    "display_blocks",
    "macros_of",
]
