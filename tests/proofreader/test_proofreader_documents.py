# ruff: noqa: E501 (LaTeX is easier to read in one line)
"""Displays are found in Markdown, notebooks and LaTeX, with their places and their marks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proofreader import check_file, displays_in
from proofreader.__main__ import main
from proofreader.slips import UNCONFIRMED

PAGE = r"""# A page

Inline $p(x) = 2$ is not a display, and `$$ p(x) = 3 $$` is code.

$$
p(x, z) = p(x \mid z)\, p(z)
$$ (eq-joint)

% derivation: define v(z) := p(x,z)/q(z)

$$ \E_{q(z)}[v(z)] = p(x) $$

```{math}
:label: eq-bound
\begin{aligned}
\log p(x) &= \log \E_{q(z)}\left[\frac{p(x,z)}{q(z)}\right] \\
&\ge \E_{q(z)}[\log p(x,z)] - \E_{q(z)}[\log q(z)]
\end{aligned}
```

```python
text = "$$ p(x) = 4 $$"
```

````{prf:theorem} A theorem
:label: thm

$$ w(z) := \frac{p(x,z)}{q(z)} $$

and then

$$ \E_{q(z)}[w(z)] = p(x) $$
````

% derivation: unread, a table of values
$$ \begin{array}{cc} 1 & 2 \end{array} $$

<!-- derivation: false, the reader is to find out why -->
$$ \log p(x) = \E_{p(z)}[\log p(x \mid z)] $$

\begin{align}
p(x) &= \int p(x,z)\,dz \label{eq-sum}
\end{align}
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_displays_are_found_with_line_label_and_marks(page: Path) -> None:
    blocks = displays_in(page)
    lines = PAGE.splitlines()
    assert [block.label for block in blocks] == ["eq-joint", "", "eq-bound", "", "", "", "", "eq-sum"]
    for block in blocks:
        assert block.latex.splitlines()[0] in lines[block.line - 1]
    assert blocks[1].definitions == ("v(z) := p(x,z)/q(z)",)
    assert blocks[2].definitions == ()
    assert blocks[5].unread == "a table of values"
    assert blocks[6].expected_false == "the reader is to find out why"


def test_a_page_is_as_its_marks_say(page: Path) -> None:
    checked = check_file(page)
    assert [block.verdict for block in checked] == ["holds"] * 3 + ["no_claim", "holds", "unread", "false", "holds"]
    assert all(block.as_expected for block in checked)
    bound = checked[2]
    assert PAGE.splitlines()[bound.line_of(bound.report.lines[1]) - 1].startswith(r"&\ge")


