"""Cholesky factors, with one clear error when there is none."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cholesky"]

_ASYMMETRY = 1e-5


def cholesky(name: str, matrices: Tensor) -> Tensor:
    """The lower Cholesky factors of symmetric positive definite matrices, shape ``(*batch, D, D)``.

    What counts as symmetric is relative to the diagonal, so that rows and columns may differ by any scale.

    Raises:
        TypeError: If the dtype is not float32 or float64.
        ValueError: If a matrix is not finite, not symmetric or not positive definite; names the first such index.
    """
    if matrices.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} has dtype {matrices.dtype}: expected float32 or float64, in which a matrix can be factored; "
            f"convert it with {name}.float()."
        )
    values = matrices.detach()
    infinite = ~values.isfinite()
    if infinite.any():
        first = tuple(infinite.nonzero()[0].tolist())
        raise ValueError(f"{name} is {values[first].item()} at index {first}: expected finite numbers.")
    scale = values.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    asymmetry = (values - values.mT).abs()
    if (asymmetry > _ASYMMETRY * scale[..., None] * scale[..., None, :]).any():
        raise ValueError(
            f"{name} differs from its transpose by {asymmetry.amax().item():.3g}: expected symmetric matrices; "
            f"pass ({name} + {name}.mT) / 2."
        )
    factor, info = torch.linalg.cholesky_ex(matrices)
    if info.any():
        first = tuple(info.nonzero()[0].tolist())
        where = f"matrix {first} of {name}" if first else name
        precision = ", or use float64" if matrices.dtype == torch.float32 else ""
        smallest = torch.linalg.eigvalsh(values[first].double()).amin().item()
        raise ValueError(
            f"{where} has the eigenvalue {smallest:.3g} in {matrices.dtype} beside a largest variance of "
            f"{scale[first].square().amax().item():.3g}: expected positive definite matrices; add a small multiple of "
            f"the identity, or remove dependent dimensions{precision}."
        )
    return factor
