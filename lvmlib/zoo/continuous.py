"""Members of other shapes: power tails, far modes, pixels under Laplace, a ring, a funnel, rounded data, a heavy f."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Cauchy,
    Distribution,
    Independent,
    Normal,
    StudentT,
    Uniform,
    constraints,
)

from lvmlib.exact import BetaBernoulli, LinearGaussian
from lvmlib.guide import DefensiveMixture
from lvmlib.laplace import laplace_approximation
from lvmlib.model import LatentVariableModel
from lvmlib.zoo.grids import around_zero, interval, joined, line, polar, product
from lvmlib.zoo.member import Grid, Member

__all__ = ["RoundedNormal", "continuous"]


def _double(*numbers: float) -> Tensor:
    return torch.tensor(numbers if len(numbers) > 1 else numbers[0], dtype=torch.float64)


def _standard_normal(dim: int) -> Distribution:
    return Independent(Normal(torch.zeros(dim, dtype=torch.float64), 1.0), 1)


def _scalar_model() -> LatentVariableModel:
    """z ~ N(0, 1) and x | z ~ N(z, 1), so that x = 1 has the posterior N(1/2, 1/2)."""
    return LatentVariableModel(Normal(_double(0.0), _double(1.0)), lambda z: Normal(z, 1.0))


def _wide_tails() -> list[Member]:
    """A normal posterior under proposals whose tails are powers."""
    grid = line(0.5, math.sqrt(0.5))
    return [
        Member(
            "student-proposal",
            "Nothing: a Student-t proposal has heavier tails than any normal posterior, and the weights are bounded.",
            _scalar_model(),
            StudentT(_double(5.0), 0.5, 0.7),
            _double(1.0),
            tail_index=0.0,
            tail_reason="a normal density over a power",
            grid=grid,
        ),
        Member(
            "cauchy-proposal",
            "The ELBO as a measure of a proposal: the weights are bounded, and the mean of log w is minus infinity.",
            _scalar_model(),
            Cauchy(_double(0.5), 0.7),
            _double(1.0),
            tail_index=0.0,
            tail_reason="a normal density over a power",
            grid=grid,
            stated={"kl": math.inf, "log_variance": math.inf},
        ),
        Member(
            "normal-for-powers",
            "Posterior means: the posterior has Cauchy tails and no mean, and under a normal q the weight has no "
            "moment above the first.",
            LatentVariableModel(Cauchy(_double(0.0), 1.0), lambda z: Bernoulli(logits=z)),
            Normal(_double(1.0), 2.0),
            _double(1.0),
            tail_index=1.0,
            tail_reason="a power over a normal density",
            grid=line(),
            stated={"log_evidence": math.log(0.5), "f_mean": math.nan, "f_noise": math.inf},
        ),
        Member(
            "power-tails",
            "Counting moments by eye: powers 4 and 6 in the tails leave the weight a variance and no third moment.",
            LatentVariableModel(StudentT(_double(3.0)), lambda z: Bernoulli(0.3 + 0.0 * z)),
            StudentT(_double(5.0)),
            _double(1.0),
            tail_index=0.4,
            tail_reason="(5 - 3)/5 for Student-t densities with 3 and 5 degrees of freedom",
            grid=line(),
            # The posterior has a variance; u^2 z^2 grows like z^6 against tails of z^-6.
            stated={"log_evidence": math.log(0.3), "highest": math.inf, "f_mean": 0.0, "f_noise": math.inf},
        ),
    ]


def _edges() -> list[Member]:
    """Proposals on an interval: one narrower than the posterior, one under a density without bound."""
    middle, deviation = 0.5, math.sqrt(0.5)
    low, high = middle - deviation, middle + deviation
    beta = BetaBernoulli(_double(0.5), _double(0.5))
    # E[|z|^-r] of a standard normal z, with r = 0.6, over the normal density's constant.
    spiked = math.lgamma(0.2) - 0.3 * math.log(2) - 0.5 * math.log(math.pi) - 0.5 * math.log(2 * math.pi)
    return [
        Member(
            "spiked-likelihood",
            "Bounded likelihoods: x has standard deviation |z|^0.6, so the likelihood of x = 0 has no bound at z = 0; "
            "under the prior it has a mean and no variance.",
            LatentVariableModel(Normal(_double(0.0), 1.0), lambda z: Normal(0.0 * z, z.abs() ** 0.6)),
            Normal(_double(0.0), 1.0),
            _double(0.0),
            tail_index=0.6,
            tail_reason="the likelihood is |z|^-0.6 near zero, and |z|^-a has an integral for a < 1",
            grid=around_zero(),
            stated={"log_evidence": spiked, "lowest": 0.0, "highest": math.inf, "f_mean": 0.0},
        ),
        Member(
            "uniform-slice",
            "Calm weights: a uniform q over one standard deviation to each side sees 68 % of the posterior.",
            _scalar_model(),
            Uniform(_double(low), _double(high)),
            _double(1.0),
            tail_index=0.0,
            tail_reason="a bounded density on an interval",
            grid=joined(interval(low - 10, low), interval(low, high), interval(high, high + 10)),
        ),
        Member(
            "unbounded-density",
            "Tails as the only danger: the posterior density has no bound at z = 1, and no tail at all.",
            beta,
            Beta(_double(1.0), _double(1.0)),
            _double(1.0),
            tail_index=0.5,
            tail_reason="u^a grows like (1 - z)^(-a/2), which has an integral for a < 2",
            stated={
                "log_evidence": math.log(0.5),
                "kl": math.log(math.pi / 2),
                # log u is half the log-odds of z, whose variance is that of a standard logistic.
                "log_variance": math.pi**2 / 12,
                "second_moment": math.inf,
                "seen": 1.0,
                "lowest": 0.0,
                "highest": math.inf,
                "f_mean": 0.75,
                "f_noise": math.inf,
            },
        ),
    ]


def _two_modes() -> list[Member]:
    """x is the noisy size of z, so z and -z explain it equally well; q sits on one of the two."""
    model = LatentVariableModel(Normal(_double(0.0), 10.0), lambda z: Normal(z.abs(), 1.0))
    x, variance = _double(10.0), 100 / 101
    mean = variance * 10.0
    log_evidence = (Normal(_double(0.0), math.sqrt(101)).log_prob(x) + math.log(2)).item() + math.log(
        Normal(_double(0.0), 1.0).cdf(_double(mean / math.sqrt(variance))).item()
    )
    one = Normal(_double(mean), 1.5)
    return [
        Member(
            "far-modes",
            "Every diagnostic that reads draws of q: half of the posterior is 20 standard deviations away, and the "
            "weights that q sees are calm.",
            model,
            one,
            x,
            tail_index=0.0,
            tail_reason="q is wider than each mode",
            grid=line(),
            stated={"log_evidence": log_evidence, "f_mean": 0.0},
        ),
        Member(
            "far-modes-defended",
            "Nothing: the same two modes, with a tenth of the draws taken from the prior.",
            model,
            DefensiveMixture(one, model.prior, 0.1),
            x,
            tail_index=0.0,
            tail_reason="the weight is at most ten times the likelihood",
            grid=line(),
            stated={"log_evidence": log_evidence, "f_mean": 0.0},
        ),
    ]


def _pixels() -> Member:
    """Forty pixels that know one latent: the posterior's tails are the prior's, and Laplace does not see them."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 1, generator=generator, dtype=torch.float64)
    model = LatentVariableModel(_standard_normal(1), lambda z: Independent(Bernoulli(logits=z @ weight.mT), 1))
    x = (torch.rand(40, generator=generator, dtype=torch.float64) < 0.5).double()
    q = laplace_approximation(model, x)
    precision = torch.linalg.eigvalsh(q.precision_matrix).max().item()
    z, log_volume = line(q.mean.item(), q.stddev.item(), reach=12.0)
    return Member(
        "laplace-on-pixels",
        "Laplace proposals: a Bernoulli log-likelihood falls at most linearly, so the tails of the posterior are those "
        "of the prior, and q is narrower.",
        model,
        q,
        x,
        tail_index=1 - 1 / precision,
        tail_reason="1 - 1/lambda_max, with lambda_max the largest eigenvalue of q's precision",
        grid=Grid(z[:, None], log_volume),
    )


