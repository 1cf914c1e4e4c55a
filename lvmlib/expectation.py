r"""Posterior expectations, and draws from the posterior, by self-normalised importance sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lvmlib._checks import call_named, check_no_nan, check_sample_count, describe
from lvmlib._described import Weighed, described
from lvmlib._random import stream
from lvmlib._streams import chunk_length, stream_weights
from lvmlib._types import Float
from lvmlib._weight_summary import WeightSummary
from lvmlib.evidence import check_covers
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.weights import bind_without_gradient, distrusted

__all__ = ["ExpectationEstimate", "PosteriorSample", "sample_posterior", "self_normalized_expectation"]


@dataclass(frozen=True, repr=False)
class ExpectationEstimate(Weighed):
    r"""An estimate of a posterior expectation :math:`\E_{p(z \mid x)}[f(z)]` with what is known of its error.

    Args:
        value: The estimate, shape ``(*batch, *f_event)``; ``nan`` where every weight of an x is zero.
        std_error: Its standard error by the delta method, of the same shape; ``inf`` for a single draw.
        summary: The weights behind the estimate.
    """

    value: Tensor
    std_error: Tensor
    summary: WeightSummary

    def __repr__(self) -> str:
        few = self.value.numel() <= 8
        shown = f"value={_written(self.value)}, std_error={_written(self.std_error)}" if few else ""
        shape = f"shape={tuple(self.value.shape)}, " if self.value.ndim else ""
        return f"ExpectationEstimate({shape}{shown + ', ' if few else ''}{described(self.summary)})"


def _written(value: Tensor) -> str:
    """Numbers to four digits, in the nesting of the tensor."""
    return f"{value.item():.4g}" if not value.ndim else f"[{', '.join(map(_written, value))}]"


def self_normalized_expectation(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    f: Callable[[Tensor], Tensor],
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> ExpectationEstimate:
    r"""A posterior expectation by self-normalised importance sampling: the unknown evidence cancels.

    .. math::
        \E_{p(z \mid x)}[f(z)] = \frac{\E_{q(z)}[w(z)\, f(z)]}{\E_{q(z)}[w(z)]}
        \approx \mu = \frac{\sum_k w_k f(z_k)}{\sum_k w_k}, \qquad z_k \sim q(z)

    A ratio of two unbiased averages is not unbiased: its bias is
    :math:`-\frac1K \E_{q(z)}\big[(w(z) / p(x))^2\, (f(z) - \E_{p(z \mid x)}[f(z)])\big]` to first order in
    :math:`1/K`, of smaller order than the standard error, which the delta method estimates by

    .. math:: \sqrt{\frac{K}{K - 1}\, \frac{\sum_k w_k^2\, (f(z_k) - \mu)^2}{(\sum_k w_k)^2}}

    Draws are streamed, in memory that does not grow with K.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        f: From draws, shape ``(K, *batch, *z_event)``, to real values, shape ``(K, *batch, *f_event)``, each from
            its own z; true and false count as one and zero. It is not asked about the value at a weight of zero.
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once, for each x; less memory when small, the same answer up to rounding.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An :class:`ExpectationEstimate`, its value of shape ``(*batch, *f_event)`` in the dtype of the weights.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`; and if f is not callable or gives no real tensor.
        ValueError: As :func:`importance_sampling`; and if f gives another shape, or NaN or an infinite value at a
            weight above zero.

    Example:
        >>> import torch
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
        >>> x = torch.ones(1)
        >>> estimate = self_normalized_expectation(model, model.prior, x, lambda z: z, 10_000, seed=0)
        >>> abs(estimate.value - model.posterior(x).mean) < 5 * estimate.std_error
        tensor([True])

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, section 9.2.
    """
    if not callable(f):
        raise TypeError(f"f is {describe(f)}: expected a callable from z to a tensor; pass lambda z: z for the mean.")
    problem = bind_without_gradient(model, q, x)
    check_covers(problem)
    summary, ratio = WeightSummary(), None
    name = "self_normalized_expectation"
    for z, log_w in stream_weights(problem, num_samples, name=name, seed=seed, chunk_size=chunk_size):
        summary.update(log_w)
        # f may give many numbers for each z: one draw tells how many.
        numbers = _evaluate(f, z[:1], log_w[:1]).numel() if chunk_size is None else 0
        length = chunk_size or chunk_length(numbers, z.device)
        for part, log_v in zip(z.split(length), log_w.split(length), strict=True):
            here = _Ratio.of(log_v, _evaluate(f, part, log_v))
            ratio = here if ratio is None else ratio.merge(here)
    assert ratio is not None  # there is at least one draw
    distrusted(problem, summary)
    dtype = summary.log_evidence.dtype
    return ExpectationEstimate(ratio.value().to(dtype), ratio.std_error(num_samples).to(dtype), summary)


def _evaluate(f: Callable[[Tensor], Tensor], z: Tensor, log_w: Tensor) -> Tensor:
    """The values of f in float64, zero where the weight is."""
    values = call_named("f", f, z)
    if not isinstance(values, Tensor) or values.is_complex():
        raise TypeError(f"f(z) is {describe(values)}: expected a real tensor; return one with torch.as_tensor.")
    if values.shape[: log_w.ndim] != log_w.shape:
        raise ValueError(
            f"f(z) has shape {tuple(values.shape)} for {len(z)} draws of z of shape {tuple(z.shape)}: expected "
            f"({', '.join(map(str, log_w.shape))}, *f_event), one value for each draw and each x; keep the leading "
            f"dimensions of z."
        )
    seen = (log_w > -torch.inf).reshape(log_w.shape + (1,) * (values.ndim - log_w.ndim))
    values = torch.where(seen, values.double(), 0.0)
    check_no_nan("f(z)", values)
    infinite = values.isinf()
    if infinite.any():
        first = tuple(infinite.nonzero()[0].tolist())
        raise ValueError(
            f"f(z) is {values[first].item()} at index {first}, for a draw of weight above zero: expected finite "
            f"values, as its posterior expectation is infinite otherwise; restrict f to where it is finite."
        )
    return values


class _Ratio(NamedTuple):
    """Sums behind a self-normalised mean, in float64 and centred, so that nothing cancels.

    Weights are relative to ``exp(scale)``. ``mean`` is weighted by w; ``centre`` and ``spread``, a sum of squared
    deviations, by the square of w, as the variance needs them.
    """

    scale: Tensor
    total: Tensor
    mean: Tensor
    total_squared: Tensor
    centre: Tensor
    spread: Tensor

    @classmethod
    def of(cls, log_w: Tensor, values: Tensor) -> _Ratio:
        log_w = log_w.double().reshape(log_w.shape + (1,) * (values.ndim - log_w.ndim))
        scale = log_w.amax(0)
        w = (log_w - torch.where(scale == -torch.inf, 0.0, scale)).exp()
        total, total_squared = w.sum(0), w.square().sum(0)
        mean = _divide((w * values).sum(0), total)
        centre = _divide((w.square() * values).sum(0), total_squared)
        return cls(scale, total, mean, total_squared, centre, (w * (values - centre)).square().sum(0))

    def merge(self, other: _Ratio) -> _Ratio:
        scale = torch.maximum(self.scale, other.scale)
        one, two = self._rescaled(scale), other._rescaled(scale)
        total, total_squared = one.total + two.total, one.total_squared + two.total_squared
        mean = one.mean + (two.mean - one.mean) * _divide(two.total, total)
        step, share = two.centre - one.centre, _divide(two.total_squared, total_squared)
        spread = one.spread + two.spread + step.square() * one.total_squared * share
        return _Ratio(scale, total, mean, total_squared, one.centre + step * share, spread)

    def _rescaled(self, scale: Tensor) -> _Ratio:
        fade = torch.where(self.scale == -torch.inf, 0.0, (self.scale - scale).exp())
        return self._replace(
            total=self.total * fade,
            total_squared=self.total_squared * fade.square(),
            spread=self.spread * fade.square(),
        )

    def value(self) -> Tensor:
        return torch.where(self.total > 0, self.mean, torch.nan)

    def std_error(self, num_samples: int) -> Tensor:
        if num_samples == 1:
            return torch.full_like(self.mean, torch.inf)
        about_mean = self.spread + self.total_squared * (self.centre - self.mean).square()
        return (num_samples / (num_samples - 1) * about_mean).sqrt() / self.total


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and zero where the sum of weights below the bar is zero."""
    return torch.where(denominator > 0, numerator / denominator, 0.0)


@dataclass(frozen=True, repr=False)
class PosteriorSample:
    """Draws from the posterior, resampled from draws of q by their weights.

    Args:
        z: Shape ``(S, *batch, *z_event)``: S draws for each x, with repetitions where weights are uneven.
        summary: The weights of the draws of q, with their diagnostics.
    """

    z: Tensor
    summary: WeightSummary

    @property
    def ess(self) -> Float[Tensor, "*batch"]:
        """Effective sample size of the weights; see :attr:`WeightSummary.ess`."""
        return self.summary.ess

    @property
    def pareto_k(self) -> Float[Tensor, "*batch"]:
        """Shape of the tail of the weights; see :attr:`WeightSummary.pareto_k`."""
        return self.summary.pareto_k

    def to_arviz(self, *, dims: Sequence[str] | None = None, coords: Mapping[str, Sequence[Any]] | None = None) -> Any:
        """The draws as an ArviZ ``InferenceData``: one chain, variable ``z``, with ``pareto_k`` and ``ess`` beside it.

        Args:
            dims: A name for each dimension of z after the draws: those of the batch, then those of one z.
            coords: For some of these names, what each place along that dimension is called.

        Raises:
            ImportError: If ArviZ is not installed.
            TypeError: If ``dims`` is no list of names, or ``coords`` no dict of lists.
            ValueError: If there is not one name for each dimension, a name comes twice or means something to ArviZ, or
                ``coords`` has a name that ``dims`` has not or another number of places.
        """
        shape = tuple(self.z.shape[1:])
        names = None if dims is None else _checked_names(dims, shape)
        if not isinstance(coords, Mapping | None):
            raise TypeError(
                f"coords is {describe(coords)}: expected a dict from names of dims to what their places are called."
            )
        for name, places in (coords or {}).items():
            if not hasattr(places, "__len__"):
                raise TypeError(
                    f"coords[{name!r}] is {describe(places)}: expected a list, one entry for each place; write it out."
                )
            if names is None or name not in names:
                raise ValueError(
                    f"coords names {name!r}, and dims is {names}: expected a name from dims; add it there."
                )
            if len(places) != shape[names.index(name)]:
                raise ValueError(
                    f"coords[{name!r}] has {len(places)} entries: expected {shape[names.index(name)]}, the size of "
                    f"that dimension of z; give one for each place."
                )
        try:
            import arviz
        except ImportError as error:
            raise ImportError("to_arviz needs ArviZ, which is not installed: run `pip install arviz`") from error
        constants = {
            name: value.double().cpu().numpy() for name, value in (("pareto_k", self.pareto_k), ("ess", self.ess))
        }
        z = self.z.float() if self.z.dtype == torch.bfloat16 else self.z  # NumPy has no bfloat16
        named: dict[str, Any] = {}
        if names is not None:
            batch = names[: self.ess.ndim]
            named = {"dims": {"z": names, "pareto_k": batch, "ess": batch}, "coords": dict(coords or {})}
        return arviz.from_dict(posterior={"z": z.cpu().numpy()[None]}, constant_data=constants, **named)

    def __repr__(self) -> str:
        return f"PosteriorSample(z of shape {tuple(self.z.shape)}, {described(self.summary)})"


# What the result has names for already: a dimension called so would silently take the place of the draws.
_TAKEN = ("chain", "draw", "z", "pareto_k", "ess")


def _checked_names(dims: Sequence[str], shape: tuple[int, ...]) -> list[str]:
    if isinstance(dims, str) or not isinstance(dims, Sequence) or not all(isinstance(name, str) for name in dims):
        raise TypeError(f"dims is {describe(dims)}: expected a list of names; write it as ['obs', 'coordinate'].")
    names = list(dims)
    if len(names) != len(shape):
        raise ValueError(
            f"dims is {names} for a z of shape {shape} after the draws: expected {len(shape)} names, one for each "
            f"dimension; name those of the batch first."
        )
    if len(set(names)) < len(names) or not set(names).isdisjoint(_TAKEN):
        raise ValueError(
            f"dims is {names}: expected names that differ from each other and from {', '.join(_TAKEN)}, which the "
            f"result has already; rename those that do not."
        )
    return names


def sample_posterior(
    model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int, *, seed: int | None = None
) -> PosteriorSample:
    r"""Draws from the posterior: draws of q, kept in proportion to their weights.

    .. math:: z_k \sim q(z \mid x), \quad k = 1, \dots, K; \qquad
        \Pr(z = z_k) = \frac{w(z_k)}{\sum_j w(z_j)}

    As many draws are kept as are made, K, by systematic resampling: a draw with the share s of the weight is kept
    :math:`\lfloor K s \rfloor` or :math:`\lceil K s \rceil` times. They are draws from the posterior as K grows; how
    far from it they are with this K, ``ess`` and ``pareto_k`` say, within the limits stated there. They come in random
    order.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, for each x. All draws are held in memory.
        seed: Any integer names a stream and leaves the global random state alone; ``None`` draws from the global
            generator.

    Returns:
        A :class:`PosteriorSample`; ``.to_arviz()`` hands it to ArviZ.

    Raises:
        TypeError: As :func:`importance_sampling`.
        ValueError: Likewise; and if all weights of an x are zero.

    Example:
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
        >>> sample_posterior(model, model.prior, torch.ones(1), 1000, seed=0).z.shape
        torch.Size([1000, 1])

    References:
        Rubin (1988), *Using the SIR algorithm to simulate posterior distributions*; Kitagawa (1996), for systematic
        resampling.
    """
    check_sample_count("num_samples", num_samples)
    problem = bind_without_gradient(model, q, x)
    check_covers(problem)
    chunks = list(stream_weights(problem, num_samples, name="sample_posterior", seed=seed))
    z, log_w = torch.cat([part for part, _ in chunks]), torch.cat([part for _, part in chunks])
    summary = distrusted(problem, WeightSummary.from_log_weights(log_w))
    impossible = summary.log_evidence == -torch.inf
    if impossible.any():
        first = tuple(impossible.nonzero()[0].tolist())
        raise ValueError(
            f"q gives only draws of joint density zero for the x at index {first}: expected at least one weight above "
            f"zero; raise num_samples, or choose a q that covers the posterior."
        )
    columns = log_w.double().reshape(num_samples, -1)
    with torch.no_grad(), stream("sample_posterior resampling", seed, x.device):
        start = torch.rand(columns.shape[1], dtype=columns.dtype, device=columns.device)
        order = torch.rand_like(columns).argsort(0)
    cumulative = columns.softmax(0).cumsum(0)
    cumulative = cumulative / cumulative[-1:]
    points = (torch.arange(num_samples, dtype=columns.dtype, device=columns.device)[:, None] + start) / num_samples
    index = torch.searchsorted(cumulative.T.contiguous(), points.T.contiguous()).T.clamp(max=num_samples - 1)
    index = index.gather(0, order).reshape(log_w.shape)
    index = index.reshape(log_w.shape + (1,) * (z.ndim - log_w.ndim)).expand_as(z)
    return PosteriorSample(z.gather(0, index), summary)
