"""What x and z of a model are, found by drawing from it once, and the checks of both against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from lvmlib._checks import check_layout, check_no_nan, describe, observation_advice
from lvmlib._distribution_parts import tensors_in
from lvmlib._draws import draw
from lvmlib._random import in_turn
from lvmlib.density import support_of, without_independent

__all__ = ["Layout", "check_variable", "find_layout"]


class Layout(NamedTuple):
    """The kind of x and z of a model, found by drawing from it once."""

    z_event: torch.Size
    z_dtype: torch.dtype
    x_event: torch.Size
    x_dtype: torch.dtype
    x_support: constraints.Constraint
    device: torch.device
    one_batch_dimension: bool
    """Whether the likelihood takes z with a single batch dimension only, as layers for images do."""


def find_layout(
    prior: Distribution, make_likelihood: Callable[[Tensor], Distribution], *, marginalizes: bool
) -> Layout:
    """What x and z are, from a few draws of both.

    Raises:
        TypeError: If the prior or the likelihood is no Distribution.
        ValueError: If their batch shapes are not as :class:`lvmlib.LatentVariableModel` states.
    """
    _check_prior(prior)
    # Reading the tensors of the prior, not drawing, tells the device on which to draw.
    device = next((tensor.device for tensor in tensors_in(prior)), torch.device("cpu"))
    with torch.no_grad(), in_turn(0, device):
        try:
            z = draw(prior, 6, name="prior")
        except Exception as error:
            raise ValueError(
                f"prior is {describe(prior)}, and drawing from it fails ({type(error).__name__}: {error}): expected a "
                f"distribution that can be sampled; make it of floating-point tensors, for instance Normal(0.0, 1.0)."
            ) from error
        if z.is_floating_point() and z.isnan().any():
            raise ValueError(
                f"prior is {describe(prior)} and drew z with NaN: expected numbers; its parameters are not finite, so "
                f"look at what they were computed from."
            )
        one_batch_dimension = False
        likelihood, failure = _probe(make_likelihood, z, (2, 3))
        if failure is None:
            # Another shape tells a parameter that happens to have three entries from one that follows z.
            likelihood, failure = _probe(make_likelihood, z, (3, 2))
        if failure is not None and z.ndim:
            flat, failure_of_flat = _probe(make_likelihood, z, (6,))
            _, failure_of_five = _probe(make_likelihood, z[:5], (5,))
            if failure_of_flat is None and failure_of_five is None:
                likelihood, failure, one_batch_dimension = flat, None, True
        if failure is not None:
            raise failure
        again, _ = _probe(make_likelihood, z, tuple(likelihood.batch_shape))
        if not _same(likelihood, again):
            raise ValueError(
                f"likelihood(z) is {describe(likelihood)} with other parameters each time that it is asked about the "
                f"same z, in evaluation mode: expected a function of z alone, or no seed gives one answer; take "
                f"torch.nn.Dropout, or dropout with training=self.training, and leave other noise to z."
            )
        try:
            x = likelihood.sample()
        except Exception as error:
            raise ValueError(
                f"likelihood(z) is {describe(likelihood)}, and drawing from it fails ({type(error).__name__}: "
                f"{error}): expected a distribution that can be sampled; in a MixtureSameFamily give the weights the "
                f"batch shape of the components."
            ) from error
    if x.shape != likelihood.batch_shape + likelihood.event_shape:
        raise ValueError(
            f"likelihood(z) is {describe(likelihood)}, which drew a tensor of shape {tuple(x.shape)}: expected one "
            f"draw for each z; have its sample method keep the batch and event shape."
        )
    if marginalizes and without_independent(likelihood)[0].event_shape:
        raise ValueError(
            f"missing is 'marginalize' and likelihood(z) is {describe(likelihood)}, which does not say that the "
            f"coordinates of x are independent: expected Independent(...) over all of them; wrap it, or drop the "
            f"observations with gaps."
        )
    return Layout(
        prior.event_shape,
        z.dtype,
        likelihood.event_shape,
        x.dtype,
        support_of(likelihood),
        x.device,
        one_batch_dimension,
    )


def _same(one: Distribution, other: Any) -> bool:
    """Whether two distributions hold the same numbers, up to the rounding of a device that adds in any order."""
    pairs = zip(tensors_in(one), tensors_in(other), strict=False)
    return all(
        a.shape != b.shape or torch.allclose(a.double(), b.double(), rtol=1e-2, atol=1e-5, equal_nan=True)
        for a, b in pairs
        if not (a.is_complex() or b.is_complex())
    )


def _probe(
    make_likelihood: Callable[[Tensor], Distribution], z: Tensor, batch: tuple[int, ...]
) -> tuple[Any, Exception | None]:
    """The likelihood of draws laid out as ``batch``, and what is wrong with it."""
    z = z.reshape(batch + z.shape[1:])
    try:
        likelihood = make_likelihood(z)
    except Exception as error:
        failure = ValueError(
            f"likelihood(z) fails for z of shape {tuple(z.shape)}, batch shape {batch}: "
            f"{type(error).__name__}: {error}; expected a "
            f"callable that makes one distribution of x for every z, whatever the batch shape of z; check the "
            f"shapes in it, and wrap dimensions of x in torch.distributions.Independent."
        )
        failure.__cause__ = error
        return None, failure
    if not isinstance(likelihood, Distribution):
        return None, TypeError(
            f"likelihood(z) is {describe(likelihood)}: expected a torch Distribution; for a network that "
            f"gives logits return Independent(Bernoulli(logits=network(z)), 1)."
        )
    if likelihood.batch_shape == batch:
        return likelihood, None
    extra = len(likelihood.batch_shape) - len(batch)
    mend = (
        f"wrap it in torch.distributions.Independent(likelihood, {extra})"
        if extra > 0
        else "make every x depend on its own z, or expand the distribution to z's batch shape"
    )
    return None, ValueError(
        f"likelihood(z) is {describe(likelihood)} for z of batch shape {batch}: expected the batch shape of z; {mend}."
    )


def _check_prior(prior: Any) -> None:
    if not isinstance(prior, Distribution):
        raise TypeError(f"prior made {describe(prior)}: expected a torch Distribution; return one from forward().")
    if prior.batch_shape:
        raise ValueError(
            f"prior is {describe(prior)}: expected batch shape (), one density over the whole of z; "
            f"wrap it in torch.distributions.Independent(prior, {len(prior.batch_shape)})."
        )
    try:
        prior.expand(torch.Size((2,)))
    except NotImplementedError as error:
        raise TypeError(
            f"prior is {describe(prior)} and has no method expand: expected one, as every x has its own draws; "
            f"give {type(prior).__name__} an expand(batch_shape) that returns it with a larger batch shape."
        ) from error


def check_variable(
    name: str, value: object, event: torch.Size, dtype: torch.dtype, device: torch.device, *, gaps: bool = False
) -> None:
    """``value`` is a tensor of the event shape, the dtype and the device of a model, without NaN unless with gaps."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is {describe(value)}: expected a torch.Tensor; {observation_advice(name, value)}.")
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
    check_layout(name, value)
    if value.ndim < len(event) or value.shape[value.ndim - len(event) :] != event:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}: expected (*batch, {', '.join(map(str, event))}) with "
            f"event shape {tuple(event)}; put the batch dimensions first."
        )
    if not gaps:
        check_no_nan(name, value)
