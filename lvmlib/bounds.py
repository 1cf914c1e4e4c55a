r"""Bounds on the log-evidence, in nats: numbers to be read beside :math:`\log p(x)`, never losses."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import check_sample_count, kind
from lvmlib._closed_forms import closed_form_kl
from lvmlib._types import Float
from lvmlib.guide import Guide, proposal
from lvmlib.model import LatentVariableModel
from lvmlib.weights import draw, log_weights

__all__ = ["elbo"]

Form = Literal["joint", "prior_kl", "entropy"]


def elbo(
    model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int = 1, *, form: Form = "joint"
) -> Float[Tensor, "*batch"]:
    r"""The evidence lower bound, in one of its three equal forms, estimated with draws from q.

    .. math::
        \mathcal{L}(q) &= \E_{q(z)}[\log p(x, z) - \log q(z)] && \text{joint} \\
            &= \E_{q(z)}[\log p(x \mid z)] - \KL(q(z) \Vert p(z)) && \text{prior\_kl} \\
            &= \E_{q(z)}[\log p(x, z)] + \mathrm{H}[q(z)] && \text{entropy}

    The expectation is an average over K draws, the KL and the entropy are closed formulas. Only the joint form
    has variance zero at :math:`q(z) = p(z \mid x)`, as its weights are then all :math:`p(x)`.

    Differentiable in the parameters of the model, and of q where q has reparameterised draws.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of draws for each x.
        form: Which of the three is evaluated.

    Returns:
        One estimate for each x, in nats, shape ``(*batch)``; unbiased for the ELBO, so below
        :math:`\log p(x)` in expectation.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`.
        ValueError: Likewise; and if ``form`` is not one of the three, or its closed formula is not known for q.

    References:
        Jordan, Ghahramani, Jaakkola and Saul (1999); Kingma and Welling (2014); Hoffman and Johnson (2016).
    """
    if form not in get_args(Form):
        raise ValueError(f"form is {form!r}: expected one of {get_args(Form)}; 'joint' works for every q.")
    check_sample_count("num_samples", num_samples)
    if form == "joint":
        return log_weights(model, q, x, num_samples).mean(0)
    distribution = proposal(model, q, x)
    z = draw(distribution, num_samples)
    if form == "prior_kl":
        divergence = closed_form_kl(distribution, model.prior)
        if divergence is None:
            raise _no_closed_form(form, distribution, "a closed KL to the prior")
        return model.log_likelihood(x, z).mean(0) - divergence
    try:
        entropy = distribution.entropy()
    except NotImplementedError:
        raise _no_closed_form(form, distribution, "a closed entropy") from None
    return model.log_joint(x, z).mean(0) + entropy


def _no_closed_form(form: str, q: Distribution, needed: str) -> ValueError:
    return ValueError(f"form is {form!r} and q is {kind(q)}: expected a q with {needed}; use form='joint'.")
