"""Differences of log-gamma functions against fifty digits."""

from __future__ import annotations

import itertools

import mpmath
import pytest
import torch

from lvmlib._gamma_densities import beta_log_density
from lvmlib._special import (
    beta_entropy,
    digamma_less_log,
    log_beta,
    log_gamma_ratio,
    stirling_remainder,
)

COUNTS = (1e-30, 1e-6, 0.01, 0.5, 1.0, 3.0, 9.99, 10.0, 10.01, 50.0, 1e3, 1e6, 1e10, 1e15)


@pytest.fixture(autouse=True)
def _fifty_digits():
    with mpmath.workdps(60):
        yield


def exact_log_beta(a, b):
    return mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)


def assert_close(value, exact, precision):
    assert value.item() == pytest.approx(float(exact), rel=precision, abs=precision)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-14), (torch.float32, 3e-6)])
def test_log_gamma_differences_keep_their_digits_at_any_size(dtype, precision):
    for pair in itertools.product(COUNTS, repeat=2):
        a, b = (torch.tensor(count, dtype=dtype) for count in pair)
        p, q = mpmath.mpf(a.item()), mpmath.mpf(b.item())
        assert_close(log_beta(a, b), exact_log_beta(p, q), precision)
        assert_close(log_gamma_ratio(a, b), mpmath.loggamma(p + q) - mpmath.loggamma(p), precision)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_a_beta_density_and_its_entropy_keep_their_digits_at_any_size(dtype, precision):
    for first, second in itertools.product(COUNTS, repeat=2):
        a, b = torch.tensor(first, dtype=dtype), torch.tensor(second, dtype=dtype)
        p, q = mpmath.mpf(a.item()), mpmath.mpf(b.item())
        n = p + q
        entropy = exact_log_beta(p, q) - (p - 1) * mpmath.digamma(p) - (q - 1) * mpmath.digamma(q)
        assert_close(beta_entropy(a, b), entropy + (n - 2) * mpmath.digamma(n), precision)
        mean = first / (first + second)
        for value in (1e-6, 0.1, 0.5, mean, mean * (1 + first**-0.5)):
            z = torch.tensor(value, dtype=dtype)
            if not 0 < z < 1:
                continue
            x = mpmath.mpf(z.item())
            exact = (p - 1) * mpmath.log(x) + (q - 1) * mpmath.log(1 - x) - exact_log_beta(p, q)
            assert_close(beta_log_density(z, a, b), exact, precision)


@pytest.mark.parametrize("size", [0.5, 2.0, 9.999, 10.0, 11.0, 1e4, 1e12])
def test_the_asymptotic_series_meet_the_functions(size):
    x, exact = torch.tensor(size, dtype=torch.float64), mpmath.mpf(size)
    remainder = mpmath.loggamma(exact) - (exact - 0.5) * mpmath.log(exact) + exact - mpmath.log(2 * mpmath.pi) / 2
    assert stirling_remainder(x).item() == pytest.approx(float(remainder), rel=1e-11)
    assert digamma_less_log(x).item() == pytest.approx(float(mpmath.digamma(exact) - mpmath.log(exact)), rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "z", "expected"),
    [
        (1.0, 2.0, 0.0, 0.6931471805599453),
        (2.0, 1.0, 0.0, -torch.inf),
        (0.5, 1.0, 0.0, torch.inf),
        (2.0, 1.0, 1.0, 0.6931471805599453),
        (1e6, 1e6, 0.0, -torch.inf),
        (1e6, 1e6, 1.0, -torch.inf),
    ],
)
def test_on_the_ends_a_beta_density_is_its_limit(a, b, z, expected):
    assert beta_log_density(*torch.tensor([z, a, b])).item() == pytest.approx(expected)


def test_gradients_are_those_of_the_functions():
    sizes = torch.tensor([0.3, 5.0, 9.0, 11.0, 40.0, 3e3], dtype=torch.float64)
    a, b = (x.clone().requires_grad_() for x in (sizes[:, None].expand(6, 6), sizes.expand(6, 6)))
    z = (a / (a + b)).detach().clamp(0.01, 0.99).requires_grad_()
    for function, arguments in ((log_beta, (a, b)), (log_gamma_ratio, (a, b)), (beta_log_density, (z, a, b))):
        assert torch.autograd.gradcheck(function, arguments, eps=1e-7, atol=1e-4, rtol=1e-4)
    on_the_end = torch.tensor([0.0, 1.0]).requires_grad_()
    beta_log_density(on_the_end, torch.tensor(1e3), torch.tensor(2e3)).exp().sum().backward()
    assert not on_the_end.grad.isnan().any()
