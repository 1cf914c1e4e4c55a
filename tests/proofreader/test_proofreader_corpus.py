"""Correct derivations, in the notations of many authors, are read and found true."""

from __future__ import annotations

from collections import Counter

import pytest
from corpus import CORPUS, Entry

from proofreader import check_derivation


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.name)
def test_a_correct_derivation_is_not_called_false(entry: Entry) -> None:
    report = check_derivation(entry.latex, definitions=list(entry.definitions))
    assert report.counts["false"] == 0, str(report)


def test_the_corpus_is_read() -> None:
    counts: Counter[str] = Counter()
    for entry in CORPUS:
        counts += check_derivation(entry.latex, definitions=list(entry.definitions), num_models=40).counts
    lines = sum(counts.values())
    print(f"\n{len(CORPUS)} derivations, {lines} lines: {dict(counts)}")
    assert len(CORPUS) >= 60
    assert len({entry.name for entry in CORPUS}) == len(CORPUS)
    assert counts["unreadable"] <= 0.05 * lines


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_models_say_the_same(seed: int) -> None:
    for entry in CORPUS:
        report = check_derivation(entry.latex, definitions=list(entry.definitions), seed=seed, num_models=60)
        assert report.counts["false"] == 0, f"{entry.name}\n{report}"
