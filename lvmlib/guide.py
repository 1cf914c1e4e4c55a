r"""The approximate posterior q: anything that, given x, returns a torch Distribution over z.

A bare Distribution is a q that ignores x. A conditional normalising flow of zuko is a q as it is. What this
module adds are the two usual families with parameters to learn, and a mixture with the prior that makes any q safe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints, transform_to
from torch.distributions.transforms import Transform

from lvmlib._checks import (
    check_sample_count,
    describe,
)
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._draws import draw
from lvmlib._supports import into_constraint
from lvmlib.density import log_density, support_of
from lvmlib.model import LatentVariableModel

__all__ = [
    "AmortizedGuide",
    "Guide",
    "MeanFieldGuide",
    "UnconditionalGuide",
    "defensive_mixture",
]

Guide: TypeAlias = Distribution | Callable[[Tensor], Distribution]


class MeanFieldGuide(nn.Module):
    r"""Independent normals with their own mean and scale, learnt for each x apart or shared by all.

    .. math:: q_\phi(z) = \prod_{d=1}^{D} \mathrm{N}(z_d; \mu_d, \sigma_d^2), \qquad \phi = (\mu, \log \sigma)

    Proved in the book: thm-mean-field.

    Args:
        latent_dim: The number D of latent dimensions.
        batch_shape: ``()`` for one q shared by every x; ``(N,)`` for one q for each of N observations, to be
            called with exactly those.

    Starts at the standard normal.

    Raises:
        TypeError: If ``latent_dim`` is no integer.
        ValueError: If ``latent_dim`` is below 1.

    References:
        Blei, Kucukelbir and McAuliffe (2017), *Variational inference: a review for statisticians*, JASA 112.
    """

    def __init__(self, latent_dim: int, batch_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        check_sample_count("latent_dim", latent_dim)
        if not isinstance(batch_shape, tuple | list):
            raise TypeError(f"batch_shape is {describe(batch_shape)}: expected a tuple of sizes; write (N,) or ().")
        for size in batch_shape:
            check_sample_count("batch_shape", size, least=0)
        self.loc = nn.Parameter(torch.zeros(*batch_shape, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(*batch_shape, latent_dim))

    def forward(self, x: Tensor | None = None) -> Distribution:
        """The distribution of z, batch shape ``batch_shape``; x is not looked at."""
        return DiagonalNormal(self.loc, self.log_scale.exp(), self.log_scale)


class AmortizedGuide(nn.Module):
    r"""Independent normals whose means and scales a network reads off x: the encoder of a VAE.

    .. math:: q_\phi(z \mid x) = \prod_{d=1}^{D} \mathrm{N}\big(z_d; \mu_d(x), \sigma_d(x)^2\big)

    Proved in the book: thm-amortised-objective, prop-two-gaps.

    Args:
        encoder: A module from x, shape ``(*batch, *x_event)``, to shape ``(*batch, 2 D)``: the D means, then the
            D log-scales :math:`\log \sigma`.
        event_dims: How many dimensions an observation has: 1 for a vector, 3 for an image as layers for images take it.
            When given, the encoder gets one batch dimension whatever the batch is; otherwise it gets x as it is.
        mark_gaps: Whether the encoder is told which values of x were not observed, for a model with
            ``missing="marginalize"``. It then gets x with zeros in its gaps and, behind it along the first dimension
            of an observation, ones where x was observed and zeros where not: 2 M numbers for a vector of M.

    Raises:
        TypeError: If ``encoder`` is not a module.

    References:
        Kingma and Welling (2014), *Auto-encoding variational Bayes*; Rezende, Mohamed and Wierstra (2014).
    """

    def __init__(self, encoder: nn.Module, *, event_dims: int | None = None, mark_gaps: bool = False) -> None:
        super().__init__()
        if event_dims is not None:
            check_sample_count("event_dims", event_dims, least=0)
        if not isinstance(encoder, nn.Module):
            raise TypeError(
                f"encoder is {describe(encoder)}: expected a torch.nn.Module, so that its parameters are learnt."
            )
        self.encoder, self.event_dims, self.mark_gaps = encoder, event_dims, mark_gaps

    @property
    def sees_gaps(self) -> bool:
        """Whether gaps in x are handed over as they are, NaN, for the encoder to be told of them."""
        return self.mark_gaps

    def forward(self, x: Tensor) -> Distribution:
        r"""The distribution :math:`q_\phi(z \mid x)`, batch shape that of x.

        Raises:
            ValueError: If the encoder's last dimension is odd, and so not means and log-scales.
        """
        batch = None if self.event_dims is None else x.shape[: x.ndim - self.event_dims]
        if self.mark_gaps:
            x = torch.cat([x.nan_to_num(0.0), (~x.isnan()).to(x.dtype)], dim=-(self.event_dims or 1))
        if batch is None or len(batch) == 1:
            parameters = self.encoder(x)
        else:
            parameters = self.encoder(x.reshape(-1, *x.shape[len(batch) :]))
            if isinstance(parameters, Tensor):
                parameters = parameters.reshape(batch + parameters.shape[1:])
        if not isinstance(parameters, Tensor):
            raise TypeError(
                f"encoder(x) is {describe(parameters)}: expected one tensor, the means and then the log-scales along "
                f"its last dimension; join them with torch.cat(..., dim=-1)."
            )
        if parameters.shape[-1] % 2:
            raise ValueError(
                f"encoder(x) has shape {tuple(parameters.shape)}: expected an even last dimension, D means and D "
                f"log-scales; give its last layer 2 * latent_dim outputs."
            )
        loc, log_scale = parameters.chunk(2, dim=-1)
        return DiagonalNormal(loc, log_scale.exp(), log_scale)


def defensive_mixture(q: Guide, safe: Distribution | LatentVariableModel, weight: float = 0.1) -> Guide:
    r"""A q mixed with a distribution that misses nothing, as a rule the prior: no weight can then be huge.

    .. math:: q_\alpha(z) = (1 - \alpha)\, q(z) + \alpha\, p(z), \qquad
        w(z) = \frac{p(x, z)}{q_\alpha(z)} \le \frac{p(x \mid z)}{\alpha}

    With a bounded likelihood the weights are bounded, and their variance is finite whatever q is:
    :math:`1 + \chi^2(p(z \mid x) \Vert q_\alpha) \le \big(1 + \chi^2(p(z \mid x) \Vert p(z))\big) / \alpha`. Where q
    was good, one draw in :math:`1/\alpha` is lost.

    Proved in the book: prop-defensive-cost.

    Args:
        q: A Distribution over z, or a callable from x to one.
        safe: The other part: a Distribution with batch shape () or that of q, or a model, whose prior is taken.
        weight: :math:`\alpha`, between 0 and 1.

    Returns:
        A Distribution where q is one; a module that calls q where q is a callable, so that the parameters of q
        are its own. Draws are not reparameterised: no gradient flows along them.

    Raises:
        TypeError: If an argument is of the wrong type, or one part is discrete and the other continuous.
        ValueError: If ``weight`` is not between 0 and 1, or event or batch shapes differ.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> narrow, prior = Normal(2.0, 0.1), Normal(0.0, 1.0)
        >>> mixed = defensive_mixture(narrow, prior, weight=0.1)
        >>> bool(mixed.log_prob(torch.tensor(-1.0)) >= prior.log_prob(torch.tensor(-1.0)) + math.log(0.1))
        True

    References:
        Hesterberg (1995), *Weighted average importance sampling and defensive mixture distributions*,
        Technometrics 37(2); Owen (2013), section 9.11.
    """
    if not isinstance(q, Distribution) and not callable(q):
        raise TypeError(f"q is {describe(q)}: expected a torch Distribution over z, or a callable from x to one.")
    if not isinstance(safe, Distribution | LatentVariableModel):
        raise TypeError(f"safe is {describe(safe)}: expected a torch Distribution or a model; pass the model's prior.")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise TypeError(
            f"weight is {describe(weight)}: expected a float between 0 and 1; convert it with float(weight)."
        )
    if not 0 < weight < 1:
        raise ValueError(f"weight is {weight}: expected a number between 0 and 1; 0.1 is usual.")
    return DefensiveMixture(q, _part(safe), weight) if isinstance(q, Distribution) else _MixedGuide(q, safe, weight)


def _part(safe: Distribution | LatentVariableModel) -> Distribution:
    return safe.prior if isinstance(safe, LatentVariableModel) else safe


class _MixedGuide(nn.Module):
    """A callable q, mixed anew for every x; the parameters of q are registered where it is a module."""

    def __init__(
        self, q: Callable[[Tensor], Distribution], safe: Distribution | LatentVariableModel, weight: float
    ) -> None:
        super().__init__()
        self.q, self.weight = q, weight
        # In a tuple it is no submodule: the parameters of the model are no parameters of q.
        self._safe = (safe,)

    @property
    def sees_gaps(self) -> bool:
        return bool(getattr(self.q, "sees_gaps", False))

    def forward(self, x: Tensor) -> Distribution:
        given = self.q(x)
        if not isinstance(given, Distribution):
            raise TypeError(f"q(x) is {describe(given)}: expected a torch Distribution over z.")
        return DefensiveMixture(given, _part(*self._safe), self.weight)


class DefensiveMixture(Distribution):
    """The mixture of :func:`defensive_mixture`: two distributions over the same z, drawn from by chance."""

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(self, q: Distribution, safe: Distribution, weight: float) -> None:
        if q.event_shape != safe.event_shape:
            raise ValueError(
                f"q is {describe(q)} and safe is {describe(safe)}: "
                f"expected one event shape, that of z; wrap the one with "
                f"dimensions in its batch in torch.distributions.Independent."
            )
        if support_of(q).is_discrete != support_of(safe).is_discrete:
            raise TypeError(
                f"q is {describe(q)} and safe is {describe(safe)}: expected both discrete or both continuous; "
                f"choose a q over the same z."
            )
        if safe.batch_shape and safe.batch_shape != q.batch_shape:
            raise ValueError(
                f"safe is {describe(safe)} and q is {describe(q)}: expected safe's batch shape to be () or that of q; "
                f"pass the prior."
            )
        self.q, self.weight = q, weight
        self.safe = safe if safe.batch_shape == q.batch_shape else safe.expand(q.batch_shape)
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Where either part has a density."""
        return _EitherSupport(support_of(self.q), support_of(self.safe))

    @property
    def mean(self) -> Tensor:
        """The mean of the means."""
        return (1 - self.weight) * self.q.mean + self.weight * self.safe.mean

    @property
    def variance(self) -> Tensor:
        """The mean variance plus the variance of the means."""
        within = (1 - self.weight) * self.q.variance + self.weight * self.safe.variance
        return within + self.weight * (1 - self.weight) * (self.q.mean - self.safe.mean).square()

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: Any = None) -> DefensiveMixture:
        """The same mixture for every member of a larger batch."""
        shape = torch.Size(batch_shape)
        return DefensiveMixture(self.q.expand(shape), self.safe.expand(shape), self.weight)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """Draws of shape ``(*sample_shape, *batch, *event)``, each from q or, by chance, from the other part."""
        sample_shape = torch.Size(sample_shape)
        with torch.no_grad():
            shape = sample_shape + self.batch_shape
            by_q, by_safe = (
                draw(part, sample_shape.numel()).reshape(shape + self.event_shape) for part in (self.q, self.safe)
            )
            chance = torch.rand(shape, device=by_q.device).reshape(shape + (1,) * len(self.event_shape))
            return torch.where(chance < self.weight, by_safe, by_q)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of the mixture; a value outside the support of one part has the density of the other."""
        return torch.logaddexp(
            math.log1p(-self.weight) + log_density(self.q, value),
            math.log(self.weight) + log_density(self.safe, value),
        )


class _EitherSupport(constraints.Constraint):
    """Inside one support or the other."""

    def __init__(self, one: constraints.Constraint, other: constraints.Constraint) -> None:
        self.one, self.other = one, other
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.one.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.one.event_dim

    def check(self, value: Tensor) -> Tensor:
        # torch's own check knows neither mixtures nor empty batches.
        return into_constraint(self.one, value)[1] | into_constraint(self.other, value)[1]


@transform_to.register(_EitherSupport)  # type: ignore[untyped-decorator]
def _into_one(constraint: _EitherSupport) -> Transform:
    return transform_to(constraint.one)


class UnconditionalGuide(nn.Module):
    r"""A module that makes one Distribution, as a q shared by every x.

    A normalising flow without context is such a module: called with x, it would take x for a context.

    Args:
        module: Called without arguments, it makes a Distribution over z with batch shape ``()``.

    Raises:
        TypeError: If ``module`` is not a module.

    Example:
        >>> import zuko
        >>> guide = UnconditionalGuide(zuko.flows.NSF(features=2, transforms=1, hidden_features=(16,)))
        >>> guide(torch.zeros(5, 4)).event_shape
        torch.Size([2])

    References:
        Rezende and Mohamed (2015), *Variational inference with normalizing flows*.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"module is {describe(module)}: expected a torch.nn.Module, so that its parameters are learnt; a bare "
                f"Distribution is a q as it is."
            )
        self.module = module

    def forward(self, x: Tensor | None = None) -> Distribution:
        """The distribution of z, batch shape ``()``; x is not looked at."""
        return self.module()