def test_a_definition_is_handed_on_and_a_density_is_not(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("$$ w(z) := p(x,z)/q(z) $$\n\n$$ q(z) := p(z|x) $$\n\n$$ w(z) = p(x) $$\n", encoding="utf-8")
    assert [block.verdict for block in check_file(path, confirmed=False)] == ["no_claim", "no_claim", "false"]


def test_a_definition_may_hold_throughout(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    mark = "% derivation: throughout define q(z) := p(z|x)\n"
    path.write_text(
        f"$$ q(z) p(x) = p(x,z) $$\n\n{mark}\n$$ q(z) = p(z|x) $$\n\n$$ q(z) p(x) = p(x,z) $$\n", encoding="utf-8"
    )
    assert [block.verdict for block in check_file(path, confirmed=False)] == ["false", "holds", "holds"]


@pytest.mark.parametrize("mark", ["unread", "unread,", "ignore, why", "define", "flase, a slip"])
def test_a_mark_without_reason_or_meaning_is_refused(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"% derivation: {mark}\n\n$$ p(x) = 1 $$\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:1"):
        displays_in(path)


def test_notebooks_name_the_cell(tmp_path: Path) -> None:
    path = tmp_path / "page.ipynb"
    cells = [
        {"cell_type": "code", "source": ["$$ p(x) = 1 $$"]},
        {"cell_type": "markdown", "source": ["Text\n", "$$ p(x) = \\int p(x,z)\\,dz $$\n"]},
        {"cell_type": "markdown", "source": "$$\np(x) = 1\n$$"},
    ]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")
    blocks = displays_in(path)
    assert [(block.cell, block.line) for block in blocks] == [(2, 2), (3, 2)]
    assert [block.verdict for block in check_file(path, confirmed=False)] == ["holds", "false"]


def test_latex_files_bring_their_macros(tmp_path: Path) -> None:
    path = tmp_path / "page.tex"
    path.write_text(
        r"""\newcommand{\vz}{\mathbf{z}} \newcommand{\Ex}[2]{\mathbb{E}_{#1}\left[#2\right]} \DeclareMathOperator{\KLD}{KL}
% $$ p(x) = 1 $$
\[ p(x) = \Ex{p(\vz)}{p(x \mid \vz)} \]
\begin{equation} \KLD(q(\vz)\,\|\,p(\vz)) \ge 0 \end{equation}
""",
        encoding="utf-8",
    )
    checked = check_file(path)
    assert [(block.display.line, block.verdict) for block in checked] == [(3, "holds"), (4, "holds")]


def test_the_command_exits_1_when_a_line_is_false(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, odd = tmp_path / "good.md", tmp_path / "bad.md", tmp_path / "odd.md"
    good.write_text("$$ p(x) = \\int p(x,z)\\,dz $$\n", encoding="utf-8")
    bad.write_text("text\n\n$$ p(x) = \\int p(x|z)\\,dz $$\n", encoding="utf-8")
    odd.write_text("$$ p(x) = \\foo $$\n", encoding="utf-8")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    printed = capsys.readouterr().out
    assert f"{bad}:3:4: false: p(x) =" in printed
    assert f"{bad}: 1 claims: 0 hold, 1 false" in printed
    assert main([str(odd)]) == 0
    assert main([str(odd), "--strict"]) == 1
    assert main([str(tmp_path / "absent.md")]) == 2


def test_what_is_false_on_purpose_must_be_false(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("% derivation: false, on purpose\n$$ p(x) = p(x) $$\n", encoding="utf-8")
    assert main([str(path)]) == 1
    assert not check_file(path)[0].as_expected


def test_a_file_is_called_wrong_where_one_correction_makes_it_right(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "$$ \\log p(x) = \\E_{q(z)}[\\log p(x,z)] + \\E_{q(z)}[\\log q(z)] + \\KL(q(z) \\Vert p(z|x)) $$\n\n"
        "$$ \\KL(q(z) \\Vert p(z|x)) = p(z)^2 \\E_{q(z)}[\\log p(x|z) + q(z)] $$\n",
        encoding="utf-8",
    )
    slip, unknown = (block.report.lines[0] for block in check_file(path) if block.report is not None)
    assert (slip.verdict, slip.slip) == ("false", "sign")
    assert unknown.verdict == "unreadable"
    assert unknown.cause == UNCONFIRMED
    assert unknown.counterexample is not None
    assert [block.verdict for block in check_file(path, confirmed=False)] == ["false", "false"]
    assert main([str(path), "--unconfirmed"]) == 1
    path.write_text(f"% derivation: false, on purpose\n{path.read_text(encoding='utf-8').splitlines()[2]}\n")
    assert check_file(path)[0].as_expected


def test_a_declaration_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("$$ z \\sim \\Normal(0, I_D), \\qquad x \\mid z \\sim \\Normal(Wz, I_M). $$\n", encoding="utf-8")
    (checked,) = check_file(path)
    assert checked.verdict == "no_claim"
    assert checked.report.lines[0].cause == "a declaration of how a variable is drawn"


def test_the_command_runs_as_a_module(page: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "proofreader", str(page)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 false on purpose" in done.stdout


def test_the_command_ends_quietly_when_nobody_reads_on(page: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "proofreader", "--all", str(page)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""


def test_a_display_that_begins_with_a_doubled_backslash_is_read(tmp_path: Path) -> None:
    text = "$$\\\\begin{aligned}\n\\log p(x) &= \\log \\int p(x, z) \\, dz\n\\end{aligned}$$\n"
    assert checked_text(tmp_path, "a.md", text) == ["holds"]


def checked_text(tmp_path: Path, name: str, text: str) -> list[str]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return [one.verdict for one in check_file(path, confirmed=False)]


TRUE, FALSE = r"p(x) = \int p(x, z)\, dz", r"p(x) = \int p(x \mid z)\, dz"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "```math\n%s\n```"),
        ("a.md", "```{math}\n:label: eq-one\n%s\n```"),
        ("a.md", "{%% math %%} %s {%% endmath %%}"),
        ("a.mdx", "$$\n%s\n$$"),
        ("a.qmd", "$$%s$$ {#eq-one}"),
        ("a.Rmd", r"\begin{equation}%s\end{equation}"),
        ("a.md", r"\\[ %s \\]"),
        ("a.tex", r"\[ %s \]"),
        ("a.tex", r"\begin{eqnarray*}%s\end{eqnarray*}"),
        ("a.tex", r"\begin{dmath}%s\end{dmath}"),
        ("a.tex", r"\begin{IEEEeqnarray}{rCl}%s\end{IEEEeqnarray}"),
        ("a.rst", "Text\n\n.. math::\n   :label: one\n\n   %s\n\nmore"),
        ("a.rst", ".. math:: %s"),
    ],
)
def test_displays_are_found_in_every_kind_of_file(tmp_path: Path, name: str, text: str) -> None:
    assert checked_text(tmp_path, name, text % TRUE) == ["holds"]
    assert checked_text(tmp_path, name, text % FALSE) == ["false"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tex", "%% \\[ {} \\]\n"),
        ("a.tex", "\\iffalse \\[ {} \\] \\fi"),
        ("a.tex", "\\begin{{verbatim}}\\[ {} \\]\\end{{verbatim}}"),
        ("a.md", "```latex-code\n$$ {} $$\n```"),
        ("a.md", "`$$ {} $$`"),
        ("a.md", "<!-- $$ {} $$ -->"),
    ],
)
def test_comments_and_code_are_skipped(tmp_path: Path, name: str, text: str) -> None:
    assert checked_text(tmp_path, name, text.format(FALSE)) == []


def test_macros_come_from_local_files(tmp_path: Path) -> None:
    (tmp_path / "mine.sty").write_text(r"\newcommand{\Ex}[2][]{\mathbb{E}_{#1}\left[#2\right]}", encoding="utf-8")
    (tmp_path / "part.tex").write_text(r"\newcommand{\ev}{p(x)} \[ \ev = \Ex[q(z)]{p(x,z)/q(z)} \]", encoding="utf-8")
    text = r"\usepackage{mine} \input{part} \[ \ev = \int p(x,z)\,dz \] \[ \Ex[p(z)]{p(x|z)} = 2\, \ev \]"
    assert checked_text(tmp_path, "main.tex", text) == ["holds", "false", "holds"]


def test_a_chain_continues_across_displays_and_names_are_known_before_they_are_defined(tmp_path: Path) -> None:
    text = r"""$$ \log p(x) - \mathcal{L} = \KL(q(z) \Vert p(z \mid x)) $$ where

$$ \mathcal{L} := \E_{q(z)}[\log p(x, z) - \log q(z)] $$ and so

$$ = \E_{q(z)}[\log p(x \mid z)] - \KL(q(z) \Vert p(z)) $$
"""
    assert checked_text(tmp_path, "a.md", text) == ["holds", "no_claim", "holds"]
    assert checked_text(tmp_path, "b.md", text.replace("- \\KL(q(z) \\Vert p(z))", "")) == [
        "holds",
        "no_claim",
        "false",
    ]


def test_any_encoding_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16", "latin-1"):
        path = tmp_path / f"{encoding}.md"
        path.write_bytes(f"é $$ {TRUE} $$".encode(encoding))
        assert [one.verdict for one in check_file(path)] == ["holds"]


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good, empty = tmp_path / "bad.ipynb", tmp_path / "good.md", tmp_path / "empty.md"
    bad.write_text("no notebook", encoding="utf-8")
    good.write_text(f"$$ {TRUE} $$", encoding="utf-8")
    empty.write_text("nothing", encoding="utf-8")
    (tmp_path / "a.docx").write_text("", encoding="utf-8")
    assert main([str(bad), str(tmp_path / "a.docx"), str(good), str(empty)]) == 2
    out, err = capsys.readouterr()
    assert "bad.ipynb is no notebook" in err
    assert "a.docx ends in .docx, expected one of" in err
    assert f"{good}: 1 claims: 1 hold, 0 false" in out
    assert f"{empty}: no display was found" in out


def test_json_and_sarif_name_file_line_and_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"text\n\n  $$ {FALSE} $$", encoding="utf-8")
    assert main([str(path), "--json"]) == 1
    (data,) = json.loads(capsys.readouterr().out)
    (line,) = data["lines"]
    assert (line["line"], line["column"], line["verdict"]) == (3, 6, "false")
    assert line["counterexample"].startswith("take x with one value and z with two values, p(x=0, z=0) =")
    assert main([str(path), "--sarif"]) == 1
    sarif = json.loads(capsys.readouterr().out)
    (result,) = sarif["runs"][0]["results"]
    assert result["level"] == "error"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 6}


