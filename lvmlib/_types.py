"""Shapes in annotations: jaxtyping where it is installed, plain tensors where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:

        class _Unshaped:
            """Stands for ``Float[Tensor, "shape"]`` and means ``Tensor``."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Int = _Unshaped

__all__ = ["Bool", "Float", "Int"]
