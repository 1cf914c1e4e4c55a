"""Latent variable models: exact models, importance weights, evidence estimates and bounds.

Everything is a view of one random number, the importance weight w(z) = p(x, z) / q(z) with z drawn from q.
"""

from lvmlib import data, explorers, plots
from lvmlib.bounds import elbo, iwae_bound
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
from lvmlib.em import EMResult, expectation_maximization, m_step
from lvmlib.evidence import (
    EvidenceEstimate,
    ExpectationEstimate,
    importance_sampling,
    prior_monte_carlo,
    self_normalized_expectation,
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
from lvmlib.gradients import RunningMean, surrogate
from lvmlib.guide import AmortizedGuide, MeanFieldGuide, UnconditionalGuide, defensive_mixture, laplace_approximation
from lvmlib.model import LatentVariableModel
from lvmlib.training import History, NonFiniteLossError, fit
from lvmlib.vae import VAE, mlp
from lvmlib.weights import ParetoSmoothed, WeightSummary, log_weights, pareto_smoothed, summarize_weights

__all__ = [
    "VAE",
    "AggregatePosteriorSplit",
    "AmortizedGuide",
    "BernoulliMixture",
    "BetaBernoulli",
    "Decomposition",
    "DerivationReport",
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
    "QuadratureModel",
    "RunningMean",
    "UnconditionalGuide",
    "WeightSummary",
    "aggregate_posterior_split",
    "check_derivation",
    "chi_square",
    "data",
    "defensive_mixture",
    "elbo",
    "expectation_maximization",
    "explorers",
    "fit",
    "importance_sampling",
    "iwae_bound",
    "kl",
    "kl_decomposition",
    "laplace_approximation",
    "log_weights",
    "m_step",
    "mlp",
    "pareto_smoothed",
    "plots",
    "prior_monte_carlo",
    "self_normalized_expectation",
    "summarize_weights",
    "surrogate",
]
