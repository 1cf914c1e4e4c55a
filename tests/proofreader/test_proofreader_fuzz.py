"""Nothing that is read crashes the reader, keeps it busy, or is executed.

``LVMLIB_FUZZ=200000 pytest tests/proofreader/test_proofreader_fuzz.py -s`` runs the long version.
"""

from __future__ import annotations

import os
import sys

import fuzz
import pytest
from corpus import CORPUS

from proofreader import Macro, check_derivation

COUNT = int(os.environ.get("LVMLIB_FUZZ", "300"))
FORBIDDEN = ("exec", "compile", "open", "os.", "subprocess.", "shutil.", "socket.", "import", "ctypes.")
_heard: list[str] | None = None


def _listen(event: str, _: object) -> None:
    if _heard is not None and event.startswith(FORBIDDEN):
        _heard.append(event)


sys.addaudithook(_listen)


def test_random_and_mutated_strings_raise_nothing_and_end_in_time() -> None:
    fuzz.run(0, 50)  # loads what is loaded on first use
    verdicts, slowest, culprit = fuzz.run(2026, COUNT)
    print(f"\n{COUNT} strings: {dict(verdicts)}; the slowest took {slowest:.2f} s")
    assert slowest < 4.0, culprit
    assert sum(verdicts.values()) == COUNT


@pytest.mark.thorough
def test_nothing_that_is_read_is_executed_opened_or_imported() -> None:
    global _heard
    texts = [entry.latex for entry in CORPUS[::4]] + list(fuzz.strings(7, 200))
    for text in texts:
        check_derivation(text, num_models=8)
    _heard = []
    try:
        for text in texts:
            check_derivation(text, num_models=8)
        heard = list(_heard)
        with open(os.devnull) as _:
            pass
        assert _heard[len(heard) :], "the listener hears nothing, so that its silence would mean nothing"
    finally:
        _heard = None
    assert heard == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    "latex",
    [
        r"\log p_\theta(x) \ge \E_{\theta'}(x) - \E_{p_\theta(z|x)}[\log p_{\theta'}(x,z)]",
        r"\log p(x) = \max_{q} \left\{ \E_{q(z)}[\log p(xz)] + a[q(z)] \right\}",
        r"\E_{\prod_{k=q}^K q(zXk)}[\log w_k] \le \log p(x)",
        r"\boldsymbol\begin 1 [x",
        r"\E_{q()}[f(z)^2] \ge 0",
        r"\E_{q(z)}[f(z)] = \sum_{j=1}^K q(z=j) f(j) + \E_{q(z_1)}[f(z_1, z_2)]",
        "(" * 5000,
        "{" * 5000 + "}" * 5000,
        "(" * 300 + "p(x)" + ")" * 300 + " = 1",
        r"\log" * 3000 + " p(x) = 1",
        r"\E_{q(z)}" * 500 + "[1] = 1",
        r"\sqrt{" * 100 + "p(x)" + "}" * 100 + " = 1",
        r"\nabla_\theta " * 100 + r"\log p_\theta(x) = 0",
        r"p(x)^{" * 60 + "2" + "}" * 60 + " = 1",
        r"\frac{1}{" * 45 + "p(x)" + "}" * 45 + " = p(x)",
        r"\sum_{i=1}^{99999999} p(x) = p(x)",
        r"\sum_{a=1}^{20}\sum_{b=1}^{20}\sum_{c=1}^{20}\sum_{d=1}^{20} p(x_a, x_b, x_c, x_d) = 1",
        r"p(a,b,c,d,e,f,g,h,i,j,k,l,m,n) = p(a)",
        r"p(z_{1:20}) = 1",
        r"\max_q \max_q \max_q \KL(q(z) \Vert p(z)) = 0",
        "=" * 4000,
        "&" * 4000,
        "p(x) = " * 1500 + "1",
        r"2^{2^{2^{2^{2^{9}}}}} = 1",
        "a" * 19_999,
        "a" * 20_001,
        r"w := w + 1, \quad w = 2",
        r"p(x) = \text",
        r"\max_{\theta,\phi} \E_{q_\phi(z|x)}[\log p_\theta(x,z)] \le \max_\theta \log p_\theta(\theta)",
        r"\max_q \max_z q(z) = 1",
        r"q^\star(z) = \arg\max_q\arg\max_z q(z)",
        r"\log \E_{p(z)}\left[e^{f(z)}\right] = \sup_{z} \left\{\E_{q(z)}[f(z)] - \KL(q(z)\Vert p(z))\right\}",
        r"q(z) := \frac{p(x,z)}{q(z)} \qquad \E_{q(z)}[w(z)] = p(x)",
        "w\\color ",
        r"p(x, z_{1:T}) = p(x|z_T, z_{1:T})",
        r"\log p(x) = \max_{q} \left\{ \E_{q(z)}[\log p(x,z)] + H[(z)] \right\}",
        r"\arg\max_p{\phi} \E_{q_\phi(z|x)}[\log p_\theta(x,z)] = \arg\min_\phi \KL(q_\phi(z|x)\Vert p_\theta(z|x))",
        r"f(z) := g(z), \quad g(z) := f(z), \quad f(z) = 1",
    ],
    ids=lambda text: text[:24],
)
def test_depth_size_and_time_are_bounded(latex: str) -> None:
    import time

    start = time.thread_time()
    report = check_derivation(latex)
    assert time.thread_time() - start < 4.0
    assert report.latex == latex


def test_a_macro_that_expands_without_end_is_refused() -> None:
    macros = {r"\a": Macro(0, r"\a\a"), r"\b": Macro(1, r"#1#1")}
    assert check_derivation(r"\a = 1", macros=macros).verdict == "unreadable"
    nested = r"\b{" * 30 + "x" + "}" * 30
    assert check_derivation(f"{nested} = 1", macros=macros).verdict == "unreadable"
