r"""A model, a q and observations that fit together: everything is checked once, and q is evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, constraints

from lvmlib._checks import call_named, check_sample_count, describe
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._distribution_parts import tensors_in, with_batch_shape
from lvmlib._draws import check_draws, draw_in_parts, draw_weighed, noise_is_exact
from lvmlib._hierarchy import Hierarchy, is_levels, joined
from lvmlib._types import Float
from lvmlib.density import support_of, without_independent
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel, unless_learning

__all__ = ["Problem", "bind", "bind_to_prior", "check_model"]


@dataclass(frozen=True, repr=False)
class Problem:
    """What every estimator works on; made by :func:`bind`.

    Attributes:
        model: The joint density.
        guide: q as it was given: a Distribution, or a callable from x to one.
        q: The distribution of z for each x, with the batch shape of x.
        x: Observations, shape ``(*batch, *x_event)``.
        q_is_prior: Whether q is the prior, so that a weight is the likelihood.
        by_noise: Whether the density of a draw of a normal may be read from its noise.
    """

    model: LatentVariableModel
    guide: Guide
    q: Distribution
    x: Tensor
    q_is_prior: bool = False
    by_noise: bool = True

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of x."""
        return self.model.batch_shape(self.x)

    def at(self, x: Tensor) -> Problem:
        """The same model and guide at other observations, which must have been checked before."""
        return replace(self, q=_one_for_each(_evaluate(self.model, self.guide, x), self.model.batch_shape(x)), x=x)

    def draw_weighed(
        self, num_samples: int, *, seed: tuple[object, ...] | None = None
    ) -> tuple[Tensor, Float[Tensor, K * batch]]:
        """Draws from q, shape ``(K, *batch, *z_event)``, and their log-density under q."""
        return draw_weighed(self.q, num_samples, seed=seed, by_noise=self.by_noise, weighed=not self.q_is_prior)

    def draw_in_parts(
        self, num_samples: int, length: int, *, seed: tuple[object, ...]
    ) -> Iterator[tuple[Tensor, Float[Tensor, K * batch]]]:
        """As :meth:`draw_weighed`, the same numbers in parts of about ``length`` draws."""
        weighed = not self.q_is_prior
        return draw_in_parts(self.q, num_samples, length, seed=seed, by_noise=self.by_noise, weighed=weighed)

    def log_weights(self, num_samples: int) -> Float[Tensor, K * batch]:
        """Log importance weights of draws from q, in nats; see :func:`lvmlib.log_weights`."""
        check_sample_count("num_samples", num_samples)
        with self.mode():
            z, log_q = self.draw_weighed(num_samples)
            check_draws(self.q, z)
            return self.weigh(z, log_q)

    def weigh(self, z: Tensor, log_q: Tensor) -> Float[Tensor, K * batch]:
        """Log-weights of draws and their log-density under q; nothing is checked."""
        if self.q_is_prior:
            # Densities that cancel are left out: at an end of the support both may be infinite.
            return self.model._log_likelihood(self.x, z)
        return self.model._log_joint(self.x, z) - log_q

    def weigher(self) -> Callable[[Tensor, Tensor], Float[Tensor, K * batch]]:
        """:meth:`weigh` without gradients, for many draws in turn: what depends on x alone is computed once."""
        log_likelihood = self.model._log_likelihood_of(self.x)
        if self.q_is_prior:
            return lambda z, log_q: log_likelihood(z)
        return lambda z, log_q: self.model._joint_with(log_likelihood, z) - log_q

    def mode(self) -> AbstractContextManager[None]:
        """Without gradients nothing is being learnt: dropout off, batch statistics frozen. Otherwise as modules are."""
        return unless_learning(self.model, self.guide)

    def __repr__(self) -> str:
        return f"Problem({type(self.model).__name__}, q={describe(self.q)}, x={describe(self.x)})"


