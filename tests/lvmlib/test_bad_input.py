"""Wrong calls and the errors they get: each names the argument, the value, what was expected, and the mend."""

from __future__ import annotations

import math
import re
from typing import ClassVar

import models
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
    constraints,
)

from lvmlib import (
    VAE,
    AmortizedGuide,
    BernoulliMixture,
    BetaBernoulli,
    FiniteModel,
    GaussianMixture,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    QuadratureModel,
    RunningMean,
    UnconditionalGuide,
    WeightSummary,
    aggregate_posterior_split,
    annealed_importance_sampling,
    chi_square,
    defensive_mixture,
    elbo,
    expectation_maximization,
    explorers,
    fit,
    importance_sampling,
    iwae_bound,
    kl,
    kl_decomposition,
    laplace_approximation,
    log_weights,
    lower_confidence_bound,
    m_step,
    mlp,
    pareto_smoothed,
    prior_monte_carlo,
    self_normalized_expectation,
    summarize_weights,
    surrogate,
)

NAN = float("nan")


def ppca(**changes):
    return LinearGaussian(
        **{"weight": torch.ones(3, 2), "bias": torch.zeros(3), "noise_variance": torch.tensor(0.5)} | changes
    )


def tables(**changes):
    return FiniteModel(
        **{"prior": torch.tensor([0.5, 0.5]), "likelihood": torch.tensor([[0.5, 0.5], [0.1, 0.9]])} | changes
    )


def two_gaussians(**changes):
    default = {
        "weights": torch.tensor([0.5, 0.5]),
        "means": torch.zeros(2, 3),
        "covariances": torch.eye(3).repeat(2, 1, 1),
    }
    return GaussianMixture(**default | changes)


def coins(**changes):
    return BernoulliMixture(**{"weights": torch.tensor([0.5, 0.5]), "probs": torch.full((2, 3), 0.5)} | changes)


def learn(**changes):
    options = {"model": ppca(), "q": MeanFieldGuide(2), "data": X, "epochs": 1, "progress": False} | changes
    return fit(options.pop("model"), options.pop("q"), options.pop("data"), **options)


def scalar():
    return LatentVariableModel(Normal(torch.zeros(()), 1.0), lambda z: Normal(z, 1.0))


def coin():
    return LatentVariableModel(Normal(torch.zeros(()), 1.0), lambda z: Bernoulli(logits=z))


def vector_normal(dim=2):
    return Independent(Normal(torch.zeros(dim), torch.ones(dim)), 1)


X = torch.zeros(4, 3)

