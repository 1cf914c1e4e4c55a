"""Every slip of the pen that changes what a derivation says is found."""

from __future__ import annotations

from collections import Counter

import pytest
from corpus import CORPUS
from mutations import MUTATIONS

from proofreader import check_derivation

INTEGRATES = "the integrand is p(x) times a normalised density: the integral is p(x) all the same"
WEAKER = "log a < a, or log E >= E log, only makes the inequality weaker: the line stays true"
CONSTANT = "what is averaged does not depend on z: any density, and a logarithm on either side, gives the same"
NO_THETA = "the term does not depend on theta: its gradient is zero whatever it is"
PARAMETER = "theta is a parameter: p(x) and p(x | theta) are the same density"
DEFINES = "the mutant changes the definition and the thing defined alike, and what follows is true of it"
SYMMETRIC = "the inequality holds for both orders of the arguments"

# Place of a mutant: the derivation, the mutation, and its number among that mutation's mutants of the derivation.
EQUIVALENT: dict[tuple[str, str, int], str] = {
    ("bayes", "a conditioning dropped", 3): INTEGRATES,
    ("evidence", "a conditioning dropped", 0): INTEGRATES,
    ("evidence", "a conditioning dropped", 1): INTEGRATES,
    ("evidence-sum", "a conditioning dropped", 0): INTEGRATES,
    ("normalised", "a conditioning dropped", 0): "p(z) integrates to 1 as p(z | x) does",
    ("slash", "a conditioning dropped", 0): INTEGRATES,
    ("hierarchical", "a conditioning dropped", 0): INTEGRATES,
    ("hierarchical", "a conditioning dropped", 1): "z_2 integrates out of p(z_1) p(z_2), and p(x | z_1) p(z_1) is left",
    ("chi-bounds-kl", "a logarithm dropped", 0): WEAKER,
    ("jensen-two", "a logarithm dropped", 0): WEAKER,
    ("jensen-two", "the logarithm outside for inside", 0): "both sides become the same: >= is not false",
    ("jensen-two", "the logarithm outside for inside", 1): "both sides become the same: >= is not false",
    ("elbo-jensen", "a logarithm dropped", 4): WEAKER,
    ("elbo-jensen", "the logarithm outside for inside", 2): WEAKER,
    ("free-energy", "a logarithm dropped", 2): WEAKER,
    ("vae-bound", "a logarithm dropped", 0): WEAKER,
    ("vae-introduction", "the measure of an expectation changed", 0): CONSTANT,
    ("vae-introduction", "the measure of an expectation changed", 1): CONSTANT,
    ("vae-introduction", "the measure of an expectation changed", 2): CONSTANT,
    ("vae-introduction", "the logarithm outside for inside", 0): CONSTANT,
    ("vae-introduction", "the logarithm outside for inside", 1): CONSTANT,
    ("vae-introduction", "the logarithm outside for inside", 2): CONSTANT,
    ("gibbs-inequality", "a logarithm dropped", 1): WEAKER,
    ("gibbs-inequality", "a normaliser dropped", 0): "0 is at most a sum of surprises, which are not negative",
    ("log-bound", "the arguments of KL swapped", 0): SYMMETRIC,
    ("min-kl", "the arguments of KL swapped", 0): SYMMETRIC,
    ("min-kl", "a conditioning dropped", 0): "the least KL to any density is zero",
    ("restricted-family", "a logarithm dropped", 1): WEAKER,
    ("restricted-family", "the logarithm outside for inside", 0): "the logarithm of the mean weight is log p(x)",
    ("em-monotone", "a logarithm dropped", 0): "a - log b >= log a - log b: weaker, as log a < a",
    ("em-monotone", "a logarithm dropped", 3): WEAKER,
    ("em-monotone", "the logarithm outside for inside", 1): WEAKER,
    ("em-q-function", "a conditioning dropped", 0): PARAMETER,
    ("em-q-function", "a conditioning dropped", 1): PARAMETER,
    ("baseline", "a sign flipped", 0): "a baseline may have any sign",
    ("gradient-theta", "a logarithm dropped", 1): NO_THETA,
    ("gradient-theta", "a sign flipped", 0): NO_THETA,
    ("gradient-theta", "a conditioning dropped", 0): NO_THETA,
    ("iwae", "the logarithm outside for inside", 0): "both sides become the same: <= is not false",
    ("iwae-monotone", "a logarithm dropped", 0): WEAKER,
    ("iwae-weights", "a logarithm dropped", 1): WEAKER,
    ("iwae-weights", "the logarithm outside for inside", 0): DEFINES,
    ("renyi-order", "a logarithm dropped", 2): WEAKER,
    ("renyi-order", "the logarithm outside for inside", 1): "E log w^(1-a) / (1-a) is the ELBO itself",
    ("cubo", "a logarithm dropped", 0): DEFINES,
    ("sandwich", "a logarithm dropped", 2): WEAKER,
    ("sandwich", "the logarithm outside for inside", 0): "the logarithm of the mean weight is log p(x)",
    ("sandwich", "the logarithm outside for inside", 1): WEAKER,
    ("mean-field-constant", "a sign flipped", 0): "a constant may have any sign",
    ("conditional", "a logarithm dropped", 0): WEAKER,
    ("course-macros", "a logarithm dropped", 1): WEAKER,
    ("two-latents", "a logarithm dropped", 0): WEAKER,
    ("two-latents", "a conditioning dropped", 0): "log p(x) minus divergences is at most log p(x)",
    ("two-latents", "the measure of an expectation changed", 0): "E_p log p(x | z, c) is at most log p(x), by Jensen",
    ("beta", "a logarithm dropped", 1): WEAKER,
    ("beta", "a conditioning dropped", 0): "log p(x) minus a divergence is at most log p(x)",
    ("root", "the arguments of KL swapped", 0): SYMMETRIC,
    ("pinsker", "the arguments of KL swapped", 0): SYMMETRIC,
    ("sampling", "a conditioning dropped", 0): "a declaration of how x is drawn states no relation",
}

