"""A latent variable model: a prior on z and a likelihood of x given z."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import Transform

from lvmlib._checks import (
    check_no_nan,
    check_sample_count,
    describe,
    into_support,
    is_real,
    support_of,
    values_are_trusted,
)
from lvmlib._random import forked_rng
from lvmlib._types import Float

__all__ = ["LatentVariableModel"]


class Layout(NamedTuple):
    """The kind of x and z of a model, found by drawing from it once."""

    z_event: torch.Size
    z_dtype: torch.dtype
    x_event: torch.Size
    x_dtype: torch.dtype
    x_support: constraints.Constraint
    device: torch.device


class LatentVariableModel(nn.Module):
    r"""A joint density of an observation x and a latent variable z.

    .. math:: p(x, z) = p(x \mid z)\, p(z)

    Args:
        prior: :math:`p(z)`, a Distribution with batch shape ``()``; or, when it has parameters to learn,
            a module (any callable without arguments) that makes one.
        likelihood: :math:`p(x \mid z)`, any callable from z, shape ``(*batch, *z_event)``, to a Distribution
            over x with batch shape ``(*batch)``. A module's parameters become the model's.

    ``model.to(device)`` and ``model.double()`` move the modules and also the tensors inside a prior given as
    a Distribution. Tensors that a plain function closes over cannot be found: make such a function a module.

    Raises:
        TypeError: If ``prior`` makes no Distribution, or ``likelihood`` cannot be called or makes none.
        ValueError: If a batch shape is not as stated; the message names the mend.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(2.0 * z, 0.5))
        >>> x, z = model.sample(3, seed=0)
        >>> model.log_joint(x, z).shape
        torch.Size([3])

    References:
        Koller and Friedman (2009), *Probabilistic Graphical Models*, chapter 3; Bishop (2006), chapter 9.
    """

    def __init__(
        self, prior: Distribution | Callable[[], Distribution], likelihood: Callable[[Tensor], Distribution]
    ) -> None:
        super().__init__()
        if not isinstance(prior, Distribution) and not callable(prior):
            raise TypeError(
                f"prior is {describe(prior)}: expected a torch Distribution, or a module that makes one; "
                f"for a standard normal in D dimensions pass Independent(Normal(torch.zeros(D), 1.0), 1)."
            )
        if not callable(likelihood):
            raise TypeError(
                f"likelihood is {describe(likelihood)}: expected a callable from z to a torch Distribution over x; "
                f"wrap it, for example lambda z: Normal(z, 1.0)."
            )
        self._prior = prior
        self._likelihood = likelihood
        self._known_layout: Layout | None = None
        self._layout()

    @property
    def prior(self) -> Distribution:
        """The prior :math:`p(z)`, with batch shape ``()``."""
        return self._prior if isinstance(self._prior, Distribution) else self._prior()

    def likelihood(self, z: Tensor) -> Distribution:
        r"""The distribution :math:`p(x \mid z)` of x for each z, with the batch shape of z."""
        return self._likelihood(z)

    def log_prior(self, z: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-density of the prior, :math:`\log p(z)`, in nats; ``-inf`` outside its support.

        Args:
            z: Shape ``(*batch, *z_event)``.

        Returns:
            Shape ``(*batch)``.
        """
        self._check_latent(z)
        prior = self.prior
        z, inside = into_support(prior, z)
        return torch.where(inside, prior.log_prob(z), -torch.inf)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-likelihood :math:`\log p(x \mid z)`, in nats.

        The batch shapes of x and z broadcast: ``(N,)`` against ``(N,)`` scores pairs, ``(N,)`` against
        ``(K, 1)`` scores every x under every z.

        Args:
            x: Shape ``(*batch, *x_event)``.
            z: Shape ``(*batch, *z_event)``.

        Returns:
            The broadcast batch shape.
        """
        self._check_pair(x, z)
        return self._log_likelihood(x, z)

    def log_joint(self, x: Tensor, z: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-density of the joint, :math:`\log p(x, z) = \log p(x \mid z) + \log p(z)`, in nats.

        Shapes are those of :meth:`log_likelihood`. A z outside the prior's support has joint density zero,
        whatever the likelihood would say of it: the result is ``-inf`` and its gradient is finite.
        """
        self._check_pair(x, z)
        prior = self.prior
        if values_are_trusted() and is_real(support_of(prior)):
            return prior.log_prob(z) + self._log_likelihood(x, z)
        z, inside = into_support(prior, z)
        log_joint = prior.log_prob(z) + self._log_likelihood(x, z)
        return torch.where(inside, log_joint, -torch.inf)

    def sample(self, n: int, *, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Ancestral sampling: z from the prior, then x from the likelihood given that z.

        Args:
            n: Number of pairs.
            seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

        Returns:
            ``(x, z)`` of shapes ``(n, *x_event)`` and ``(n, *z_event)``. Keep x alone for draws from p(x).
        """
        check_sample_count("n", n)
        with torch.no_grad(), forked_rng(seed, self._layout().device):
            z = self.prior.sample((n,))
            return self.likelihood(z).sample(), z

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """The formula of :meth:`log_likelihood` for arguments already checked; exact models have shorter ones."""
        likelihood = self.likelihood(z)
        if _bounds_are_fixed(support_of(likelihood)):
            return likelihood.log_prob(x)
        batch = torch.broadcast_shapes(likelihood.batch_shape, self.batch_shape(x))
        x, inside = into_support(likelihood, x.expand(batch + self._layout().x_event))
        return torch.where(inside, likelihood.log_prob(x), -torch.inf)

    def batch_shape(self, x: Tensor) -> torch.Size:
        """The batch shape of observations: the shape of x without its event dimensions."""
        return x.shape[: x.ndim - len(self._layout().x_event)]

    def check_observation(self, x: Tensor) -> Tensor:
        """x itself, if it is an observation of this model.

        Raises:
            TypeError: If x is no tensor, or of another dtype than the model's observations.
            ValueError: If x has NaN, the wrong event shape, another device, or values outside the support
                of the likelihood.
        """
        if values_are_trusted():
            return x
        layout = self._layout()
        _check_variable("x", x, layout.x_event, layout.x_dtype, layout.device)
        if is_real(layout.x_support):
            return x
        if _bounds_are_fixed(layout.x_support):
            inside = layout.x_support.check(x)
            if not inside.all():
                first = tuple((~inside).nonzero()[0].tolist())
                raise ValueError(
                    f"x is {_shown(x[first])} at index {first}: expected values in the support "
                    f"{layout.x_support} of the likelihood; rescale or binarize x, or change the likelihood."
                )
        return x

    def _check_latent(self, z: Tensor) -> None:
        layout = self._layout()
        _check_variable("z", z, layout.z_event, layout.z_dtype, layout.device)

    def _check_pair(self, x: Tensor, z: Tensor) -> None:
        if values_are_trusted():
            return
        self.check_observation(x)
        self._check_latent(z)
        x_batch = self.batch_shape(x)
        z_batch = z.shape[: z.ndim - len(self._layout().z_event)]
        try:
            torch.broadcast_shapes(x_batch, z_batch)
        except RuntimeError:
            raise ValueError(
                f"x has batch shape {tuple(x_batch)} and z has {tuple(z_batch)}: expected shapes that "
                f"broadcast; pass z[:, None] to score every x under every z."
            ) from None

    def _layout(self) -> Layout:
        if self._known_layout is None:
            self._known_layout = self._find_layout()
        return self._known_layout

    def _find_layout(self) -> Layout:
        prior = self.prior
        if not isinstance(prior, Distribution):
            raise TypeError(f"prior made {describe(prior)}: expected a torch Distribution; return one from forward().")
        if prior.batch_shape:
            raise ValueError(
                f"prior is {describe(prior)}: expected batch shape (), one density over the whole of z; "
                f"wrap it in torch.distributions.Independent(prior, {len(prior.batch_shape)})."
            )
        # Reading the tensors of the prior, not drawing, tells the device on which to draw.
        device = next((t.device for t in _tensors(prior)), torch.device("cpu"))
        probe = (2, 3)
        with torch.no_grad(), forked_rng(0, device):
            z = prior.sample(probe)
            likelihood = self.likelihood(z)
            if not isinstance(likelihood, Distribution):
                raise TypeError(
                    f"likelihood(z) is {describe(likelihood)}: expected a torch Distribution; for a network that "
                    f"gives logits return Independent(Bernoulli(logits=network(z)), 1)."
                )
            if likelihood.batch_shape != probe:
                extra = len(likelihood.batch_shape) - len(probe)
                mend = (
                    f"wrap it in torch.distributions.Independent(likelihood, {extra})"
                    if extra > 0
                    else "make every x depend on its own z, or expand the distribution to z's batch shape"
                )
                raise ValueError(
                    f"likelihood(z) is {describe(likelihood)} for z of batch shape {probe}: expected the batch "
                    f"shape of z; {mend}."
                )
            x = likelihood.sample()
        return Layout(prior.event_shape, z.dtype, likelihood.event_shape, x.dtype, support_of(likelihood), x.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LatentVariableModel:
        super()._apply(fn, recurse)
        own_prior = self.__dict__.get("_prior")
        if isinstance(own_prior, Distribution):
            self._prior = _map_tensors(own_prior, fn)
        self._known_layout = None
        return self

    def _register(self, name: str, value: Tensor) -> None:
        """Keep a tensor that moves with the model; a Parameter stays one."""
        if isinstance(value, nn.Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)


def _check_variable(name: str, value: object, event: torch.Size, dtype: torch.dtype, device: torch.device) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is {describe(value)}: expected a torch.Tensor; convert with torch.as_tensor({name}).")
    if value.dtype != dtype:
        raise TypeError(
            f"{name} has dtype {value.dtype}: expected {dtype}, the model's; convert with {name}.to({dtype})"
            + (", or the model with model.double()." if value.dtype == torch.float64 else ".")
        )
    if value.device != device:
        raise ValueError(
            f"{name} is on {value.device} and the model is on {device}: expected one device; "
            f"move one with {name}.to({str(device)!r}) or model.to({str(value.device)!r})."
        )
    if value.ndim < len(event) or value.shape[value.ndim - len(event) :] != event:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}: expected (*batch, {', '.join(map(str, event))}) with "
            f"event shape {tuple(event)}; put the batch dimensions first."
        )
    check_no_nan(name, value)


def _shown(value: Tensor) -> str:
    return f"{value.item():.6g}" if value.numel() == 1 else f"a row of shape {tuple(value.shape)}"


def _bounds_are_fixed(support: Any) -> bool:
    """Whether a support is the same for every parameter value: none of its bounds is a tensor."""
    return not any(True for _ in _tensors(support))


def _parts(value: Any) -> dict[str, Any]:
    return vars(value) if isinstance(value, Distribution | Transform | constraints.Constraint) else {}


def _tensors(value: Any) -> Any:
    """Every tensor inside a Distribution, a Transform or a Constraint, however deep."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    else:
        for item in _parts(value).values():
            yield from _tensors(item)


def _map_tensors(value: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a Distribution (or a part of one) with ``fn`` applied to every tensor inside it."""
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, list | tuple):
        return type(value)(_map_tensors(item, fn) for item in value)
    if isinstance(value, nn.Module):
        return value._apply(fn)
    parts = _parts(value)
    if not parts:
        return value
    moved = copy.copy(value)
    for name, item in parts.items():
        moved.__dict__[name] = _map_tensors(item, fn)
    return moved
