"""What exact models share: the interface, and the sums over a discrete latent variable."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution
from torch.nn.functional import pad

from lvmlib._blocks import map_rows
from lvmlib._broadcast import broadcast_shapes
from lvmlib._checks import check_dense, describe
from lvmlib._distribution_parts import tensors_in
from lvmlib._divergence_formulas import closed_form_kl
from lvmlib._types import Float
from lvmlib.model import LatentVariableModel

__all__ = ["DiscreteLatentModel", "ExactModel", "check_finite", "log_probabilities", "pick_column"]


class ExactModel(LatentVariableModel):
    r"""A latent variable model with a known evidence :math:`p(x)` and posterior :math:`p(z \mid x)`."""

    def __init__(self) -> None:
        # Subclasses make their prior and likelihood from tensors they hold, so that both follow `.to(...)`.
        nn.Module.__init__(self)
        self._known_layout = None

    @abstractmethod
    def log_evidence(self, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`\log p(x) = \log \int p(x \mid z)\, p(z)\, dz`, in nats, shape ``(*batch)``."""

    @abstractmethod
    def posterior(self, x: Tensor) -> Distribution:
        r"""The posterior :math:`p(z \mid x) = p(x, z) / p(x)`, with the batch shape of x."""

    @abstractmethod
    def expected_log_joint(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The expectation :math:`\E_{q(z)}[\log p(x, z)]`, in nats, without sampling.

        Raises:
            TypeError: If q is of a family for which this model has no closed form.
        """

    def kl_to_posterior(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The gap :math:`\KL(q(z) \Vert p(z \mid x))` of the ELBO at q, in nats.

        Raises:
            TypeError: If the divergence from this family of q has no closed form.
        """
        posterior = self.posterior(x)
        self._check_one_for_each(q, x)
        value = closed_form_kl(q, posterior)
        if value is None:
            raise self._no_closed_form(q, "the family of the posterior")
        return value

    def _no_closed_form(self, q: Distribution, family: str) -> TypeError:
        return TypeError(
            f"q is {describe(q)}: expected {family} for an exact expectation under {type(self).__name__}; "
            f"estimate it with elbo(model, q, x, num_samples)."
        )

    def _check_one_for_each(self, q: Distribution, x: Tensor) -> None:
        """q is a distribution over this z, one for all x or one for each.

        Raises:
            TypeError: If it is no Distribution, or of another dtype than a continuous z.
            ValueError: If its event or batch shape is another.
        """
        layout, batch = self._layout(), self.batch_shape(x)
        if not isinstance(q, Distribution):
            raise TypeError(f"q is {describe(q)}: expected a torch Distribution over z; call the guide with x first.")
        if q.event_shape != layout.z_event or q.batch_shape not in (torch.Size(), batch):
            raise ValueError(
                f"q is {describe(q)} and x has batch shape {tuple(batch)}: expected event shape "
                f"{tuple(layout.z_event)}, that of z, and batch shape () or that of x; expand x or q, or wrap q in "
                f"torch.distributions.Independent."
            )
        dtypes = {part.dtype for part in tensors_in(q) if part.is_floating_point()}
        if layout.z_dtype.is_floating_point and dtypes - {layout.z_dtype}:
            raise TypeError(
                f"q has dtype {dtypes.pop()}: expected {layout.z_dtype}, that of the model's z; convert one of the two."
            )

    def _check_form(self, x: Tensor) -> None:
        """All that can be checked of x without reading its numbers."""
        event = self.event_shape
        if isinstance(x, Tensor):
            check_dense("x", x)
        has_rows = isinstance(x, Tensor) and x.ndim > len(event) and x.shape[x.ndim - len(event) :] == event
        self.check_observation(x[:0] if has_rows else x)


class DiscreteLatentModel(ExactModel):
    """What finite models and mixtures share: z takes one of C values, and every sum over it is exact."""

    @abstractmethod
    def _log_joint_of_rows(self) -> Callable[[Tensor], Tensor]:
        r"""A function from rows of x that were checked, shape ``(N, *x_event)``, to all :math:`\log p(x, z)`, shape
        ``(N, C)``; what does not depend on x is computed before."""

    @property
    @abstractmethod
    def _numbers_per_row(self) -> int:
        """The numbers that this function holds at once for one row of x."""

    def log_joint_table(self, x: Tensor) -> Float[Tensor, "*batch C"]:
        r"""All :math:`\log p(x, z)`, one value of z a column, in nats, shape ``(*batch, C)``."""
        self.check_observation(x)
        rows = x.reshape(-1, *self._layout().x_event)
        table = map_rows(self._log_joint_of_rows(), rows, numbers_per_row=self._numbers_per_row)
        return table.reshape(*self.batch_shape(x), table.shape[-1])

    def log_evidence(self, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`\log p(x) = \log \sum_z p(x \mid z)\, p(z)`, in nats.

        Args:
            x: Observations, shape ``(*batch, *x_event)``.

        Returns:
            Shape ``(*batch)``; ``-inf`` for an x that no z can give.
        """
        self.check_observation(x)
        rows = x.reshape(-1, *self._layout().x_event)
        log_joint = self._log_joint_of_rows()
        log_evidence = map_rows(lambda block: _log_sum(log_joint(block)), rows, numbers_per_row=self._numbers_per_row)
        return log_evidence.reshape(self.batch_shape(x))

    def posterior(self, x: Tensor) -> Categorical:
        r"""The posterior table :math:`p(z \mid x)`, a Categorical with the batch shape of x.

        Raises:
            ValueError: If an x has evidence zero, so that Bayes' rule divides by zero.
        """
        log_joint = self.log_joint_table(x)
        impossible = log_joint.amax(-1) == -torch.inf
        if impossible.any():
            first = tuple(impossible.nonzero()[0].tolist())
            raise ValueError(
                f"x is {_shown(x[first])} at index {first}, where p(x) = 0: expected an observation with positive "
                f"evidence; a posterior given an impossible x is not defined."
            )
        # An empty table has nothing to validate, and torch cannot.
        return Categorical(logits=log_joint, validate_args=None if log_joint.numel() else False)

    def expected_log_joint(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The sum :math:`\sum_z q(z) \log p(x, z)`, in nats, with :math:`0 \log 0 = 0`.

        Args:
            q: A Categorical over the values of z, batch shape ``()`` or that of x.
            x: Observations, shape ``(*batch, *x_event)``.

        Raises:
            TypeError: If q is not a Categorical.
        """
        if not isinstance(q, Categorical):
            raise self._no_closed_form(q, "a Categorical")
        self._check_one_for_each(q, x)
        log_joint, probs = self.log_joint_table(x), q.probs
        # A value that only one of the two has is impossible under the other.
        log_joint = pad(log_joint, (0, max(0, probs.shape[-1] - log_joint.shape[-1])), value=-torch.inf)
        probs = pad(probs, (0, log_joint.shape[-1] - probs.shape[-1]))
        return (probs * torch.where(probs > 0, log_joint, 0.0)).sum(-1)


def log_probabilities(probabilities: Tensor) -> Tensor:
    """The logarithm of a table; ``-inf`` with gradient zero where a probability is zero."""
    possible = probabilities > 0
    return torch.where(possible, torch.where(possible, probabilities, 1.0).log(), -torch.inf)


def pick_column(table: Tensor, z: Tensor) -> Tensor:
    """The entry of each row that z names; each x is scored once, however many samples of z there are."""
    batch = broadcast_shapes(z.shape, table.shape[:-1])
    return table.expand(*batch, -1).gather(-1, z.expand(batch)[..., None])[..., 0]


def check_finite(name: str, value: Tensor) -> Tensor:
    """``value`` itself, if no entry is infinite.

    Raises:
        ValueError: If one is; names it and its index.
    """
    infinite = value.isinf()
    if infinite.any():
        first = tuple(infinite.nonzero()[0].tolist())
        raise ValueError(
            f"{name} is {value[first].item()} at index {first}: expected finite numbers; drop or repair that entry."
        )
    return value


def _log_sum(log_joint: Tensor) -> Tensor:
    """The logarithm of a sum of exponentials over the last dimension; gradient zero where every term is zero."""
    possible = log_joint.amax(-1) > -torch.inf
    total = torch.where(possible[..., None], log_joint, 0.0).logsumexp(-1)
    return torch.where(possible, total, -torch.inf)


def _shown(value: Tensor) -> str:
    return str(value.tolist()) if value.numel() <= 10 else f"a row of shape {tuple(value.shape)}"
