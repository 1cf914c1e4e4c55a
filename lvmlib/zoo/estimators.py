r"""Every estimator of the package, made to answer one question: :math:`\log p(x)` with so many likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._random import derived_seed, forked
from lvmlib.annealing import annealed_importance_sampling, bidirectional_monte_carlo
from lvmlib.bounds import BoundEstimate, Side, eubo, iwae_bound, jackknife_bound
from lvmlib.evidence import EvidenceEstimate, importance_sampling, prior_monte_carlo
from lvmlib.laplace import laplace_approximation
from lvmlib.renyi import cubo, renyi_bound
from lvmlib.weights import summarize_weights
from lvmlib.zoo.cases import Case

__all__ = ["Estimator", "estimators"]

Answer: TypeAlias = tuple[Any, Any]

# Draws inside the logarithm of the importance-weighted bound, and steps of each trajectory of a chain.
_GROUP, _LEAPFROG = 50, 3
# What draws from q cannot show is looked for with likelihoods of draws from the prior, which count too.
_PROBES = 1000
# Annealing tunes its step sizes on other chains, once for each case, as it would for a data set.
_TUNING_SEED = 0


@dataclass(frozen=True)
class Estimator:
    r"""One way to estimate :math:`\log p(x)`.

    Args:
        name: What it is called.
        side: On which side of :math:`\log p(x)` its mean lies, whatever the number of draws.
        run: From a case, a number of likelihoods and a seed to the estimate and its standard error, in nats. It raises
            a ValueError or TypeError where it cannot answer.
    """

    name: str
    side: Side
    run: Callable[[Case, int, int], Answer]


def _evidence(found: EvidenceEstimate) -> Answer:
    return found.log_evidence, found.std_error


def _bound(found: BoundEstimate) -> Answer:
    return found.value, found.std_error


def _beside_probes(num_samples: int) -> int:
    return max(num_samples - _PROBES, num_samples // 2)


def _prior(case: Case, num_samples: int, seed: int) -> Answer:
    return _evidence(prior_monte_carlo(case.model, case.x, num_samples, seed=seed))


def _weighted(case: Case, q: Distribution, num_samples: int, seed: int) -> EvidenceEstimate:
    return importance_sampling(case.model, q, case.x, _beside_probes(num_samples), seed=seed)


def _importance(case: Case, num_samples: int, seed: int) -> Answer:
    return _evidence(_weighted(case, case.q, num_samples, seed))


def _smoothed(case: Case, num_samples: int, seed: int) -> Answer:
    found = _weighted(case, case.q, num_samples, seed)
    return found.smoothed_log_evidence, found.std_error


def _laplace(case: Case, num_samples: int, seed: int) -> Answer:
    return _evidence(_weighted(case, laplace_approximation(case.model, case.x), num_samples, seed))


def _elbo(case: Case, num_samples: int, seed: int) -> Answer:
    summary = summarize_weights(case.model, case.q, case.x, _beside_probes(num_samples), seed=seed)
    return summary.elbo, summary.elbo_std_error


def _iwae(case: Case, num_samples: int, seed: int) -> Answer:
    """The mean of as many groups as there are likelihoods for: each is the bound of a copy of x."""
    groups = num_samples // _GROUP
    with forked(derived_seed("iwae_bound", seed), case.x.device), torch.no_grad():
        values = iwae_bound(case.model, case.q, case.x.expand(groups, *case.x.shape), _GROUP)
    # Of infinite values the spread is NaN, and nothing is known of the error.
    return values.mean(), (values.std() / math.sqrt(groups)).nan_to_num(nan=math.inf)


def _jackknife(case: Case, num_samples: int, seed: int) -> Answer:
    return _bound(jackknife_bound(case.model, case.q, case.x, num_samples, order=1, seed=seed))


def _renyi(case: Case, num_samples: int, seed: int) -> Answer:
    return _bound(renyi_bound(case.model, case.q, case.x, num_samples, alpha=0.5, seed=seed))


def _cubo(case: Case, num_samples: int, seed: int) -> Answer:
    return _bound(cubo(case.model, case.q, case.x, num_samples, order=2, seed=seed))


def _eubo(case: Case, num_samples: int, seed: int) -> Answer:
    # A single draw, of data that was simulated, has no standard error: several are asked for.
    draws = case.posterior_draws(max(2, num_samples), seed)
    with torch.no_grad():
        return _bound(eubo(case.model, case.q, case.x, draws))


def _chains(num_samples: int) -> tuple[int, int]:
    """How many chains, and of how many temperatures, take so many likelihoods: one at the start, some at each move."""
    num_chains = max(2, round(math.sqrt(num_samples) / 2))
    return num_chains, max(1, 1 + (num_samples // num_chains - 1) // _LEAPFROG)


@lru_cache(maxsize=256)
def _tuned(case: Case, num_steps: int) -> Tensor:
    return annealed_importance_sampling(
        case.model, case.x, num_chains=1, num_steps=num_steps, num_leapfrog=_LEAPFROG, seed=_TUNING_SEED
    ).step_size


def _annealed(case: Case, num_samples: int, seed: int) -> Answer:
    num_chains, num_steps = _chains(num_samples)
    return _evidence(
        annealed_importance_sampling(
            case.model,
            case.x,
            num_chains=num_chains,
            num_steps=num_steps,
            num_leapfrog=_LEAPFROG,
            step_size=_tuned(case, num_steps),
            seed=seed,
        )
    )


def _reverse(case: Case, num_samples: int, seed: int) -> Answer:
    """The upper half of bidirectional Monte Carlo, which runs as many chains forwards as backwards."""
    num_chains, num_steps = _chains(num_samples // 2)
    z = case.posterior_draws(1, seed)[0]
    _, upper = bidirectional_monte_carlo(
        case.model,
        num_chains=num_chains,
        num_steps=num_steps,
        num_leapfrog=_LEAPFROG,
        step_size=_tuned(case, num_steps),
        simulated=(case.x, z),
        seed=seed,
    )
    return _evidence(upper)


def estimators() -> tuple[Estimator, ...]:
    """The estimators of the package, each with the likelihoods that it is given and nothing else.

    Importance sampling and the bounds draw from the q of the case. Chains start at the prior, with steps that were
    tuned once for each case; that run is not counted. Draws from the posterior are exact, or the estimator refuses.

    Returns:
        Estimators whose names are unique.

    Example:
        >>> from lvmlib.zoo import estimators
        >>> len({one.name for one in estimators()}) == len(estimators())
        True
    """
    return (
        Estimator("prior Monte Carlo", "lower", _prior),
        Estimator("importance sampling", "lower", _importance),
        Estimator("the same, smoothed", "unknown", _smoothed),
        Estimator("the same, Laplace q", "lower", _laplace),
        Estimator("jackknife", "unknown", _jackknife),
        Estimator("ELBO", "lower", _elbo),
        Estimator("IWAE bound, K = 50", "lower", _iwae),
        Estimator("Rényi bound, α = 0.5", "lower", _renyi),
        Estimator("CUBO", "unknown", _cubo),
        Estimator("EUBO", "upper", _eubo),
        Estimator("annealing", "lower", _annealed),
        Estimator("annealing in reverse", "upper", _reverse),
    )