# name: (call, error, the argument named, what the message shows of the value, a word of the mend)
WRONG_CALLS = {
    # models
    "prior is a number": (lambda: LatentVariableModel(1.0, lambda z: z), TypeError, "prior", "1.0", "Independent"),
    "likelihood is a Distribution": (
        lambda: LatentVariableModel(Normal(0.0, 1.0), Normal(0.0, 1.0)),
        TypeError,
        "likelihood",
        "Normal",
        "lambda z",
    ),
    "likelihood makes a tensor": (
        lambda: LatentVariableModel(Normal(0.0, 1.0), lambda z: z),
        TypeError,
        "likelihood",
        "(2, 3)",
        "return Indep",
    ),
    "prior module makes a tensor": (
        lambda: LatentVariableModel(lambda: torch.zeros(2), lambda z: Normal(z, 1.0)),
        TypeError,
        "prior",
        "(2,)",
        "return one",
    ),
    "prior with a batch": (
        lambda: LatentVariableModel(Normal(torch.zeros(2), 1.0), lambda z: Normal(z, 1.0)),
        ValueError,
        "prior",
        "(2,)",
        "Independent(prior, 1)",
    ),
    "likelihood with the event in its batch": (
        lambda: LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z[..., None].expand(*z.shape, 5), 1.0)),
        ValueError,
        "likelihood",
        "(2, 3, 5)",
        "Independent(likelihood, 1)",
    ),
    "likelihood that ignores z": (
        lambda: LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(torch.zeros(()), 1.0)),
        ValueError,
        "likelihood",
        "()",
        "expand",
    ),
    "sample of zero": (lambda: ppca().sample(0), ValueError, "n", "0", "at least 1"),
    "sample of a float": (lambda: ppca().sample(2.5), TypeError, "n", "2.5", "int"),
    # observations and latents
    "x is a list": (lambda: ppca().log_evidence([0.0, 0.0, 0.0]), TypeError, "x", "list", "as_tensor"),
    "x is an array": (lambda: ppca().log_evidence(np.zeros(3)), TypeError, "x", "ndarray", "as_tensor"),
    "x is integer": (lambda: ppca().log_evidence(X.long()), TypeError, "x", "int64", "to(torch.float32)"),
    "x is double": (lambda: ppca().log_evidence(X.double()), TypeError, "x", "float64", "model.double()"),
    "x is transposed": (lambda: ppca().log_evidence(X.T), ValueError, "x", "(3, 4)", "batch dimensions first"),
    "x has NaN": (lambda: ppca().log_evidence(torch.tensor([[0.0, NAN, 0.0]])), ValueError, "x", "(0, 1)", "impute"),
    "x is grey for a coin": (
        lambda: coin().log_joint(torch.tensor([0.5]), torch.zeros(1)),
        ValueError,
        "x",
        "0.5",
        "binarize",
    ),
    "x is float for a table": (lambda: tables().log_evidence(torch.tensor([0.0])), TypeError, "x", "float32", "int64"),
    "x outside a table": (lambda: tables().log_evidence(torch.tensor([2])), ValueError, "x", "2", "support"),
    "x on another device": (lambda: ppca().log_evidence(X.to("meta")), ValueError, "x", "meta", "model.to"),
    "z of the wrong event": (lambda: ppca().log_joint(X, torch.zeros(4, 3)), ValueError, "z", "(4, 3)", "(2,)"),
    "z with NaN": (lambda: ppca().log_prior(torch.full((2,), NAN)), ValueError, "z", "NaN", "2 values"),
    "x and z that do not broadcast": (
        lambda: ppca().log_joint(X, torch.zeros(5, 2)),
        ValueError,
        "z",
        "(5,)",
        "z[:, None]",
    ),
    "posterior of an impossible x": (
        lambda: tables(likelihood=torch.tensor([[1.0, 0.0], [1.0, 0.0]])).posterior(torch.tensor([0, 1])),
        ValueError,
        "x",
        "1",
        "positive evidence",
    ),
    # exact models
    "probabilities that sum to 1.1": (
        lambda: tables(prior=torch.tensor([0.5, 0.6])),
        ValueError,
        "prior",
        "1.1",
        "divide",
    ),
    "a row that sums to 0.9": (
        lambda: tables(likelihood=torch.tensor([[0.5, 0.5], [0.1, 0.8]])),
        ValueError,
        "likelihood",
        "0.9",
        "divide",
    ),
    "a negative probability": (lambda: tables(prior=torch.tensor([-0.5, 1.5])), ValueError, "prior", "-0.5", "softmax"),
    "tables that disagree": (
        lambda: tables(likelihood=torch.ones(3, 2) / 2),
        ValueError,
        "likelihood",
        "(3, 2)",
        "(2, X)",
    ),
    "integer table": (lambda: tables(prior=torch.tensor([0, 1])), TypeError, "prior", "int64", "float()"),
    "tables of two dtypes": (
        lambda: tables(prior=torch.tensor([0.5, 0.5]).double()),
        TypeError,
        "likelihood",
        "float32",
        "float64",
    ),
    "weight is a list": (lambda: ppca(weight=[[1.0]]), TypeError, "weight", "list", "as_tensor"),
    "weight of one dimension": (lambda: ppca(weight=torch.ones(3)), ValueError, "weight", "(3,)", "(M, D)"),
    "bias of the wrong length": (lambda: ppca(bias=torch.zeros(2)), ValueError, "bias", "(2,)", "(3,)"),
    "noise of zero": (lambda: ppca(noise_variance=0.0), ValueError, "noise_variance", "0", "above 0"),
    "negative noise": (
        lambda: ppca(noise_variance=torch.tensor([0.1, -0.2, 0.3])),
        ValueError,
        "noise_variance",
        "-0.2",
        "above 0",
    ),
    "fit with too many latents": (
        lambda: LinearGaussian.fit(torch.randn(10, 3), 3),
        ValueError,
        "latent_dim",
        "3",
        "at most 2",
    ),
    "fit to one row": (lambda: LinearGaussian.fit(torch.randn(1, 3), 1), ValueError, "x", "1 rows", "at least 2"),
    "fit to a line": (
        lambda: LinearGaussian.fit(torch.arange(6.0)[:, None] * torch.ones(3), 1),
        ValueError,
        "x",
        "variance",
        "lower",
    ),
    "fit to integers": (lambda: LinearGaussian.fit(torch.ones(5, 3).long(), 1), TypeError, "x", "int64", "float()"),
    "covariance with a negative eigenvalue": (
        lambda: two_gaussians(covariances=torch.stack([torch.eye(3), -torch.eye(3)])),
        ValueError,
        "covariances",
        "-1",
        "identity",
    ),
    "covariance that is not symmetric": (
        lambda: two_gaussians(covariances=torch.eye(3).repeat(2, 1, 1) + torch.ones(3, 3).triu(1)),
        ValueError,
        "covariances",
        "transpose",
        ".mT",
    ),
    "means of the wrong count": (
        lambda: two_gaussians(means=torch.zeros(3, 3)),
        ValueError,
        "means",
        "(3, 3)",
        "(2, M)",
    ),
    "beta of zero": (lambda: BetaBernoulli(0.0, 1.0), ValueError, "a", "0", "above 0"),
    "beta of a string": (lambda: BetaBernoulli("1", 1.0), TypeError, "a", "'1'", "as_tensor"),
    "quadrature in three dimensions": (
        lambda: QuadratureModel(vector_normal(3), lambda z: Normal(z.sum(-1), 1.0)),
        ValueError,
        "prior",
        "(3,)",
        "importance_sampling",
    ),
    "quadrature of a table": (
        lambda: QuadratureModel(Categorical(torch.ones(3)), lambda z: Normal(z.float(), 1.0)),
        TypeError,
        "prior",
        "Categorical",
        "FiniteModel",
    ),
    "quadrature on too small a box": (
        lambda: QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0), lower=-1.0, upper=1.0),
        ValueError,
        "lower",
        "0.68",
        "widen",
    ),
    "quadrature on an empty box": (
        lambda: QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0), lower=1.0, upper=-1.0),
        ValueError,
        "lower",
        "1.0",
        "swap",
    ),
    # guides
    "q is a number": (lambda: log_weights(scalar(), 3.0, torch.zeros(2), 5), TypeError, "q", "3.0", "Distribution"),
    "q returns a tensor": (
        lambda: log_weights(scalar(), lambda x: x, torch.zeros(2), 5),
        TypeError,
        "q(x)",
        "(2,)",
        "AmortizedGuide",
    ),
    "q over the wrong event": (lambda: log_weights(ppca(), vector_normal(3), X, 5), ValueError, "q", "(3,)", "(2,)"),
    "q that is not made independent": (
        lambda: log_weights(ppca(), Normal(torch.zeros(4, 2), 1.0), X, 5),
        ValueError,
        "q",
        "(4, 2)",
        "Independent(q, 1)",
    ),
    "q with another batch": (
        lambda: log_weights(ppca(), MultivariateNormal(torch.zeros(3, 2), torch.eye(2)), X, 5),
        ValueError,
        "q",
        "(3,)",
        "(4,)",
    ),
    "q discrete for a continuous z": (
        lambda: log_weights(scalar(), Categorical(torch.ones(2)), torch.zeros(2), 5),
        TypeError,
        "q",
        "Categorical",
        "continuous",
    ),
    "q continuous for a table": (
        lambda: log_weights(tables(), Normal(0.0, 1.0), torch.tensor([0]), 5),
        TypeError,
        "q",
        "Normal",
        "discrete",
    ),
    "q whose mean is NaN": (
        lambda: log_weights(scalar(), Normal(torch.tensor(NAN), 1.0, validate_args=False), torch.zeros(2), 5),
        ValueError,
        "q",
        "loc nan",
        "parameters",
    ),
    "encoder that is no module": (lambda: AmortizedGuide(lambda x: x), TypeError, "encoder", "function", "Module"),
    "encoder with an odd output": (
        lambda: AmortizedGuide(nn.Linear(3, 3))(X),
        ValueError,
        "encoder",
        "(4, 3)",
        "2 * latent_dim",
    ),
    "guide of no dimension": (lambda: MeanFieldGuide(0), ValueError, "latent_dim", "0", "at least 1"),
    "laplace of a table": (
        lambda: laplace_approximation(tables(), torch.tensor([0])),
        TypeError,
        "prior",
        "Categorical",
        "continuous",
    ),
    "laplace on an interval": (
        lambda: laplace_approximation(BetaBernoulli(1.0, 1.0), torch.ones(1)),
        ValueError,
        "prior",
        "Beta",
        "reals",
    ),
    "laplace from the wrong shape": (
        lambda: laplace_approximation(ppca(), X, initial=torch.zeros(2)),
        ValueError,
        "initial",
        "(2,)",
        "(4, 2)",
    ),
    "laplace without a maximum": (
        lambda: laplace_approximation(
            LatentVariableModel(vector_normal(1), lambda z: Normal(z[..., 0].square(), 0.1)), torch.full((1,), 9.0)
        ),
        ValueError,
        "max_iterations",
        "100",
        "initial",
    ),
    "defensive mixture of a number": (lambda: defensive_mixture(3.0, vector_normal()), TypeError, "q", "3.0", "Distr"),
    "defensive mixture with a guide": (
        lambda: defensive_mixture(vector_normal(), MeanFieldGuide(2)),
        TypeError,
        "safe",
        "MeanFieldGuide",
        "prior",
    ),
    "defensive mixture of all prior": (
        lambda: defensive_mixture(vector_normal(), vector_normal(), 1.0),
        ValueError,
        "weight",
        "1.0",
        "0.1",
    ),
    "defensive mixture with a percentage": (
        lambda: defensive_mixture(vector_normal(), vector_normal(), "10%"),
        TypeError,
        "weight",
        "'10%'",
        "float",
    ),
    "defensive mixture over two events": (
        lambda: defensive_mixture(vector_normal(2), vector_normal(3)),
        ValueError,
        "q",
        "(3,)",
        "Independent",
    ),
    "defensive mixture over two batches": (
        lambda: defensive_mixture(Normal(torch.zeros(2), 1.0), Normal(torch.zeros(3), 1.0)),
        ValueError,
        "safe",
        "(3,)",
        "prior",
    ),
    "defensive mixture of a table and a normal": (
        lambda: defensive_mixture(Categorical(torch.ones(2)), Normal(torch.zeros(()), 1.0)),
        TypeError,
        "q",
        "Categorical",
        "same z",
    ),
    "defensive mixture of a q that gives tensors": (
        lambda: defensive_mixture(lambda x: x, vector_normal())(X),
        TypeError,
        "q(x)",
        "(4, 3)",
        "Distribution",
    ),
    # estimators
    "expectation of a number": (
        lambda: self_normalized_expectation(ppca(), vector_normal(), X, 1.0, 5),
        TypeError,
        "f",
        "1.0",
        "lambda z",
    ),
    "expectation of a list": (
        lambda: self_normalized_expectation(ppca(), vector_normal(), X, lambda z: z.tolist(), 5, seed=0),
        TypeError,
        "f(z)",
        "list",
        "as_tensor",
    ),
    "expectation summed over the draws": (
        lambda: self_normalized_expectation(ppca(), vector_normal(), X, lambda z: z.sum(0), 5, seed=0),
        ValueError,
        "f(z)",
        "(4, 2)",
        "leading",
    ),
    "expectation that is NaN": (
        lambda: self_normalized_expectation(ppca(), vector_normal(), X, lambda z: z * NAN, 5, seed=0),
        ValueError,
        "f(z)",
        "NaN",
        "drop",
    ),
    "expectation without support": (
        lambda: self_normalized_expectation(scalar(), Uniform(torch.zeros(()), 1.0), torch.zeros(2), abs, 5),
        ValueError,
        "q",
        "Uniform",
        "widen",
    ),
    "smoothed integers": (lambda: pareto_smoothed(torch.tensor([1])), TypeError, "log_w", "int64", "float()"),
    "smoothed infinities": (
        lambda: pareto_smoothed(torch.tensor([torch.inf])),
        ValueError,
        "log_w",
        "inf",
        "log q(z)",
    ),
    "a smoothed scalar": (lambda: pareto_smoothed(torch.tensor(0.0)), ValueError, "log_w", "()", "log_w[None]"),
    "K of zero": (lambda: log_weights(ppca(), vector_normal(), X, 0), ValueError, "num_samples", "0", "at least 1"),
    "K of a float": (lambda: prior_monte_carlo(ppca(), X, 1e3), TypeError, "num_samples", "1000.0", "int(num_samples)"),
    "K of True": (lambda: elbo(ppca(), vector_normal(), X, True), TypeError, "num_samples", "True", "int"),
    "negative chunk": (
        lambda: summarize_weights(ppca(), vector_normal(), X, 5, chunk_size=-1),
        ValueError,
        "chunk_size",
        "-1",
        "at least 1",
    ),
    "seed of a float": (lambda: prior_monte_carlo(ppca(), X, 5, seed=0.5), TypeError, "seed", "0.5", "int"),
    "q without support": (
        lambda: importance_sampling(scalar(), Uniform(torch.zeros(()), 1.0), torch.zeros(2), 5),
        ValueError,
        "q",
        "Uniform",
        "widen",
    ),
    "unknown form": (lambda: elbo(ppca(), vector_normal(), X, form="kl"), ValueError, "form", "'kl'", "'joint'"),
    "NaN weights": (
        lambda: WeightSummary.from_log_weights(torch.tensor([0.0, NAN])),
        ValueError,
        "log_w",
        "(1,)",
        "NaN",
    ),
    "infinite weights": (
        lambda: WeightSummary.from_log_weights(torch.tensor([torch.inf])),
        ValueError,
        "log_w",
        "inf",
        "log q(z)",
    ),
    "a weight without K": (
        lambda: WeightSummary.from_log_weights(torch.tensor(0.0)),
        ValueError,
        "log_w",
        "()",
        "log_w[None]",
    ),
    "integer weights": (
        lambda: WeightSummary.from_log_weights(torch.tensor([1])),
        TypeError,
        "log_w",
        "int64",
        "float()",
    ),
    "weights of another batch": (
        lambda: WeightSummary.from_log_weights(torch.zeros(2, 3)).update(torch.zeros(2, 4)),
        ValueError,
        "log_w",
        "(4,)",
        "(3,)",
    ),
    "weights of another dtype": (
        lambda: WeightSummary.from_log_weights(torch.zeros(2)).update(torch.zeros(2).double()),
        TypeError,
        "log_w",
        "float64",
        "convert",
    ),
    "no group": (
        lambda: iwae_bound(ppca(), vector_normal(), X, 5, num_groups=0),
        ValueError,
        "num_groups",
        "0",
        "at least 1",
    ),
    "a bound without doubt": (
        lambda: lower_confidence_bound(ppca(), vector_normal(), X, 5, confidence=1.0),
        ValueError,
        "confidence",
        "1.0",
        "pass 0.99",
    ),
    "a confidence in words": (
        lambda: lower_confidence_bound(ppca(), vector_normal(), X, 5, confidence="high"),
        TypeError,
        "confidence",
        "'high'",
        "pass 0.95",
    ),
    "a bound from no group": (
        lambda: lower_confidence_bound(ppca(), vector_normal(), X, 5, num_groups=0),
        ValueError,
        "num_groups",
        "0",
        "at least 1",
    ),
    "an empty summary": (lambda: WeightSummary().log_evidence, ValueError, "summary", "0 weights", "update"),
    "merge with a tensor": (
        lambda: WeightSummary().merge(torch.zeros(2)),
        TypeError,
        "other",
        "(2,)",
        "from_log_weights",
    ),
    "kl of a guide": (
        lambda: kl(MeanFieldGuide(2), vector_normal()),
        TypeError,
        "q",
        "MeanFieldGuide",
        "call the guide",
    ),
    "kl over two events": (lambda: kl(vector_normal(2), vector_normal(3)), ValueError, "q", "(2,)", "(3,)"),
    "kl without a formula": (
        lambda: kl(StudentT(torch.tensor(3.0)), Normal(torch.tensor(0.0), 1.0)),
        ValueError,
        "q",
        "StudentT",
        "num_samples",
    ),
    "chi-square without a formula": (
        lambda: chi_square(Beta(torch.tensor(1.0), 1.0), Normal(torch.tensor(0.0), 1.0)),
        ValueError,
        "p",
        "Beta",
        "num_samples",
    ),
    "split without draws": (
        lambda: aggregate_posterior_split(vector_normal(), vector_normal(), X),
        ValueError,
        "q",
        "Independent",
        "num_samples=100",
    ),
    "split of guides for other observations": (
        lambda: aggregate_posterior_split(Normal(torch.zeros(3), 1.0), Normal(0.0, 1.0), X, 10),
        ValueError,
        "q",
        "(3,)",
        "flatten x",
    ),
    "split with a batch of priors": (
        lambda: aggregate_posterior_split(vector_normal(), Normal(torch.zeros(2), 1.0), X, 10),
        ValueError,
        "prior",
        "(2,)",
        "Independent(prior, 1)",
    ),
    "split of tensors": (
        lambda: aggregate_posterior_split(X, vector_normal(), X, 10),
        TypeError,
        "q",
        "(4, 3)",
        "pass",
    ),
    "split of one observation": (
        lambda: aggregate_posterior_split(vector_normal(), vector_normal(), torch.tensor(0.0), 10),
        ValueError,
        "x",
        "()",
        "x[None]",
    ),
    "decomposition of an inexact model": (
        lambda: kl_decomposition(scalar(), Normal(0.0, 1.0), torch.zeros(1)),
        TypeError,
        "model",
        "LatentVariableModel",
        "importance_sampling",
    ),
    "decomposition with another family": (
        lambda: kl_decomposition(BetaBernoulli(1.0, 1.0), Uniform(torch.zeros(()), 1.0), torch.ones(1)),
        TypeError,
        "q",
        "Uniform",
        "elbo",
    ),
    # explorers
    "a value beyond its slider": (lambda: explorers.jensen_gap(a=20), ValueError, "a", "20", "range"),
    "a probability in words": (lambda: explorers.jensen_gap(p="half"), TypeError, "p", "'half'", "float"),
    "noise of nothing": (lambda: explorers.evidence_bar(noise=0.0), ValueError, "noise", "0.0", "pass"),
    "an infinite observation": (lambda: explorers.proposal_width(x=math.inf), ValueError, "x", "inf", "choose"),
    "a proposal too narrow": (lambda: explorers.proposal_width(width=0.1), ValueError, "width", "0.1", "choose"),
    "a mode of no weight": (lambda: explorers.forward_reverse_kl(weight=0), ValueError, "weight", "0", "choose"),
    "no dimension": (lambda: explorers.cost_of_dimension(dim=0), ValueError, "dim", "0", "choose"),
    "no width of sticks": (lambda: explorers.weight_sticks(q_width=0), ValueError, "q_width", "0", "choose"),
    "an offset too far": (lambda: explorers.two_axes(theta=7), ValueError, "theta", "7", "choose"),
    "a form of no width": (lambda: explorers.elbo_forms(q_width=0), ValueError, "q_width", "0", "choose"),
    "a mode that is all": (lambda: explorers.far_mode(share=1.0), ValueError, "share", "1.0", "choose"),
    "a picture in words": (lambda: explorers.Explorer("spec"), TypeError, "spec", "str", "dict"),
    "a picture without words": (lambda: explorers.Explorer({}), ValueError, "spec", "None", "say"),
    # learning
    "a probability above one": (lambda: coins(probs=torch.full((2, 3), 1.5)), ValueError, "probs", "1.5", "sigmoid"),
    "coins that disagree": (lambda: coins(probs=torch.zeros(3, 3)), ValueError, "probs", "(3, 3)", "(2, M)"),
    "EM of a table": (
        lambda: expectation_maximization(tables(), torch.tensor([0, 1])),
        TypeError,
        "model",
        "FiniteModel",
        "fit(model, q, data)",
    ),
    "EM on one observation": (
        lambda: expectation_maximization(two_gaussians(), X[0]),
        ValueError,
        "x",
        "(3,)",
        "(N, 3)",
    ),
    "negative regularization": (
        lambda: expectation_maximization(ppca(), X, regularization=-1.0),
        ValueError,
        "regularization",
        "-1.0",
        "try",
    ),
    "M-step with one q for all": (
        lambda: m_step(two_gaussians(), Categorical(torch.ones(2)), X),
        ValueError,
        "q",
        "Categorical",
        "expand",
    ),
    "M-step with another family": (
        lambda: m_step(two_gaussians(), Normal(torch.zeros(4), 1.0), X),
        TypeError,
        "q",
        "Normal",
        "posterior",
    ),
    "unknown estimator": (
        lambda: surrogate(ppca(), vector_normal(), X, 2, estimator="reinforce"),
        ValueError,
        "estimator",
        "'reinforce'",
        "'score'",
    ),
    "reparameterising a table": (
        lambda: surrogate(tables(), Categorical(torch.ones(2)), torch.tensor([0]), 2),
        TypeError,
        "estimator",
        "Categorical",
        "estimator='vimco'",
    ),
    "a baseline for another estimator": (
        lambda: surrogate(ppca(), vector_normal(), X, 2, estimator="stl", baseline=RunningMean()),
        ValueError,
        "baseline",
        "'stl'",
        "leave it out",
    ),
    "a baseline that is a number": (
        lambda: surrogate(ppca(), vector_normal(), X, 2, estimator="score", baseline=0.5),
        ValueError,
        "baseline",
        "0.5",
        "RunningMean()",
    ),
    "one draw to compare with no other": (
        lambda: surrogate(ppca(), vector_normal(), X, 1, estimator="vimco"),
        ValueError,
        "num_samples",
        "1 for vimco",
        "raise",
    ),
    "a mean that never forgets": (lambda: RunningMean(decay=1.0), ValueError, "decay", "1.0", "try 0.9"),
    "flow without a module": (
        lambda: UnconditionalGuide(vector_normal()),
        TypeError,
        "module",
        "Independent",
        "Distribution is a q",
    ),
    "unknown objective": (lambda: learn(objective="cubo"), ValueError, "objective", "'cubo'", "correct"),
    "estimator of another bound": (
        lambda: learn(estimator="dreg"),
        ValueError,
        "estimator",
        "'dreg'",
        "objective='iwae'",
    ),
    "unknown estimator in training": (
        lambda: learn(estimator="reinforce"),
        ValueError,
        "estimator",
        "'reinforce'",
        "correct the name",
    ),
    "no epoch": (lambda: learn(epochs=0), ValueError, "epochs", "0", "at least 1"),
    "half a batch": (lambda: learn(batch_size=0.5), TypeError, "batch_size", "0.5", "int"),
    "learning rate of zero": (lambda: learn(learning_rate=0.0), ValueError, "learning_rate", "0.0", "1e-3"),
    "patience without validation": (lambda: learn(patience=3), ValueError, "patience", "3", "validation="),
    "resume from nowhere": (lambda: learn(resume=True), ValueError, "checkpoint", "None", "checkpoint="),
    "training data that are an array": (
        lambda: learn(data=np.zeros((4, 3))),
        TypeError,
        "data",
        "ndarray",
        "as_tensor",
    ),
    "one observation as data": (lambda: learn(data=X[0]), ValueError, "data", "(3,)", "(N, 3)"),
    "no observation": (lambda: learn(data=X[:0]), ValueError, "data", "(0, 3)", "at least 1"),
    "data of another event": (lambda: learn(data=torch.zeros(4, 2)), ValueError, "x", "(4, 2)", "(3,)"),
    "validation with NaN": (lambda: learn(validation=torch.full((2, 3), NAN)), ValueError, "x", "NaN", "impute"),
    "a function as q": (
        lambda: learn(q=lambda x: MeanFieldGuide(2)(x)),
        TypeError,
        "q",
        "float32 tensor of shape (2,)",
        "UnconditionalGuide",
    ),
    "a learnable Distribution as q": (
        lambda: learn(q=MeanFieldGuide(2)()),
        TypeError,
        "q",
        "float32 tensor of shape (2,)",
        "Module",
    ),
    "nothing to learn": (lambda: learn(q=vector_normal()), ValueError, "q", "0 parameters", "nn.Parameter"),
    "encoder that is a function": (
        lambda: VAE(torch.tanh, mlp(2, 3), latent_dim=2),
        TypeError,
        "encoder",
        "tanh",
        "Module",
    ),
    "decoder that is a function": (
        lambda: VAE(mlp(3, 4), torch.tanh, latent_dim=2),
        TypeError,
        "decoder",
        "tanh",
        "mlp",
    ),
    "a network of one size": (lambda: mlp(3), ValueError, "sizes", "(3,)", "add one"),
}