def bind(model: LatentVariableModel, q: Guide, x: Tensor) -> Problem:
    r"""A model, a q and observations, checked against each other, with q evaluated at x.

    Every estimator does this first. To ask several questions about the same observations, bind once and pass the parts
    on; a :class:`Problem` holds q at x as ``.q``.

    Args:
        model: Says what x and z are.
        q: A Distribution over z, or a callable from x to one. Batch shape ``()`` is expanded to the batch of x. For a
            model with several levels of z also a tuple or a dict of levels, or a callable to one. Gaps in x are handed
            to it as zeros, or as they are, NaN, if it has a true attribute ``sees_gaps``.
        x: Observations, shape ``(*batch, *x_event)``.

    Returns:
        A :class:`Problem`, which does not change.

    Raises:
        TypeError: If q is neither, or discrete where z is continuous or the other way round, or of another dtype; or
            x is no tensor.
        ValueError: If the event shape of q is not that of z, its batch shape not that of x, its device another, or its
            scale not above zero; or x does not fit the model.

    Example:
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> bind(model, Normal(0.0, 1.0), torch.zeros(5)).q.batch_shape
        torch.Size([5])
    """
    check_model(model)
    model.check_observation(x)
    if not isinstance(q, Distribution) and not callable(q) and not is_levels(q):
        raise TypeError(f"q is {describe(q)}: expected a torch Distribution over z, or a callable from x to one.")
    with unless_learning(model, q):
        try:
            given = _evaluate(model, q, x)
        except RuntimeError as error:
            if not _is_from_a_layer(error):
                raise
            raise ValueError(
                f"q fails for x, {describe(x)}: {error}; expected observations that q takes; check the sizes of its "
                f"layers, or say how many dimensions an observation has, with AmortizedGuide(..., event_dims=...)."
            ) from error
        _check_fits(model, given, x)
        exact = noise_is_exact(given)
    return Problem(model, q, _one_for_each(given, model.batch_shape(x)), x, by_noise=exact)


def bind_to_prior(model: LatentVariableModel, x: Tensor) -> Problem:
    """The problem whose q is the prior, so that the weights are likelihoods."""
    check_model(model)
    model.check_observation(x)
    prior = model.prior
    return Problem(model, prior, _one_for_each(prior, model.batch_shape(x)), x, q_is_prior=True)


def check_model(model: object) -> None:
    """``model`` is a LatentVariableModel."""
    if not isinstance(model, LatentVariableModel):
        raise TypeError(
            f"model is {describe(model)}: expected a LatentVariableModel; make one of a prior and a likelihood."
        )


def _evaluate(model: LatentVariableModel, q: Guide, x: Tensor) -> Distribution:
    """q at x, whatever form it was given in."""
    if isinstance(q, Distribution):
        return q
    if is_levels(q):
        return joined(q, "q")
    batch, event = model.batch_shape(x), model.event_shape
    hides_gaps = model.marginalizes_gaps and not getattr(q, "sees_gaps", False)
    seen = x.nan_to_num(0.0) if hides_gaps else x
    if len(event) > 1 and len(batch) != 1 and isinstance(q, nn.Module):
        # Layers for images take one batch dimension.
        rows = q(seen.reshape(-1, *event))
        if isinstance(rows, Distribution) and rows.batch_shape == (batch.numel(),):
            return with_batch_shape(rows, batch)
        return rows
    return joined(call_named("q", q, seen), "q(x)")


