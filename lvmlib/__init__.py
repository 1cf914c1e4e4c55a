"""Latent variable models: exact models, importance weights, evidence estimates and bounds.

Everything is a view of one random number, the importance weight w(z) = p(x, z) / q(z) with z drawn from q.
"""

from lvmlib import data, explorers, plots
from lvmlib.bounds import elbo
from lvmlib.derivation import DerivationReport, check_derivation
from lvmlib.divergence import Decomposition, DivergenceEstimate, chi_square, kl, kl_decomposition
from lvmlib.evidence import (
    EvidenceEstimate,
    ExpectationEstimate,
    importance_sampling,
    prior_monte_carlo,
    self_normalized_expectation,
)
from lvmlib.exact import (
    BetaBernoulli,
    ExactModel,
    FiniteModel,
    GaussianMixture,
    GridPosterior,
    LinearGaussian,
    QuadratureModel,
)
from lvmlib.guide import AmortizedGuide, MeanFieldGuide, defensive_mixture, laplace_approximation
from lvmlib.model import LatentVariableModel
from lvmlib.weights import ParetoSmoothed, WeightSummary, log_weights, pareto_smoothed, summarize_weights

__all__ = [
    "AmortizedGuide",
    "BetaBernoulli",
    "Decomposition",
    "DerivationReport",
    "DivergenceEstimate",
    "EvidenceEstimate",
    "ExactModel",
    "ExpectationEstimate",
    "FiniteModel",
    "GaussianMixture",
    "GridPosterior",
    "LatentVariableModel",
    "LinearGaussian",
    "MeanFieldGuide",
    "ParetoSmoothed",
    "QuadratureModel",
    "WeightSummary",
    "check_derivation",
    "chi_square",
    "data",
    "defensive_mixture",
    "elbo",
    "explorers",
    "importance_sampling",
    "kl",
    "kl_decomposition",
    "laplace_approximation",
    "log_weights",
    "pareto_smoothed",
    "plots",
    "prior_monte_carlo",
    "self_normalized_expectation",
    "summarize_weights",
]
