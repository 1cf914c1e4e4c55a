"""Arguments are checked once, here, with errors that name the argument, the value and the mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, transform_to

__all__ = [
    "as_float_tensor",
    "check_float_tensor",
    "check_no_nan",
    "check_positive",
    "check_probabilities",
    "check_same_kind",
    "check_sample_count",
    "check_shape",
    "cholesky",
    "describe",
    "into_support",
    "is_real",
    "support_of",
    "trusted_values",
    "values_are_trusted",
]

_PROBABILITY_TOLERANCE = 1e-5
_values_are_trusted = False


@contextmanager
def trusted_values() -> Iterator[None]:
    """Skip the checks of arguments, torch's own among them.

    For the inside of a loop whose data and whose q were checked before it. A check that reads the numbers in a tensor
    would wait for a GPU each time; and all together they would take as long as the arithmetic of a small model.
    """
    global _values_are_trusted
    before, torch_before = _values_are_trusted, Distribution._validate_args
    _values_are_trusted = True
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        _values_are_trusted = before
        Distribution.set_default_validate_args(torch_before)


def values_are_trusted() -> bool:
    """Whether the call is made inside :func:`trusted_values`."""
    return _values_are_trusted


def describe(value: object) -> str:
    """The shortest description of ``value`` that lets a reader find it."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)} on {value.device}"
    if isinstance(value, Distribution):
        return (
            f"{type(value).__name__} with batch shape {tuple(value.batch_shape)} "
            f"and event shape {tuple(value.event_shape)}"
        )
    return f"{value!r} of type {type(value).__name__}"


def check_sample_count(name: str, value: object, *, least: int = 1) -> int:
    """``value`` as an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {describe(value)}: expected an int; write int({name}) if a rounding is meant.")
    if value < least:
        raise ValueError(f"{name} is {value}: expected an integer of at least {least}; raise it.")
    return value


def check_float_tensor(name: str, value: object) -> Tensor:
    """``value`` as a floating-point tensor without NaN; nothing is converted."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} is {describe(value)}: expected a torch.Tensor; convert it with torch.as_tensor({name})."
        )
    if not value.is_floating_point():
        raise TypeError(f"{name} has dtype {value.dtype}: expected float32 or float64; convert it with {name}.float().")
    check_no_nan(name, value)
    return value


def as_float_tensor(name: str, value: object, like: Tensor | None = None) -> Tensor:
    """A float as a scalar tensor, of the dtype and device of ``like`` if given; a floating-point tensor as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = torch.tensor(float(value)) if like is None else like.new_tensor(float(value))
    return check_float_tensor(name, value)


def check_no_nan(name: str, value: Tensor) -> None:
    """No entry of ``value`` is NaN."""
    # A sum is NaN if a term is (or if inf meets -inf), and costs a fraction of looking at every entry.
    if _values_are_trusted or not value.is_floating_point() or not value.detach().sum().isnan():
        return
    missing = value.isnan()
    if missing.any():
        first = tuple(missing.nonzero()[0].tolist())
        raise ValueError(
            f"{name} has {int(missing.sum())} NaN of {value.numel()} values, the first at index {first}: "
            f"expected numbers; drop or impute the missing entries."
        )


def check_shape(name: str, value: Tensor, expected: tuple[int | str, ...]) -> None:
    """``value`` has as many dimensions as ``expected``, and its sizes wherever ``expected`` gives an int."""
    shape = tuple(value.shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or want == size for size, want in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{name} has shape {shape}: expected {wanted}; reshape or transpose {name}.")


def check_same_kind(**tensors: Tensor) -> None:
    """All tensors have the dtype and the device of the first."""
    (first_name, first), *others = tensors.items()
    for name, value in others:
        if value.dtype != first.dtype:
            raise TypeError(
                f"{name} has dtype {value.dtype} and {first_name} has {first.dtype}: expected one dtype; "
                f"convert with {name}.to({first.dtype})."
            )
        if value.device != first.device:
            raise ValueError(
                f"{name} is on {value.device} and {first_name} is on {first.device}: expected one device; "
                f"move it with {name}.to({str(first.device)!r})."
            )


def check_positive(name: str, value: Tensor) -> None:
    """Every entry of ``value`` is finite and above zero."""
    wrong = ~((value > 0) & value.isfinite())
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"{name} is {value[first].item():.6g} at index {first}: expected finite values above 0; "
            f"a variance or a shape parameter of zero has no density."
        )


def check_probabilities(name: str, value: Tensor) -> None:
    """Every row of ``value`` (last dimension) is non-negative and sums to one."""
    negative = value < 0
    if negative.any():
        first = tuple(negative.nonzero()[0].tolist())
        raise ValueError(
            f"{name} is {value[first].item():.6g} at index {first}: expected probabilities of at least 0; "
            f"if these are logits, pass {name}.softmax(-1)."
        )
    wrong = ~torch.isclose(value.sum(-1), torch.ones_like(value.sum(-1)), rtol=0.0, atol=_PROBABILITY_TOLERANCE)
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        row = f"row {', '.join(map(str, first))} of {name}" if first else name
        raise ValueError(
            f"{row} sums to {value.sum(-1)[first].item():.6g}: expected 1 along the last dimension; "
            f"divide by {name}.sum(-1, keepdim=True)."
        )


def cholesky(name: str, matrices: Tensor) -> Tensor:
    """The lower Cholesky factors of symmetric positive definite matrices, shape ``(*batch, D, D)``."""
    asymmetry = (matrices - matrices.mT).abs().amax()
    if asymmetry > 1e-5 * matrices.abs().amax():
        raise ValueError(
            f"{name} differs from its transpose by {asymmetry.item():.3g}: expected symmetric matrices; "
            f"pass ({name} + {name}.mT) / 2."
        )
    factor, info = torch.linalg.cholesky_ex(matrices)
    if info.any():
        first = tuple(info.nonzero()[0].tolist())
        where = f"matrix {first} of {name}" if first else name
        smallest = torch.linalg.eigvalsh(matrices[first]).amin().item()
        raise ValueError(
            f"{where} has the eigenvalue {smallest:.3g}: expected positive definite matrices; "
            f"add a small multiple of the identity, or remove dependent dimensions."
        )
    return factor


def support_of(distribution: Distribution) -> constraints.Constraint:
    """The support of a distribution; all reals where it names none, as a normalising flow does not."""
    try:
        support = distribution.support
    except NotImplementedError:
        support = None
    return constraints.independent(constraints.real, len(distribution.event_shape)) if support is None else support


def is_real(support: constraints.Constraint) -> bool:
    """Whether a support is all reals, in which case every number is inside."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real or support is constraints.real_vector


def into_support(distribution: Distribution, value: Tensor) -> tuple[Tensor, Tensor]:
    """``value`` with each point outside the support replaced by one inside, and which points were inside.

    A density is zero outside its support, but its formula there may be NaN. Evaluating the formula at a
    harmless point and masking the result keeps both the value and its gradient finite.

    Returns:
        The safe values, of the shape of ``value``, and a boolean mask without the event dimensions.
    """
    support = support_of(distribution)
    inside = support.check(value)
    if not _values_are_trusted and inside.all():
        return value, inside
    harmless = torch.zeros_like(value) if support.is_discrete else transform_to(support)(torch.zeros_like(value))
    mask = inside.reshape(inside.shape + (1,) * support.event_dim)
    return torch.where(mask, value, harmless), inside