def test_the_table_is_long_enough():
    assert len(WRONG_CALLS) >= 40


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_wrong_call_is_told_what_is_wrong_and_how_to_mend_it(name):
    call, error, argument, value, mend = WRONG_CALLS[name]
    with pytest.raises((error, ImportError)) as caught:
        call()
    if isinstance(caught.value, ImportError):
        pytest.skip(str(caught.value))
    message = str(caught.value)
    assert type(caught.value) is error
    assert re.search(rf"\b{re.escape(argument)}", message), f"{argument!r} is not named in: {message}"
    assert value in message, f"{value!r} is not shown in: {message}"
    assert "expected" in message, message
    assert mend in message, f"{mend!r} is not in: {message}"


def test_the_devices_of_a_mismatch_are_both_named():
    with pytest.raises(ValueError, match=r"meta.*cpu|cpu.*meta"):
        ppca().to("cpu").log_evidence(X.to("meta"))


def test_no_wrong_call_touches_the_global_random_state():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="density zero"):
        importance_sampling(scalar(), Uniform(torch.zeros(()), 1.0), torch.zeros(2), 5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert models.generator(0) is not None


def standard_model():
    return LatentVariableModel(Independent(Normal(torch.zeros(2), 1.0), 1), lambda z: Independent(Normal(z, 1.0), 1))


class WithoutExpand(Distribution):
    arg_constraints: ClassVar = {}
    support = constraints.real_vector

    def __init__(self):
        super().__init__(event_shape=torch.Size((2,)), validate_args=False)

    def sample(self, sample_shape=()):
        return torch.randn(*sample_shape, 2)

    def log_prob(self, value):
        return -value.square().sum(-1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: elbo(standard_model(), WithoutExpand(), torch.zeros(3, 2)), "q is WithoutExpand.*no method expand"),
        (lambda: elbo(standard_model(), lambda: None, torch.zeros(3, 2)), "q is .*cannot be called with 1 arguments"),
        (lambda: LatentVariableModel(lambda x: x, lambda z: Normal(z, 1.0)), "prior is .*cannot be called with 0"),
        (
            lambda: LatentVariableModel({"a": Normal(0.0, 1.0), "b": lambda: None}, lambda z: Normal(z["a"], 1.0)),
            r"prior\['b'\] is .*cannot be called",
        ),
        (lambda: MeanFieldGuide(2, 3), "batch_shape is 3"),
        (lambda: MeanFieldGuide(2, (-1,)), "batch_shape is -1"),
        (lambda: QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0), lower="a"), "lower is 'a'"),
        (lambda: QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0), upper=math.inf), "upper is inf"),
        (lambda: standard_model().log_prior(torch.zeros(3, 2).to_sparse()), "z has layout torch.sparse_coo.*to_dense"),
        (lambda: LinearGaussian.fit(torch.zeros(3, 2).to_sparse(), 1), "x has layout"),
        (lambda: LinearGaussian.fit(torch.zeros(3, 2, device="meta"), 1), "x is on the device meta"),
        (lambda: LatentVariableModel(Normal(torch.tensor(0), torch.tensor(1)), lambda z: z), "prior is Normal.*fails"),
        (lambda: laplace_approximation(3, torch.zeros(2)), "model is 3"),
        (
            lambda: laplace_approximation(standard_model(), torch.zeros(2), initial=torch.zeros(2).double()),
            "initial has dtype torch.float64",
        ),
        (
            lambda: laplace_approximation(
                LatentVariableModel(
                    (Normal(0.0, 1.0), lambda a: Normal(a, 1.0)), lambda z: Independent(Normal(z[1][..., None], 1.0), 1)
                ),
                torch.zeros(1),
            ),
            "prior is Hierarchy.*no finite mean or mode.*pass initial",
        ),
        (lambda: laplace_approximation(standard_model().half(), torch.zeros(2).half()), "x has dtype torch.float16"),
        (lambda: BetaBernoulli(torch.ones(()).half(), torch.ones(()).half()), "a has dtype torch.float16"),
        (
            lambda: aggregate_posterior_split(AmortizedGuide(nn.Linear(3, 2)), Normal(0.0, 1.0), torch.zeros(2, 4), 5),
            "q fails for x, a torch.float32 tensor of shape",
        ),
        (lambda: aggregate_posterior_split(Normal(0.0, 1.0), Normal(0.0, 1.0), torch.zeros(0), 5), "x has shape"),
        (lambda: aggregate_posterior_split(Normal(0.0, 1.0), Normal(0.0, 1.0), torch.full((2,), math.nan), 5), "x has"),
        (
            lambda: expectation_maximization(
                BernoulliMixture(torch.ones(1), torch.full((1, 2), 0.5)), torch.ones(3, 2), tolerance=math.nan
            ),
            "tolerance is nan",
        ),
        (
            lambda: expectation_maximization(
                BernoulliMixture(torch.ones(1), torch.full((1, 2), 0.5)), torch.ones(3, 2), regularization="a"
            ),
            "regularization is 'a'",
        ),
        (
            lambda: standard_model().log_prior(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])),
            "z is a nested tensor",
        ),
        (lambda: iwae_bound(standard_model(), vector_normal(), torch.zeros(2), 10**20), "num_samples is 1000"),
        (lambda: LinearGaussian(torch.zeros(3, 0), torch.zeros(3), 1.0), r"weight has shape \(3, 0\)"),
        (lambda: LinearGaussian(torch.zeros(0, 1), torch.zeros(0), 1.0), r"weight has shape \(0, 1\)"),
        (
            lambda: annealed_importance_sampling(
                standard_model(), torch.zeros(2), num_chains=2, num_steps=2, initial="prior"
            ),
            "initial is 'prior'",
        ),
        (
            lambda: self_normalized_expectation(
                standard_model(), vector_normal(), torch.zeros(2), lambda x, z: z, num_samples=5
            ),
            "f is .*cannot be called with 1 arguments",
        ),
    ],
)
def test_what_torch_would_refuse_in_its_own_words_is_refused_in_ours(call, words):
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        call()
    assert "expected" in str(caught.value)
