"""Every estimator keeps the batch shape and the dtype of x; with --typecheck its annotations are checked too."""

from __future__ import annotations

import subprocess
import sys

import models
import pytest
import torch
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from lvmlib import (
    LatentVariableModel,
    chi_square,
    defensive_mixture,
    elbo,
    importance_sampling,
    kl_decomposition,
    laplace_approximation,
    log_weights,
    pareto_smoothed,
    prior_monte_carlo,
    self_normalized_expectation,
    summarize_weights,
)

BATCHES = [(), (3,), (2, 3)]
DTYPES = [torch.float32, torch.float64]


def observations(model, batch):
    x, _ = model.sample(6, seed=0)
    count = torch.Size(batch).numel()
    return x[:count].reshape(batch + tuple(x.shape[1:]))


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_exact_models_keep_batch_shape_and_dtype(name, dtype, batch):
    model = models.EXACT_MODELS[name](dtype=dtype)
    x = observations(model, batch)
    assert model.log_evidence(x).shape == batch
    assert model.log_evidence(x).dtype == dtype
    posterior = model.posterior(x)
    assert posterior.batch_shape == batch
    z = posterior.sample((4,))
    assert z.shape == (4, *batch, *model.prior.event_shape)
    for log_density in (model.log_joint(x, z), model.log_prior(z), model.log_likelihood(x, z), posterior.log_prob(z)):
        assert log_density.shape == (4, *batch)
        assert log_density.dtype == dtype
    terms = kl_decomposition(model, posterior, x)
    assert all(term.shape == batch and term.dtype == dtype for term in terms)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_estimators_keep_batch_shape_and_dtype(name, dtype, batch):
    model = models.EXACT_MODELS[name](dtype=dtype)
    x = observations(model, batch)
    assert log_weights(model, model.prior, x, 5).shape == (5, *batch)
    summary = summarize_weights(model, model.posterior, x, 50, chunk_size=20, seed=0)
    estimates = (prior_monte_carlo(model, x, 50, seed=0), importance_sampling(model, model.posterior, x, 50, seed=0))
    readings = [summary.elbo, summary.elbo_std_error, summary.relative_variance]
    readings += [getattr(e, name) for e in estimates for name in ("log_evidence", "std_error", "ess", "pareto_k")]
    readings += [summary.smoothed_log_evidence, estimates[0].smoothed_log_evidence]
    readings += [elbo(model, model.posterior, x, 2), elbo(model, model.posterior, x)]
    readings += [importance_sampling(model, defensive_mixture(model.posterior, model), x, 5, seed=0).log_evidence]
    for reading in readings:
        assert reading.shape == batch
        assert reading.dtype == dtype


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("event", [(), (1,), (2, 3)], ids=str)
def test_posterior_expectations_and_smoothed_weights_keep_every_shape_and_the_dtype(event, dtype, batch):
    model = models.mixture(dtype=dtype)
    x = observations(model, batch)
    f = lambda z: z.reshape(z.shape + (1,) * len(event)).expand(z.shape + event)  # noqa: E731
    estimate = self_normalized_expectation(model, model.prior, x, f, 50, chunk_size=20, seed=0)
    smoothed, k = pareto_smoothed(log_weights(model, model.prior, x, 50))
    for reading, shape in (
        (estimate.value, batch + event),
        (estimate.std_error, batch + event),
        (estimate.pareto_k, batch),
        (smoothed, (50, *batch)),
        (k, batch),
    ):
        assert reading.shape == shape
        assert reading.dtype == dtype


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gaussian_pieces_keep_batch_shape_and_dtype(dtype, batch):
    model = models.linear_gaussian(dtype=dtype)
    x = observations(model, batch)
    q = laplace_approximation(model, x)
    assert q.batch_shape == batch
    assert q.mean.dtype == dtype
    assert chi_square(model.posterior(x), model.prior).shape == batch
    shared = Independent(Normal(torch.zeros(2, dtype=dtype), torch.ones(2, dtype=dtype)), 1)
    for form in ("joint", "prior_kl", "entropy"):
        assert elbo(model, shared, x, 3, form=form).shape == batch


def test_a_batch_gives_what_its_members_give():
    model = models.linear_gaussian()
    x = observations(model, (2, 3))
    torch.testing.assert_close(model.log_evidence(x)[1, 2], model.log_evidence(x[1, 2]))
    q = laplace_approximation(model, x)
    torch.testing.assert_close(q.mean[1, 2], laplace_approximation(model, x[1, 2]).mean)


def test_an_empty_batch_is_no_error():
    model = models.linear_gaussian()
    assert model.log_evidence(torch.zeros(0, 4, dtype=torch.float64)).shape == (0,)


def test_a_model_with_matrix_observations_and_scalar_latent():
    model = LatentVariableModel(
        Normal(torch.zeros(()), 1.0), lambda z: Independent(Normal(z[..., None, None].expand(*z.shape, 2, 3), 1.0), 2)
    )
    x = torch.zeros(5, 2, 3)
    assert log_weights(model, model.prior, x, 4).shape == (4, 5)
    assert prior_monte_carlo(model, x, 10, seed=0).log_evidence.shape == (5,)


def test_a_q_made_for_each_x_and_one_for_all_agree():
    model = models.mixture()
    x = observations(model, (3,))
    shared = Categorical(torch.full((3,), 1 / 3, dtype=torch.float64))
    one = importance_sampling(model, shared, x, 100, seed=0)
    other = importance_sampling(model, shared.expand((3,)), x, 100, seed=0)
    torch.testing.assert_close(one.log_evidence, other.log_evidence)
    full = MultivariateNormal(torch.zeros(2), torch.eye(2))
    assert full.batch_shape == ()


@pytest.mark.thorough
def test_annotations_hold_at_run_time(pytestconfig):
    """This module again in a process of its own, with every annotation of lvmlib checked by beartype."""
    if pytestconfig.getoption("--typecheck"):
        pytest.skip("annotations are being checked right now")
    pytest.importorskip("beartype")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--typecheck", __file__]
    run = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:]
