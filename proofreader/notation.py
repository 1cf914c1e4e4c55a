# ruff: noqa: E501 (rows of tables are easier to read in one line)
r"""The one table of notation: a row an operator, and the small lists of spellings around it.

A spelling is a command (``\log``), a word in upright type (``@log``), a letter with its style (``bb:E``, ``cal:H``) or a
plain letter (``E``). ``form`` says how an operator finds its arguments (see :mod:`proofreader.parse`), ``latex`` how it
is written again, and ``kind`` names the case of :mod:`proofreader.meanings` that says what it means. A new operator is
one row here and one case there.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ACCENTS",
    "CONSTANTS",
    "INDICATORS",
    "NAMED",
    "OPERATORS",
    "PREAMBLE",
    "RELATIONS",
    "SHORTHANDS",
    "Operator",
    "operator_named",
    "words",
]


def words(text: str) -> list[str]:
    """The words of a table."""
    return text.split()


class Operator(NamedTuple):
    """A row of the table."""

    kind: str
    spellings: str
    form: str
    latex: str


OPERATORS = (
    Operator("log", r"\log \ln \lg @log @ln @Log \Log", "logarithm", r"\log {0}"),
    Operator("exp", r"\exp @exp \Exp", "function", r"\exp({0})"),
    Operator("gamma_function", r"\Gamma", "function", r"\Gamma({0})"),
    Operator("digamma", r"\digamma @digamma", "function", r"\psi({0})"),
    Operator("absolute", r"\abs @abs", "function", r"|{0}|"),
    Operator("trace", r"\det \tr \Tr \trace \Det @det @tr @Tr @trace @Trace", "function", r"\operatorname{{tr}}({0})"),
    Operator("norm", "", "function", r"\|{0}\|"),
    Operator(
        "expect",
        r"\E \EE \Ex \Exp \expect \expectation \mean bb:E cal:E @E @Ex E",
        "average",
        r"\mathbb{{E}}_{{{laws}}}[{0}]",
    ),
    Operator("variance", r"\Var \V \var bb:V @Var @var \variance", "average", r"\operatorname{{Var}}_{{{laws}}}[{0}]"),
    Operator("covariance", r"\Cov \cov @Cov @cov", "average", r"\operatorname{{Cov}}_{{{laws}}}({0}, {1})"),
    Operator(
        "kl",
        r"\KL \kl \Dkl \DKL \KLD \kld @KL @KLD @Dkl @DKL @kl @D_KL bb:KL",
        "divergence",
        r"\mathrm{{KL}}({0} \Vert {1})",
    ),
    Operator("chi2", r"\chi \chisq", "divergence", r"\chi^2({0} \Vert {1})"),
    Operator("renyi", "", "divergence", r"D_{{{2}}}({0} \Vert {1})"),
    Operator("tv", r"\TV \tv @TV", "divergence", r"\mathrm{{TV}}({0}, {1})"),
    Operator("js", r"\JS \JSD @JS @JSD", "divergence", r"\mathrm{{JS}}({0} \Vert {1})"),
    Operator(
        "entropy",
        r"\H \Ent \Entropy \entropy bb:H cal:H @H @Ent @Entropy h H S bb:S cal:S",
        "entropy",
        r"\mathrm{{H}}({0})",
    ),
    Operator("information", r"\I \MI \mi bb:I cal:I @I @MI I", "information", r"I({0})"),
    Operator("gradient", r"\nabla", "gradient", r"\nabla_{{{names}}} {0}"),
    Operator("integral", r"\int \iint \iiint \oint", "integral", r"\int {0}\, d{names}"),
    Operator("series", r"\sum", "series", r"\sum_{{{range}}} {0}"),
    Operator("product", r"\prod", "series", r"\prod_{{{range}}} {0}"),
    Operator("max", r"\max \sup @max @sup @maximize", "extremum", r"\max_{{{names}}} {0}"),
    Operator("min", r"\min \inf @min @inf @minimize", "extremum", r"\min_{{{names}}} {0}"),
    Operator("argmax", r"\argmax @argmax @Argmax @arg\,max", "extremum", r"\arg\max_{{{names}}} {0}"),
    Operator("argmin", r"\argmin @argmin @Argmin", "extremum", r"\arg\min_{{{names}}} {0}"),
    Operator(
        "stop",
        r"\sg \stopgrad \stopgradient \detach @sg @stopgrad @SG @StopGradient @stop_gradient @detach @stopgradient",
        "function",
        r"\mathrm{{sg}}({0})",
    ),
)
_BY_SPELLING = {spelling: row for row in OPERATORS for spelling in row.spellings.split()}
# Letters that stand for an operator only where their arguments look like it.
SHY = frozenset(
    ["E", "H", "h", "S", "I", "cal:E", "cal:I", "cal:S", "bb:S", r"\chi", r"\V", "bb:V", r"\H", r"\I", r"\Gamma"]
)
# Words typed as letters in italics: the reader is told of the command that was meant.
TYPED = words(
    "ELBO argmax argmin stopgrad softmax const log exp Log max min DKL KL JSD JS Var Cov MI ln sg Pr Dir Cat Bern"
)

RELATIONS = {
    **dict.fromkeys(["=", r"\eq", "\uff1d"], "="),
    **dict.fromkeys([r"\ge", r"\geq", r"\geqslant", r"\geqq", "≥", r"\gtrsim"], ">="),
    **dict.fromkeys([r"\le", r"\leq", r"\leqslant", r"\leqq", "≤", r"\lesssim"], "<="),
    **dict.fromkeys([">", r"\gt", r"\gg"], ">"),
    **dict.fromkeys(["<", r"\lt", r"\ll"], "<"),
    **dict.fromkeys([r"\propto", r"\varpropto", "∝"], "propto"),
    **dict.fromkeys([r"\approx", r"\simeq", r"\cong", r"\approxeq", "≈"], "approx"),
    **dict.fromkeys(words(r"\triangleq \equiv \coloneqq \coloneq \colonequals \doteq ≡ ≜ := \defeq \eqdef"), ":="),
    **dict.fromkeys([r"\eqqcolon", r"\eqcolon", "=:"], "=:"),
    **dict.fromkeys([r"\neq", r"\ne", "≠"], "!="),
    **dict.fromkeys([r"\sim", "∼", r"\overset{iid}{\sim}", r"\thicksim"], "~"),
    **dict.fromkeys([r"\in", r"\subset", r"\subseteq", "∈", r"\notin"], "in"),
    **dict.fromkeys([r"\leftarrow", r"\gets", "←", r"\longleftarrow", r"\Leftarrow"], "<-"),
    **dict.fromkeys(
        words(r"\to \rightarrow \longrightarrow \mapsto \xrightarrow → \perp \indep \rightsquigarrow"), "->"
    ),
}
IMPLIES = frozenset(
    words(
        r"\Rightarrow \implies \Longrightarrow \Leftrightarrow \iff \Longleftrightarrow \therefore \because "
        r"\impliedby \Longleftarrow ⇒ ⇔"
    )
)
SHOWN = {
    "=": "=",
    ":=": ":=",
    ">=": "≥",
    "<=": "≤",
    ">": ">",
    "<": "<",
    "propto": "∝",
    "approx": "≈",
    "!=": "≠",
    "~": "∼",
    "<-": "←",
    "in": "∈",
    "->": "→",
}
# Words and letters for a constant that nobody names.
CONSTANTS = frozenset(
    ["@const", "@constant", "@Const", "@cst", "@cste", "@constants", "@terms", "@C", r"\const", "c", "C"]
)
# What stands in front of an event that is one where it holds: a one in any style, or a letter I.
INDICATORS = frozenset(words(r"1 bb:1 @1 bb:I @I I \1 \ind \indicator \Ind \Indicator \indic \mathbbm1 \iverson"))
NAMED = {
    "normal": r"cal:N @N \Normal \N @Normal bb:N @Gaussian \Gauss N",
    "bernoulli": r"@Bern @Bernoulli @Ber cal:B \Bern \Bernoulli \Ber",
    "categorical": r"@Cat @Categorical \Cat \Categorical @Multinomial @Mult",
    "dirichlet": r"@Dir @Dirichlet \Dir \Dirichlet",
    "beta": r"@Beta \Beta",
    "gamma": r"@Gamma @Gam \Gam",
    "poisson": r"@Poisson @Pois @Poi \Poisson \Pois",
    "uniform": r"@Unif @Uniform @U cal:U \Unif",
}
ACCENTS = {
    **dict.fromkeys([r"\tilde", r"\widetilde"], "tilde"),
    **dict.fromkeys([r"\hat", r"\widehat"], "hat"),
    **dict.fromkeys([r"\bar", r"\overline"], "bar"),
    **dict.fromkeys([r"\dot", r"\ddot", r"\check", r"\breve", r"\underline", r"\mathring"], "dot"),
}
# What only moves ink about, and what stands in front of an argument of its own.
DROPPED = {
    "~", "\\ ", "\\\n", " ", "\\", r"\left", r"\right", r"\middle",
    *words(r"\, \; \: \! \> \/ \- \enspace \thinspace \medspace \thickspace \negthinspace \negmedspace \hfill \hfil \allowbreak \nobreak \par"),
    *words(r"\displaystyle \textstyle \scriptstyle \scriptscriptstyle \limits \nolimits \nonumber \notag \strut \mathstrut \relax \noindent"),
    *words(r"\big \Big \bigg \Bigg \bigl \Bigl \biggl \Biggl \bigr \Bigr \biggr \Biggr \bigm \Bigm \biggm \Biggm \mathop \mathrel \mathbin"),
    *words(r"\bf \rm \it \cal \sf \tt \small \footnotesize \large \Large \normalsize \scriptsize \centering \qed \square \qedhere \blacksquare"),
    *words(r"\mathord \mathopen \mathclose \mathinner \protect \bm@ \mathpunct \null \unskip \ignorespaces \hline \smallskip \medskip \bigskip"),
}  # fmt: skip
DROPPED_WITH_ARGUMENT = set(
    words(
        r"\tag \label \phantom \hphantom \vphantom \hspace \vspace \color \eqref \ref \cref \Cref \cite \citep \citet \footnote \mspace \kern \require \eqnum \index \textcolor@"
    )
)
STYLES = {
    **dict.fromkeys(
        words(r"\mathbf \boldsymbol \bm \pmb \mathit \vec \symbf \mathnormal \bold \mathbfit \mbox@ \vb \vv"), ""
    ),
    **dict.fromkeys(words(r"\mathcal \mathscr \mathfrak \euscr"), "cal"),
    **dict.fromkeys(words(r"\mathbb \mathds \mathbbm"), "bb"),
}
TEXT = set(
    words(
        r"\text \textrm \textit \textbf \mbox \textsf \emph \textup \textnormal \intertext \shortintertext \hbox \textsl"
    )
)
UPRIGHT = set(words(r"\mathrm \operatorname \mathsf \mathtt \operatornamewithlimits \texttt \rmop \textsc"))
TRANSPARENT = set(
    words(
        r"\underbrace \overbrace \boxed \mathclap \mathllap \mathrlap \smash \cancel \bcancel \xcancel \fbox \ensuremath \vcenter \underbracket \overbracket \framebox \colorbox@"
    )
)
SECOND = set(words(r"\textcolor \colorbox \colorlet"))
ARGUMENTS = {
    **dict.fromkeys(words(r"\frac \dfrac \tfrac \cfrac \nicefrac \sfrac \binom \underset \overset \stackrel"), 2),
    **dict.fromkeys(words(r"\sqrt \substack \not \xrightarrow \xleftarrow"), 1),
}
EXTREMA = frozenset([r"\arg\max", r"\arg\min", r"\argmax", r"\argmin"])
# Greek letters that are typed as such.
TYPED_LETTERS = {
    letter: "\\" + name
    for letter, name in zip(
        "αβγδεϵζηθϑικλμνξπρσςτυφϕχψωΓΔΘΛΞΠΣΦΨΩ",
        words(
            "alpha beta gamma delta epsilon epsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma sigma tau "
            "upsilon phi phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
        ),
        strict=True,
    )
} | dict(zip("∑∏∫∇∂", words(r"\sum \prod \int \nabla \partial"), strict=True))
# Words that bring in what letters mean, in other languages.
WHERE = words("其中 这里 這裡 ここで ただし 여기서 где wobei où donde onde dove")
JOINING = frozenset(
    WHERE
    + words(
        "and where with for if when using since as by because from so hence thus therefore then or such that given let but i.e. where:"
    )
)
# Macros of packages and of many authors, as TeX; what a document defines itself comes first.
PREAMBLE = r"""
\newcommand{\ELBO}{\operatorname{ELBO}} \newcommand{\EUBO}{\operatorname{EUBO}} \newcommand{\CUBO}{\operatorname{CUBO}}
\newcommand{\IWAE}{\operatorname{IWAE}} \newcommand{\elbo}{\operatorname{ELBO}} \newcommand{\R}{\mathbb{R}} \newcommand{\dd}{\mathrm{d}}
\newcommand{\given}{\mid} \newcommand{\Given}{\mid} \newcommand{\giv}{\mid} \newcommand{\middlemid}{\mid} \newcommand{\abs}[1]{\operatorname{abs}(#1)}
\newcommand{\qty}[1]{#1} \newcommand{\pqty}[1]{(#1)} \newcommand{\bqty}[1]{[#1]} \newcommand{\Bqty}[1]{\{#1\}}
\newcommand{\dv}[2]{\frac{d #1}{d #2}} \newcommand{\pdv}[2]{\frac{\partial #1}{\partial #2}} \newcommand{\grad}{\nabla}
\newcommand{\bx}{\mathbf{x}} \newcommand{\bz}{\mathbf{z}} \newcommand{\by}{\mathbf{y}} \newcommand{\bw}{\mathbf{w}} \newcommand{\bu}{\mathbf{u}}
\newcommand{\vx}{\mathbf{x}} \newcommand{\vz}{\mathbf{z}} \newcommand{\vy}{\mathbf{y}} \newcommand{\vw}{\mathbf{w}} \newcommand{\vh}{\mathbf{h}}
\newcommand{\btheta}{\boldsymbol{\theta}} \newcommand{\bphi}{\boldsymbol{\phi}} \newcommand{\vtheta}{\boldsymbol{\theta}} \newcommand{\vphi}{\boldsymbol{\phi}}
\newcommand{\bE}{\mathbb{E}} \newcommand{\gvn}{\mid} \newcommand{\bmu}{\boldsymbol{\mu}} \newcommand{\bsigma}{\boldsymbol{\sigma}} \newcommand{\eps}{\epsilon} \newcommand{\bX}{\mathbf{X}} \newcommand{\bZ}{\mathbf{Z}}
\newcommand{\norm}[1]{\|#1\|} \newcommand{\paren}[1]{(#1)} \newcommand{\brack}[1]{[#1]} \newcommand{\infdiv}{\operatorname{KL}}
"""
# Operators that authors give their arguments in braces, without a macro of their own: one argument, and two.
SHORTHANDS = {
    **dict.fromkeys((r"\E", r"\EE", r"\Ex", r"\expect", r"\expectation", r"\ev"), (r"\E", "[#1]", "_{#1}[#2]")),
    **dict.fromkeys((r"\KL", r"\kl", r"\Dkl", r"\DKL", r"\KLD", r"\kld"), (r"\KL", "(#1)", r"(#1 \Vert #2)")),
    **dict.fromkeys((r"\Var", r"\V", r"\var"), (r"\Var", "[#1]", "_{#1}[#2]")),
    **dict.fromkeys((r"\Entropy", r"\entropy", r"\H", r"\Ent"), (r"\Entropy", "[#1]", "")),
}


def operator_named(key: str) -> Operator | None:
    """The row of a spelling, if it is one."""
    return _BY_SPELLING.get(key)


def named_law(key: str) -> str:
    """The distribution that a spelling names, or nothing."""
    return next((kind for kind, spellings in NAMED.items() if key in spellings.split()), "")
