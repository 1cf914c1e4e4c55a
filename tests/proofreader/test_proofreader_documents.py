# ruff: noqa: E501 (LaTeX is easier to read in one line)
"""Displays are found in Markdown, notebooks and LaTeX, with their places and their marks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lvmlib.derivation import check_file, display_blocks
from lvmlib.derivation.__main__ import main

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
    blocks = display_blocks(page)
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
    assert [block.verdict for block in checked] == ["holds"] * 5 + ["unread", "false", "holds"]
    assert all(block.as_expected for block in checked)
    bound = checked[2]
    assert PAGE.splitlines()[bound.line_of(bound.report.lines[1]) - 1].startswith(r"&\ge")


def test_a_definition_is_handed_on_and_a_density_is_not(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("$$ w(z) := p(x,z)/q(z) $$\n\n$$ q(z) := p(z|x) $$\n\n$$ w(z) = p(x) $$\n", encoding="utf-8")
    assert [block.verdict for block in check_file(path)] == ["holds", "holds", "false"]


def test_a_definition_may_hold_throughout(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    mark = "% derivation: throughout define q(z) := p(z|x)\n"
    path.write_text(
        f"$$ q(z) = p(z|x) $$\n\n{mark}\n$$ q(z) = p(z|x) $$\n\n$$ q(z) p(x) = p(x,z) $$\n", encoding="utf-8"
    )
    assert [block.verdict for block in check_file(path)] == ["false", "holds", "holds"]


@pytest.mark.parametrize("mark", ["unread", "unread,", "ignore, why", "define", "flase, a slip"])
def test_a_mark_without_reason_or_meaning_is_refused(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"% derivation: {mark}\n\n$$ p(x) = 1 $$\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:1"):
        display_blocks(path)


def test_notebooks_name_the_cell(tmp_path: Path) -> None:
    path = tmp_path / "page.ipynb"
    cells = [
        {"cell_type": "code", "source": ["$$ p(x) = 1 $$"]},
        {"cell_type": "markdown", "source": ["Text\n", "$$ p(x) = \\int p(x,z)\\,dz $$\n"]},
        {"cell_type": "markdown", "source": "$$\np(x) = 1\n$$"},
    ]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")
    blocks = display_blocks(path)
    assert [(block.cell, block.line) for block in blocks] == [(2, 2), (3, 2)]
    assert [block.verdict for block in check_file(path)] == ["holds", "false"]


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
    assert [(block.block.line, block.verdict) for block in checked] == [(3, "holds"), (4, "holds")]


def test_the_command_exits_1_when_a_line_is_false(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, odd = tmp_path / "good.md", tmp_path / "bad.md", tmp_path / "odd.md"
    good.write_text("$$ p(x) = \\int p(x,z)\\,dz $$\n", encoding="utf-8")
    bad.write_text("text\n\n$$ p(x) = \\int p(x|z)\\,dz $$\n", encoding="utf-8")
    odd.write_text("$$ p(x) = \\foo $$\n", encoding="utf-8")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    printed = capsys.readouterr().out
    assert f"{bad}:3: false: p(x) =" in printed
    assert "2 holds" in printed or "1 holds, 1 false" in printed
    assert main([str(odd)]) == 0
    assert main([str(odd), "--strict"]) == 1
    assert main([str(tmp_path / "absent.md")]) == 2


def test_what_is_false_on_purpose_must_be_false(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("% derivation: false, on purpose\n$$ p(x) = p(x) $$\n", encoding="utf-8")
    assert main([str(path)]) == 1
    assert not check_file(path)[0].as_expected


def test_a_declaration_states_nothing_that_could_be_false(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("$$ z \\sim \\Normal(0, I_D), \\qquad x \\mid z \\sim \\Normal(Wz, I_M). $$\n", encoding="utf-8")
    (checked,) = check_file(path)
    assert checked.verdict == "holds"
    assert checked.report.lines[0].notes == ("a declaration: it states no relation",)


def test_the_command_runs_as_a_module(page: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "lvmlib.derivation", str(page)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 false, 1 unread" in done.stdout


def test_the_package_imports_without_lark() -> None:
    code = (
        "import sys; sys.modules['lark'] = None\n"
        "import lvmlib.derivation as d\n"
        "try: d.check_derivation('p(x) = 1')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'lark" in done.stdout
