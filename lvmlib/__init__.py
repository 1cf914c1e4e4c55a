"""Latent variable models: exact models, importance weights, evidence estimates and bounds.

Everything is a view of one random number, the importance weight w(z) = p(x, z) / q(z) with z drawn from q.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lvmlib.aggregate_posterior import AggregatePosteriorSplit, aggregate_posterior_split
from lvmlib.annealing import AnnealedEstimate, annealed_importance_sampling, bidirectional_monte_carlo
from lvmlib.bounds import BoundEstimate, Direction, elbo, eubo, iwae_bound, jackknife_bound
from lvmlib.divergence import Decomposition, DivergenceEstimate, chi_square, kl, kl_decomposition
from lvmlib.em import EMResult, expectation_maximization, m_step
from lvmlib.evidence import (
    Comparison,
    EvidenceEstimate,
    compare,
    importance_sampling,
    lower_confidence_bound,
    prior_monte_carlo,
)
from lvmlib.exact import (
    BernoulliMixture,
    BetaBernoulli,
    ExactModel,
    FiniteModel,
    GaussianMixture,
    GridPosterior,
    LinearGaussian,
    QuadratureModel,
)
from lvmlib.expectation import ExpectationEstimate, PosteriorSample, sample_posterior, self_normalized_expectation
from lvmlib.gradients import RunningMean, surrogate
from lvmlib.guide import AmortizedGuide, MeanFieldGuide, UnconditionalGuide, defensive_mixture
from lvmlib.laplace import laplace_approximation
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind
from lvmlib.renyi import cubo, renyi_bound
from lvmlib.vae import VAE, mlp
from lvmlib.weights import ParetoSmoothed, WeightSummary, log_weights, pareto_smoothed, summarize_weights

if TYPE_CHECKING:
    from lvmlib import data, explorers, plots, zoo
    from lvmlib.training import History, NonFiniteLossError, fit, load
    from proofreader import DerivationReport, check_derivation

# Loaded when first asked for, as they need more than torch and NumPy: the module, and the name in it, if any.
_LOADED_LATER: dict[str, tuple[str, str | None]] = {
    "DerivationReport": ("proofreader", "DerivationReport"),
    "History": ("lvmlib.training", "History"),
    "NonFiniteLossError": ("lvmlib.training", "NonFiniteLossError"),
    "check_derivation": ("proofreader", "check_derivation"),
    "data": ("lvmlib.data", None),
    "explorers": ("lvmlib.explorers", None),
    "fit": ("lvmlib.training", "fit"),
    "load": ("lvmlib.training", "load"),
    "plots": ("lvmlib.plots", None),
    "zoo": ("lvmlib.zoo", None),
}

__all__ = [
    "VAE",
    "AggregatePosteriorSplit",
    "AmortizedGuide",
    "AnnealedEstimate",
    "BernoulliMixture",
    "BetaBernoulli",
    "BoundEstimate",
    "Comparison",
    "Decomposition",
    "DerivationReport",
    "Direction",
    "DivergenceEstimate",
    "EMResult",
    "EvidenceEstimate",
    "ExactModel",
    "ExpectationEstimate",
    "FiniteModel",
    "GaussianMixture",
    "GridPosterior",
    "History",
    "LatentVariableModel",
    "LinearGaussian",
    "MeanFieldGuide",
    "NonFiniteLossError",
    "ParetoSmoothed",
    "PosteriorSample",
    "Problem",
    "QuadratureModel",
    "RunningMean",
    "UnconditionalGuide",
    "WeightSummary",
    "aggregate_posterior_split",
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "bind",
    "check_derivation",
    "chi_square",
    "compare",
    "cubo",
    "data",
    "defensive_mixture",
    "elbo",
    "eubo",
    "expectation_maximization",
    "explorers",
    "fit",
    "importance_sampling",
    "iwae_bound",
    "jackknife_bound",
    "kl",
    "kl_decomposition",
    "laplace_approximation",
    "load",
    "log_weights",
    "lower_confidence_bound",
    "m_step",
    "mlp",
    "pareto_smoothed",
    "plots",
    "prior_monte_carlo",
    "renyi_bound",
    "sample_posterior",
    "self_normalized_expectation",
    "summarize_weights",
    "surrogate",
    "zoo",
]

try:
    __version__ = version("lvmlib")
except PackageNotFoundError:  # run from a folder of sources that was not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module 'lvmlib' has no attribute {name!r}")
    module_name, member = _LOADED_LATER[name]
    module = importlib.import_module(module_name)
    value = module if member is None else getattr(module, member)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
