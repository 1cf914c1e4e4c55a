"""The map from claims to functions names claims that exist, and misses no part of the library that it should name."""

from __future__ import annotations

from pathlib import Path

from books import ROOT
from course.claim_map import chapters, implementations
from course.claims import claims


def labels() -> set[str]:
    return {claim.label for chapter in chapters(ROOT / "book") for claim in claims(chapter)}


def test_a_docstring_names_only_claims_of_the_book() -> None:
    found = implementations("lvmlib")
    assert len(found) > 30
    assert set(found) <= labels()


def test_every_estimator_and_every_bound_names_its_claim() -> None:
    named = {name for names in implementations("lvmlib").values() for name in names}
    estimators = (
        "prior_monte_carlo",
        "importance_sampling",
        "elbo",
        "kl",
        "kl_decomposition",
        "chi_square",
        "surrogate",
    )
    assert {f"lvmlib.{name}" for name in estimators} <= named


def test_the_page_has_a_row_for_every_claim_and_links_both_ways(build: Path) -> None:
    page = (build / "html" / "book" / "map.html").read_text(encoding="utf-8")
    for label in labels():
        assert page.count(f'.html#{label}"') == 1, label
    assert 'href="api/bounds.html#lvmlib.elbo"' in page
    library = (build / "html" / "book" / "api" / "bounds.html").read_text(encoding="utf-8")
    assert '06_elbo.html#thm-elbo"' in library
