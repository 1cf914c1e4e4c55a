"""Latent variable models: exact models, importance weights, evidence estimates and bounds.

Everything is a view of one random number, the importance weight w(z) = p(x, z) / q(z) with z drawn from q.
"""

from lvmlib import data, plots
from lvmlib.bounds import elbo
from lvmlib.derivation import DerivationReport, check_derivation
from lvmlib.divergence import (
    AggregatePosteriorSplit,
    Decomposition,
    DivergenceEstimate,
    aggregate_posterior_split,
    chi_square,
    kl,
    kl_decomposition,
)
from lvmlib.evidence import EvidenceEstimate, importance_sampling, prior_monte_carlo
from lvmlib.exact import (
    BetaBernoulli,
    ExactModel,
    FiniteModel,
    GaussianMixture,
    GridPosterior,
    LinearGaussian,
    QuadratureModel,
)
from lvmlib.guide import AmortizedGuide, MeanFieldGuide, laplace_approximation
from lvmlib.model import LatentVariableModel
from lvmlib.weights import WeightSummary, log_weights, summarize_weights

__all__ = [
    "AggregatePosteriorSplit",
    "AmortizedGuide",
    "BetaBernoulli",
    "Decomposition",
    "DerivationReport",
    "DivergenceEstimate",
    "EvidenceEstimate",
    "ExactModel",
    "FiniteModel",
    "GaussianMixture",
    "GridPosterior",
    "LatentVariableModel",
    "LinearGaussian",
    "MeanFieldGuide",
    "QuadratureModel",
    "WeightSummary",
    "aggregate_posterior_split",
    "check_derivation",
    "chi_square",
    "data",
    "elbo",
    "importance_sampling",
    "kl",
    "kl_decomposition",
    "laplace_approximation",
    "log_weights",
    "plots",
    "prior_monte_carlo",
    "summarize_weights",
]
