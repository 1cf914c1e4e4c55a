r"""Two tables: z and x each take finitely many values."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.distributions import Categorical

from lvmlib._checks import check_float_tensor, check_probabilities, check_same_kind, check_shape
from lvmlib._types import Float, Int
from lvmlib.exact.base import DiscreteLatentModel, log_probabilities

__all__ = ["FiniteModel"]


class FiniteModel(DiscreteLatentModel):
    r"""z and x each take finitely many values; the model is two tables.

    .. math:: p(x) = \sum_z p(z)\, p(x \mid z)

    Proved in the book: thm-bayes.

    Args:
        prior: Probabilities :math:`p(z)`, shape ``(Z,)``.
        likelihood: Probabilities :math:`p(x \mid z)`, shape ``(Z, X)``, one z a row; rows sum to one.

    Observations and latents are integer indices (int64). A probability of zero is legal.

    Raises:
        TypeError: If a table is no floating-point tensor, or the two differ in dtype.
        ValueError: If a shape is wrong, an entry negative, or a row does not sum to one (to 1e-5).

    Example:
        >>> import torch
        >>> model = FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
        >>> model.log_evidence(torch.tensor([0, 1])).exp()
        tensor([0.5500, 0.4500])
    """

    prior_table: Tensor
    likelihood_table: Tensor

    def __init__(self, prior: Float[Tensor, Z], likelihood: Float[Tensor, "Z X"]) -> None:
        super().__init__()
        check_shape("prior", check_float_tensor("prior", prior), ("Z",))
        check_shape("likelihood", check_float_tensor("likelihood", likelihood), (len(prior), "X"))
        check_same_kind(prior=prior, likelihood=likelihood)
        check_probabilities("prior", prior)
        check_probabilities("likelihood", likelihood)
        self._register("prior_table", prior)
        self._register("likelihood_table", likelihood)

    @property
    def prior(self) -> Categorical:
        """The prior, a Categorical over ``0, ..., Z - 1``."""
        return Categorical(logits=log_probabilities(self.prior_table))

    def likelihood(self, z: Int[Tensor, "*batch"]) -> Categorical:
        """The rows of the table that z selects, a Categorical over ``0, ..., X - 1``."""
        return Categorical(logits=log_probabilities(self.likelihood_table)[z])

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return log_probabilities(self.likelihood_table)[z, x]

    @property
    def _numbers_per_row(self) -> int:
        return len(self.prior_table)

    def _log_joint_of_rows(self) -> Callable[[Tensor], Tensor]:
        log_joint = log_probabilities(self.prior_table)[:, None] + log_probabilities(self.likelihood_table)
        return log_joint.T.__getitem__