_table: dict[str, Counter[str]] = {}


@pytest.mark.thorough
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutant_that_changes_the_value_is_caught(mutation: str) -> None:
    counts: Counter[str] = Counter()
    survivors = []
    for entry in CORPUS:
        for number, mutant in enumerate(MUTATIONS[mutation](entry.latex)):
            place = (entry.name, mutation, number)
            definitions = list(entry.definitions)
            verdict = check_derivation(mutant, definitions=definitions, explain=False).verdict
            if place in EQUIVALENT:
                counts["says the same"] += 1
                assert verdict in ("holds", "holds_if", "no_claim"), (
                    f"{place} is true ({EQUIVALENT[place]}), and called {verdict}: {mutant}"
                )
            else:
                counts[verdict] += 1
                if verdict == "holds":
                    survivors.append(f"{place}: {mutant}")
    _table[mutation] = counts
    assert not survivors, "\n".join(survivors)
    assert counts["false"] >= 20
    assert counts["holds_if"] <= counts["false"] / 4


def test_the_table_of_mutants() -> None:
    columns = ["false", "unreadable", "holds_if", "holds", "says the same"]
    print(f"\n{'':40}" + "".join(f"{name:>15}" for name in columns))
    for mutation, counts in _table.items():
        print(f"{mutation:40}" + "".join(f"{counts[name]:15}" for name in columns))
    places = {
        (entry.name, mutation, number)
        for entry in CORPUS
        for mutation, change in MUTATIONS.items()
        for number, _ in enumerate(change(entry.latex))
    }
    assert set(EQUIVALENT) <= places


def test_a_mutant_differs_from_its_original() -> None:
    for entry in CORPUS:
        for change in MUTATIONS.values():
            assert all(mutant != entry.latex for mutant in change(entry.latex))