def _shapes() -> list[Member]:
    """Two dimensions in which no normal fits."""
    ring = LatentVariableModel(_standard_normal(2), lambda z: Normal(z.norm(dim=-1), 0.5))
    funnel = LatentVariableModel(
        (Independent(Normal(torch.zeros(1, dtype=torch.float64), 1.5), 1), _neck),
        lambda levels: Normal(levels[1][..., 0], 1.0),
    )
    narrow, prior_of_width = (1.2, 0.7), 1.5
    return [
        Member(
            "ring",
            "Modes that are single: the posterior is a ring, and a normal q covers an arc of it.",
            ring,
            Independent(Normal(_double(1.6, 0.0), 0.6), 1),
            _double(2.0),
            tail_index=0.0,
            tail_reason="precision 1 + 1/0.5^2 far out, more than q's 1/0.6^2",
            grid=polar(12.0),
            stated={"lowest": 0.0, "f_mean": 0.0},
        ),
        Member(
            "funnel",
            "One scale for all: the spread of the second coordinate changes by orders of magnitude with the first.",
            funnel,
            Independent(Normal(_double(0.0, 0.0), _double(*narrow)), 1),
            _double(0.5),
            tail_index=max(1 - narrow[1] ** 2, 1 - (narrow[0] / prior_of_width) ** 2),
            tail_reason="1 - t^2 where the funnel is wide and the likelihood alone, with precision 1, holds the second "
            "coordinate",
            grid=product(line(reach=3.2), line(scale=0.05, reach=7.4)),
        ),
    ]


