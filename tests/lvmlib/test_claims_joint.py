"""The claims of chapter 1, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import math

import models
import pytest
import scipy.integrate
import scipy.stats
import torch

from lvmlib import FiniteModel, LinearGaussian


@pytest.mark.vouches("thm-joint")
@pytest.mark.parametrize("seed", range(20))
def test_prior_times_likelihood_is_a_joint_with_this_marginal_and_this_conditional(seed):
    num_z, num_x = 2 + seed % 4, 2 + seed % 3
    model = models.finite(seed=seed, num_z=num_z, num_x=num_x)
    z, x = torch.meshgrid(torch.arange(num_z), torch.arange(num_x), indexing="ij")
    joint = model.log_joint(x, z).exp()
    assert (joint >= 0).all()
    assert joint.sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(joint.sum(1), model.prior_table, atol=1e-12, rtol=0)
    torch.testing.assert_close(joint / joint.sum(1, keepdim=True), model.likelihood_table, atol=1e-12, rtol=0)


@pytest.mark.parametrize("missing", [0.1, 0.4])
def test_a_row_that_is_no_density_takes_its_share_from_the_joint(missing):
    """Every z with p(z) > 0 needs a density: the joint lacks what the row of one z lacks, times p(z)."""
    prior, likelihood = models.table(3, seed=0), models.table(3, 4, seed=1)
    likelihood[2] *= 1 - missing
    total = (prior[:, None] * likelihood).sum().item()
    assert total == pytest.approx(1 - missing * prior[2].item(), abs=1e-12)
    with pytest.raises(ValueError, match="2"):
        FiniteModel(prior, likelihood)


def test_where_the_prior_is_zero_the_likelihood_may_be_anything():
    prior, likelihood = torch.tensor([0.25, 0.75, 0.0]).double(), models.table(3, 4, seed=1)
    likelihood[2] = 7.0
    joint = prior[:, None] * likelihood
    assert joint.sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(joint.sum(1), prior, atol=1e-12, rtol=0)


def _over_z(a: float, b: float, s: float, x: float, *, width: float) -> float:
    """The likelihood of the scalar Gaussian, integrated over an interval of z around its peak."""
    model = LinearGaussian(*(torch.tensor(value, dtype=models.DOUBLE) for value in ([[a]], [b], s**2)))
    observed = torch.tensor([x], dtype=models.DOUBLE)
    centre = (x - b) / a if a else 0.0
    integral, _ = scipy.integrate.quad(
        lambda z: model.log_likelihood(observed, torch.tensor([z], dtype=models.DOUBLE)).exp().item(),
        centre - width,
        centre + width,
        points=[centre],
        epsabs=1e-12,
    )
    return integral


@pytest.mark.vouches("prop-wrong-variable")
@pytest.mark.parametrize("seed", range(6))
def test_the_likelihood_over_z_integrates_to_one_over_the_slope(seed):
    a, b, x, log_s = models.normals(4, seed=seed).tolist()
    s = math.exp(log_s)
    assert _over_z(a, b, s, x, width=12 * s / abs(a)) == pytest.approx(1 / abs(a), rel=1e-9)


@pytest.mark.vouches("prop-wrong-variable")
def test_without_a_slope_the_integral_over_z_grows_with_the_interval():
    """With a = 0 the integrand does not depend on z, so twice the interval is twice the integral."""
    short, long = (_over_z(0.0, 0.5, 0.7, 1.0, width=width) for width in (10.0, 20.0))
    assert short == pytest.approx(20 * scipy.stats.norm.pdf(1.0, 0.5, 0.7), rel=1e-9)
    assert long == pytest.approx(2 * short, rel=1e-9)


@pytest.mark.vouches("thm-ancestral")
def test_dropping_z_leaves_draws_from_the_evidence():
    model, n = models.finite(seed=7, num_z=5, num_x=4), 20_000
    x, z = model.sample(n, seed=1)
    counts = torch.bincount(x, minlength=4)
    expected = n * model.log_evidence(torch.arange(4)).exp()
    assert scipy.stats.chisquare(counts.cpu().numpy(), expected.cpu().numpy()).pvalue > 1e-7
    # The same test sees that x given one z is not distributed like the evidence.
    given = torch.bincount(x[z == 0], minlength=4).double()
    unlike = expected / n * given.sum()
    assert scipy.stats.chisquare(given.cpu().numpy(), unlike.cpu().numpy()).pvalue < 1e-7