def _is_from_a_layer(error: RuntimeError) -> bool:
    """Whether a layer of torch refused its input, so that no line of the user's own says what went wrong."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = "" if place is None else str(place.tb_frame.f_globals.get("__name__"))
    return type(error) is RuntimeError and name.startswith("torch.")


def _one_for_each(q: Distribution, batch: torch.Size) -> Distribution:
    if q.batch_shape == batch:
        return q
    try:
        expanded = q.expand(batch)
    except NotImplementedError as error:
        raise TypeError(
            f"q is {describe(q)} and has no method expand: expected one, as every x has its own draws; give "
            f"{type(q).__name__} an expand(batch_shape) that returns it with a larger batch shape."
        ) from error
    if expanded.batch_shape != batch:
        raise ValueError(
            f"q is {describe(q)}, and its expand({tuple(batch)}) gives {describe(expanded)}: expected that batch "
            f"shape; correct the expand of {type(q).__name__}."
        )
    return expanded


def _check_fits(model: LatentVariableModel, q: Distribution, x: Tensor) -> None:
    """q is a distribution over the z of the model, with parameters that make sense, for each x."""
    if not isinstance(q, Distribution):
        raise TypeError(
            f"q(x) is {describe(q)}: expected a torch Distribution over z; for a network that gives "
            f"parameters use AmortizedGuide(network)."
        )
    prior, batch = model.prior, model.batch_shape(x)
    if support_of(q).is_discrete != support_of(prior).is_discrete:
        words = ("discrete", "continuous")
        raise TypeError(
            f"q is {describe(q)}, {words[not support_of(q).is_discrete]}: expected a "
            f"{words[not support_of(prior).is_discrete]} q, as the prior is {type(prior).__name__}; "
            f"choose a q over the same z."
        )
    if q.event_shape != prior.event_shape:
        extra = len(prior.event_shape) - len(q.event_shape)
        mend = (
            f"wrap it in torch.distributions.Independent(q, {extra})"
            if extra > 0 and q.batch_shape[-extra:] == prior.event_shape
            else "give q the dimensions of z"
        )
        raise ValueError(f"q is {describe(q)}: expected event shape {tuple(prior.event_shape)}, that of z; {mend}.")
    if q.batch_shape and q.batch_shape != batch:
        raise ValueError(
            f"q is {describe(q)} and x has batch shape {tuple(batch)}: expected q's batch shape to be () or that "
            f"of x; make one q for each x."
        )
    if isinstance(q, Hierarchy) and isinstance(prior, Hierarchy) and not q.matches(prior):
        raise ValueError(
            f"q has the levels {q.shown()} and the prior has {prior.shown()}: expected the same names and sizes in the "
            f"same order, as z holds the levels of the prior one after the other; write q in the prior's order."
        )
    layout = model._layout()
    for part in tensors_in(q):
        if part.device != layout.device:
            raise ValueError(
                f"q is on {part.device} and the model is on {layout.device}: expected one device; move one with "
                f"q.to({str(layout.device)!r}) or model.to({str(part.device)!r})."
            )
        if layout.z_dtype.is_floating_point and part.is_floating_point() and part.dtype != layout.z_dtype:
            raise TypeError(
                f"q has dtype {part.dtype}: expected {layout.z_dtype}, that of the model's z; make q of tensors of "
                f"that dtype, or convert the model with model.to({part.dtype})."
            )
    if isinstance(q, DiagonalNormal):
        _check_normal(q)
    else:
        _check_parameters(q)


def _check_parameters(q: Distribution) -> None:
    """Those of any other q: torch looks only where validation is on, and takes an infinite mean or scale for one."""
    base, _ = without_independent(q)
    held = {name: (base.__dict__.get(name), constraint) for name, constraint in base.arg_constraints.items()}
    if type(base) is MultivariateNormal:
        # The factor is what it computes with; its diagonal is the scales.
        scales = base._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1)
        held = {"loc": (base.loc, constraints.real), "scale": (scales, constraints.positive)}
    for name, (value, constraint) in held.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        value = value.detach()
        wrong = ~value.isfinite() if name in ("loc", "scale") else value.isnan()
        if not constraints.is_dependent(constraint) and not constraint.event_dim and name not in ("logits", "probs"):
            wrong = wrong | ~constraint.check(value)
        if wrong.any():
            first = tuple(wrong.nonzero()[0].tolist())
            raise ValueError(
                f"q is {describe(q)} with {name} {value[first].item():.6g} at index {first}: expected finite numbers, "
                f"{name} in {constraint}; its parameters have gone bad, so look at what they were computed from."
            )


def _check_normal(q: DiagonalNormal) -> None:
    wrong = ~(q.loc.isfinite() & q.scale.isfinite() & (q.scale > 0))
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"q has mean {q.loc[first].item():.6g} and scale {q.scale[first].item():.6g}, log-scale "
            f"{q.log_scale[first].item():.6g}, at index {first}: expected a finite mean and a finite scale above 0; "
            f"the network behind it has diverged, so look at its last steps, or keep its log-scales within bounds."
        )