def _neck(width: Tensor) -> Distribution:
    return Independent(Normal(torch.zeros_like(width), (width / 2).exp()), 1)


class RoundedNormal(Distribution):
    r"""A normal reading that is rounded to whole steps: a probability for each of them, and no density.

    .. math::
        P(x \mid \mu) = \Phi\!\left(\frac{x + h - \mu}{\sigma}\right)
            - \Phi\!\left(\frac{x - h - \mu}{\sigma}\right)

    Args:
        loc: The mean :math:`\mu` before rounding, shape ``(*batch)``.
        scale: The standard deviation before rounding.
        step: The distance 2h between readings.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch reads the class attribute
    support = constraints.real

    def __init__(self, loc: Tensor, scale: float, step: float) -> None:
        self.loc, self.scale, self.step = loc, scale, step
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-probability of a reading, in nats."""
        # The normal is symmetric: on the lower side, differences of its tails keep their digits.
        distance = (value - self.loc).abs()
        high = torch.special.log_ndtr((self.step / 2 - distance) / self.scale)
        low = torch.special.log_ndtr((-self.step / 2 - distance) / self.scale)
        return high + torch.log(-torch.expm1(low - high))

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Readings of shape ``(*sample_shape, *batch)``."""
        with torch.no_grad():
            exact = Normal(self.loc, self.scale).sample(torch.Size(sample_shape))
            return (exact / self.step).round() * self.step


def _rounded() -> Member:
    model = LatentVariableModel(Normal(_double(0.0), 1.0), lambda z: RoundedNormal(z, 0.1, 1.0))
    spread = math.sqrt(1.01)
    standard = Normal(_double(0.0), 1.0)
    evidence = standard.cdf(_double(1.5 / spread)) - standard.cdf(_double(0.5 / spread))
    return Member(
        "rounded-reading",
        "Densities of data: the reading is rounded to whole numbers, so p(x) is a probability and the likelihood is "
        "flat at its top.",
        model,
        Normal(_double(0.9), 0.4),
        _double(1.0),
        tail_index=0.0,
        tail_reason="the likelihood falls faster than q",
        grid=line(1.0, 0.1),
        stated={"log_evidence": evidence.log().item()},
    )


def _heavy_f() -> Member:
    """exp(0.9 z^2) under N(1/2, 1/2): a mean, and no variance with a q twice as wide."""
    one = torch.ones(1, dtype=torch.float64)
    model = LinearGaussian(one[:, None], 0 * one, _double(1.0))
    z, log_volume = line(0.5, math.sqrt(0.5), reach=5.0)
    return Member(
        "heavy-f",
        "Diagnostics of weights as diagnostics of an average: the weights are bounded, and the average of f has no "
        "variance.",
        model,
        Independent(Normal(0.5 * one, math.sqrt(2.0)), 1),
        one,
        tail_index=0.0,
        tail_reason="q is wider than the posterior",
        grid=Grid(z[:, None], log_volume),
        f=lambda z: (0.9 * z[..., 0].square()).exp(),
        stated={"f_mean": math.sqrt(10.0) * math.exp(2.25), "f_noise": math.inf},
    )


def continuous() -> list[Member]:
    """The members with a continuous z whose posterior and q are not both Gaussian."""
    return [*_wide_tails(), *_edges(), *_two_modes(), _pixels(), *_shapes(), _rounded(), _heavy_f()]
