r"""A coin of unknown bias."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Beta, Distribution

from lvmlib._checks import as_float_tensor, check_positive, check_same_kind, check_shape
from lvmlib._gamma_densities import beta_log_density
from lvmlib._special import beta_entropy, log_beta
from lvmlib._types import Float
from lvmlib.exact.base import ExactModel

__all__ = ["BetaBernoulli"]


class BetaBernoulli(ExactModel):
    r"""A coin of unknown bias, tossed once.

    .. math::
        z \sim \mathrm{Beta}(a, b), \qquad x \mid z \sim \mathrm{Bernoulli}(z), \qquad p(x = 1) = \frac{a}{a + b}

    Args:
        a: Prior count of ones, above zero, a float or a tensor of shape ``()``.
        b: Prior count of zeros, likewise.

    Observations are 0 and 1 in the model's floating-point dtype, shape ``(*batch)``.

    Raises:
        TypeError: If ``a`` or ``b`` is neither a float nor a floating-point tensor.
        ValueError: If ``a`` or ``b`` is not a finite number above zero.

    References:
        Gelman et al. (2013), *Bayesian Data Analysis*, section 2.4.
    """

    a: Tensor
    b: Tensor

    def __init__(self, a: Float[Tensor, ""] | float, b: Float[Tensor, ""] | float) -> None:
        super().__init__()
        a, b = as_float_tensor("a", a), as_float_tensor("b", b)
        check_shape("a", a, ())
        check_shape("b", b, ())
        check_same_kind(a=a, b=b)
        if a.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"a has dtype {a.dtype}: expected float32 or float64, in which gammas can be drawn.")
        check_positive("a", a)
        check_positive("b", b)
        self._register("a", a)
        self._register("b", b)

    @property
    def prior(self) -> Beta:
        """The prior, a Beta over the probability of a one."""
        return _Beta(self.a, self.b)

    def likelihood(self, z: Float[Tensor, "*batch"]) -> Bernoulli:
        """The toss of a coin of bias z."""
        return Bernoulli(probs=z)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        # torch's Bernoulli clips probabilities to its machine precision; a Beta prior reaches below that.
        return torch.special.xlogy(x, z) + torch.special.xlog1py(1 - x, -z)

    def log_evidence(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`x \log \frac{a}{a + b} + (1 - x) \log \frac{b}{a + b}`, in nats, shape ``(*batch)``.

        Raises:
            TypeError: If x is no tensor of the model's dtype.
            ValueError: If an entry is neither 0 nor 1.
        """
        self.check_observation(x)
        less, more = torch.minimum(self.a, self.b), torch.maximum(self.a, self.b)
        # The larger share is 1 / (1 + r), the smaller r / (1 + r), with r at most one.
        larger = -(less / more).log1p()
        smaller = larger + less.log() - more.log()
        one, zero = torch.where(self.a >= self.b, larger, smaller), torch.where(self.a >= self.b, smaller, larger)
        return torch.where(x == 1, one, zero)

    def posterior(self, x: Float[Tensor, "*batch"]) -> Beta:
        r"""The posterior :math:`\mathrm{Beta}(a + x, b + 1 - x)`, with the batch shape of x."""
        self.check_observation(x)
        # An empty batch has nothing to validate, and torch cannot.
        return _Beta(self.a + x, self.b + 1 - x, validate_args=None if x.numel() else False)

    def expected_log_joint(self, q: Distribution, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""The expectation :math:`\E_{q(z)}[\log p(x, z)]` for a Beta q, in nats.

        It needs only :math:`\E[\log z] = \psi(\alpha) - \psi(\alpha + \beta)` and its mirror image. The arithmetic is
        done in float64, as its terms are of the size of a and b and their sum is not.

        Raises:
            TypeError: If q is not a Beta.
        """
        if not isinstance(q, Beta):
            raise self._no_closed_form(q, "a Beta")
        self.check_observation(x)
        self._check_one_for_each(q, x)
        a, b, alpha, beta = (value.double() for value in (self.a, self.b, q.concentration1, q.concentration0))
        log_z = alpha.digamma() - (alpha + beta).digamma()
        log_not_z = beta.digamma() - (alpha + beta).digamma()
        return ((a - 1 + x) * log_z + (b - x) * log_not_z - log_beta(a, b)).to(x.dtype)


class _Beta(Beta):
    """A Beta whose density, entropy and draws keep their digits for any counts."""

    def log_prob(self, value: Tensor) -> Tensor:
        return beta_log_density(value, self.concentration1, self.concentration0)

    def entropy(self) -> Tensor:
        return beta_entropy(self.concentration1, self.concentration0)

    def expand(self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: object = None) -> _Beta:
        shape = torch.Size(batch_shape)
        # What is repeated was looked at before, and of an empty batch torch cannot look.
        return _Beta(self.concentration1.expand(shape), self.concentration0.expand(shape), validate_args=False)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """Draws of shape ``(*sample_shape, *batch)``, strictly between 0 and 1.

        A Gamma variate of a small shape underflows, and the ratio of two zeros is no draw of a Beta. So each is the
        variate of a shape larger by one, times a power of a uniform one, and the powers are compared as logarithms.

        References:
            Marsaglia and Tsang (2000), *A simple method for generating gamma variables*, section 6.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        a, b = self.concentration1.expand(shape), self.concentration0.expand(shape)
        log_power_a, log_power_b = (-torch.empty_like(c).exponential_() / c for c in (a, b))
        larger = torch.maximum(log_power_a, log_power_b)
        one = torch._standard_gamma(a + 1) * (log_power_a - larger).exp()
        zero = torch._standard_gamma(b + 1) * (log_power_b - larger).exp()
        limits = torch.finfo(a.dtype)
        return (one / (one + zero)).clamp(limits.tiny, 1 - limits.eps / 2)