def test_the_package_needs_nothing_but_the_standard_library() -> None:
    code = "import sys, proofreader; print([m for m in ('torch', 'numpy', 'lark', 'sympy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("second", "verdict", "note"),
    [
        (r"\E_{q(z)}[\log p(x \mid z)] - \KL(q(z) \Vert p(z))", "holds", "another form of what stands for it before"),
        (r"\E_{q(z)}[\log p(x \mid z)] + \KL(q(z) \Vert p(z))", "no_claim", "not equal to what stands for it before"),
    ],
)
def test_a_name_that_is_defined_once_more_is_compared_with_what_it_stands_for(
    tmp_path: Path, second: str, verdict: str, note: str
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        rf"$$ \mathcal{{L}}(q) = \E_{{q(z)}}[\log p(x, z) - \log q(z)] $$ and $$ \mathcal{{L}}(q) = {second} $$"
    )
    _, checked = check_file(page)
    assert checked.report is not None
    assert checked.report.verdict == verdict
    assert note in checked.report.lines[0].notes


def test_a_formula_that_is_a_paragraph_by_itself_is_a_display(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("$p(x) = 1$\n\nwith $p(x) = 2$ in a sentence\n\n$p(x)\n= 3$.\n\n$p(x)$ begins one\n\n$5 and $6\n")
    assert [display.latex for display in displays_in(page)] == ["p(x) = 1", "p(x)\n= 3"]


@pytest.mark.parametrize(("sign", "verdict"), [("-", "holds"), ("", "unreadable")])
def test_a_density_that_is_given_by_an_energy_is_known_in_later_displays(
    tmp_path: Path, sign: str, verdict: str
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        r"$$ p_\theta(x) = \frac{\exp(-E_\theta(x))}{Z(\theta)}, \quad Z(\theta) = \int \exp(-E_\theta(x)) dx $$"
        rf"$$ \nabla_\theta \log Z(\theta) = \E_{{x \sim p_\theta(x)}}[{sign}\nabla_\theta E_\theta(x)] $$"
    )
    checked = check_file(page)[-1]
    assert checked.report is not None
    assert checked.report.verdict == verdict


def test_the_marks_of_a_block_quote_are_no_relations(tmp_path: Path) -> None:
    text = (
        "> $$\\log p(x)\n> = \\log \\int p(x,z)\\,dz\n> \\ge \\E_{q(z)}[\\log p(x,z) - \\log q(z)]$$\n\n"
        "> > $$\n> > p(x)\n> > = \\int p(x|z)\\,dz\n> > $$\n\n> ```math\n> p(x)\n> = \\int p(x,z)\\,dz\n> ```\n"
    )
    assert checked_text(tmp_path, "page.md", text) == ["holds", "false", "holds"]
    report = check_file(tmp_path / "page.md")[1].report
    assert report is not None
    assert report.lines[0].slip == "density"


def test_an_empty_line_parts_the_equations_of_a_directive(tmp_path: Path) -> None:
    text = (
        ".. math::\n   :label: two\n\n   p(x) = \\int p(x,z)\\,dz\n\n   \\KL(q(z) \\Vert p(z)) \\ge 0\n\nText\n\n"
        ".. math::\n\n   \\begin{aligned} p(x) &= \\int p(x,z)\\,dz \\\\\n\n   &= \\int p(x|z) p(z)\\,dz \\end{aligned}\n\n"
        ".. math::\n\n   p(x) = \\int p(x,z)\\,dz\n\n   p(x) = \\int p(x|z)\\,dz\n"
    )
    assert checked_text(tmp_path, "page.rst", text) == ["holds", "holds", "holds", "holds", "false"]
    assert [one.display.line for one in check_file(tmp_path / "page.rst")] == [4, 6, 12, 18, 20]


def test_nothing_is_false_that_speaks_of_a_density_given_with_dots_that_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "$$ q_\\phi(z|x) = q_{\\phi_1}(z_1|x) \\cdots q_{\\phi_{T-1}}(Z_{T-1}|z_{T-2}) q_{\\phi_T}(z_T|z_{T-1}) $$\n\n"
        "$$ \\E_{q_\\phi(z|x)}[\\log p(x|z_1)] = \\E_{q_{\\phi_1}(z_1|x)}[\\log p(x|z_1)] + p(x|z_1) $$\n",
        encoding="utf-8",
    )
    first, second = (one.report.lines[0] for one in check_file(path) if one.report is not None)
    assert first.verdict == second.verdict == "unreadable"
    assert second.cause.startswith(r"q_\phi(z|x) is given by a row before")


def test_members_of_a_family_may_be_defined_in_displays_of_their_own(tmp_path: Path) -> None:
    text = (
        "$$ L_1 = \\E_{q(z)}[\\log p(x|z)] $$\n\n$$ L_2 = \\KL(q(z) \\Vert p(z)) $$\n\n$$ \\log p(x) \\ge L_1 - L_2 $$\n\n"
        "$$ \\log p(x) \\ge L_1 + L_2 $$\n"
    )
    assert checked_text(tmp_path, "page.md", text) == ["no_claim", "no_claim", "holds", "unreadable"]
