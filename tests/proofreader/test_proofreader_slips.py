"""The slips of the two documents that the book mirrors, typed here."""

from __future__ import annotations

from proofreader import check_derivation


def test_a_prior_expectation_without_its_logarithm_is_false_and_names_no_density() -> None:
    report = check_derivation(
        r"\log p(x) = \log \int p_{\theta}(\mathbf{x}|\mathbf{z})p(\mathbf{z})d\mathbf{z}"
        r" = \mathbb{E}_{\mathbf{z}}[p_{\theta}(\mathbf{x}|\mathbf{z})]"
    )
    assert [line.verdict for line in report.lines] == ["holds", "false"]
    assert report.lines[1].cause.startswith("holds with a logarithm in front")
    assert any("names no density" in note for note in report.lines[1].notes)


def test_a_sample_average_without_its_logarithm_is_false_in_the_limit() -> None:
    line = check_derivation(r"\log p(x) \approx \frac{1}{K}\sum_{i=1}^K p_{\theta}(\mathbf{x}|\mathbf{z}_i)").lines[0]
    assert line.verdict == "false"
    assert line.cause.startswith("holds with a logarithm in front")
    corrected = check_derivation(r"\log p(x) \approx \log \frac{1}{K}\sum_{i=1}^K p_{\theta}(x|z_i)").lines[0]
    assert corrected.verdict == "holds"
    assert any("not an identity" in note for note in corrected.notes)


def test_a_logarithm_left_outside_is_false_because_it_has_no_value() -> None:
    line = check_derivation(
        r"\log p(x) \geq \log \mathbb{E}_{z\sim q(z)} \bigg[\log \frac{p_{\theta}(z|x)p(x)}{q(z)}\bigg]"
    ).lines[0]
    assert line.verdict == "false"
    assert any("not a real number" in note for note in line.notes)
    assert line.cause.startswith("holds without the logarithm in front")


def test_an_unclosed_density_in_kl_is_unreadable_and_the_mend_is_named() -> None:
    latex = r"\log p(x) \geq -\text{KL}(q(\mathbf{z}||p(\mathbf{z}|\mathbf{x})) + \log p(\mathbf{x})"
    line = check_derivation(latex).lines[0]
    assert line.verdict == "unreadable"
    assert line.position == latex.index(r"(\mathbf{z}||")
    assert "never closed: close q(z) before" in line.cause
    assert "with the parenthesis closed, the line holds" in line.notes


def test_a_q_that_loses_its_subscript_is_found_behind_the_unclosed_parenthesis() -> None:
    report = check_derivation(
        r"""\begin{align*}
        \log p(x) &\geq -\text{KL}(q(z||p(z|x)) + \log p(x)\\
        &= -\text{KL}(q_{\phi}(z|x)||p(z)) + \mathbf{E}_{z\sim q_{\phi}(z|x)}[\log p_{\theta}(x|z)]
        \end{align*}"""
    )
    assert [line.verdict for line in report.lines] == ["unreadable", "false"]
    assert r"with $q_{\phi}(z \mid x)$ for $q(z)$" in report.lines[1].cause


def test_a_proportionality_that_chooses_q_claims_nothing() -> None:
    report = check_derivation(r"q(z) \propto p_{\theta}(x|z)p(z) \propto p(z|x)")
    assert [line.verdict for line in report.lines] == ["no_claim", "holds"]
    assert report.lines[0].cause == "a choice or definition of q"


def test_a_missing_differential_is_noted_and_not_called_false() -> None:
    report = check_derivation(r"p(z|x) = \frac{p(x|z) p(z)}{\int_z p(x|z) \ p(z)}")
    assert report.verdict == "holds"
    assert "the integral over z has no dz" in report.lines[0].notes


def test_an_identity_that_needs_support_says_so() -> None:
    report = check_derivation(r"\log p(x) = \log \E_{z\sim q(z)}\left[\frac{p(x|z)p(z)}{q(z)}\right]")
    assert report.verdict == "holds"
    assert "needs q(z) > 0 wherever p(x, z) > 0" in report.lines[0].notes
