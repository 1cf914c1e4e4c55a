"""Latent variable models: exact models, importance weights, evidence estimates and bounds.

Everything is a view of one random number, the importance weight w(z) = p(x, z) / q(z) with z drawn from q.
"""

from lvmlib import data, plots
from lvmlib.bounds import elbo, iwae_bound
from lvmlib.derivation import DerivationReport, check_derivation
from lvmlib.divergence import Decomposition, DivergenceEstimate, chi_square, kl, kl_decomposition
from lvmlib.em import EMResult, expectation_maximization, m_step
from lvmlib.evidence import EvidenceEstimate, importance_sampling, prior_monte_carlo
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
from lvmlib.guide import AmortizedGuide, MeanFieldGuide, UnconditionalGuide, laplace_approximation
from lvmlib.model import LatentVariableModel
from lvmlib.training import History, NonFiniteLossError, fit
from lvmlib.vae import VAE, mlp
from lvmlib.weights import WeightSummary, log_weights, summarize_weights

__all__ = [  # noqa: RUF022 - sorted plainly
    "AmortizedGuide",
    "BernoulliMixture",
    "BetaBernoulli",
    "Decomposition",
    "DerivationReport",
    "DivergenceEstimate",
    "EMResult",
    "EvidenceEstimate",
    "ExactModel",
    "FiniteModel",
    "GaussianMixture",
    "GridPosterior",
    "History",
    "LatentVariableModel",
    "LinearGaussian",
    "MeanFieldGuide",
    "NonFiniteLossError",
    "QuadratureModel",
    "RunningMean",
    "UnconditionalGuide",
    "VAE",
    "WeightSummary",
    "check_derivation",
    "chi_square",
    "data",
    "elbo",
    "expectation_maximization",
    "fit",
    "importance_sampling",
    "iwae_bound",
    "kl",
    "kl_decomposition",
    "laplace_approximation",
    "log_weights",
    "m_step",
    "mlp",
    "plots",
    "prior_monte_carlo",
    "summarize_weights",
    "surrogate",
]
