r"""Bounds on the log-evidence, in nats: numbers to be read beside :math:`\log p(x)`, never losses."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import check_sample_count, describe
from lvmlib._divergence_formulas import closed_form_entropy, closed_form_kl
from lvmlib._log_space import log_mean_exp
from lvmlib._types import Float
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind

__all__ = ["elbo", "iwae_bound"]

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

    Proved in the book: thm-elbo, prop-elbo-forms, prop-elbo-variance, prop-elbo-support.

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
    problem = bind(model, q, x)
    with problem.mode():
        return _elbo(problem, num_samples, form)


def _elbo(problem: Problem, num_samples: int, form: Form) -> Float[Tensor, "*batch"]:
    if form == "joint":
        return problem.log_weights(num_samples).mean(0)
    z, _ = problem.draw_weighed(num_samples)
    if form == "prior_kl":
        divergence = closed_form_kl(problem.q, problem.model.prior)
        if divergence is None:
            raise _no_closed_form(form, problem.q, "a closed KL to the prior")
        return problem.model._log_likelihood(problem.x, z).mean(0) - divergence
    entropy = closed_form_entropy(problem.q)
    if entropy is None:
        raise _no_closed_form(form, problem.q, "a closed entropy")
    return problem.model._log_joint(problem.x, z).mean(0) + entropy


def iwae_bound(
    model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int, *, num_groups: int = 1
) -> Float[Tensor, "*batch"]:
    r"""The importance-weighted bound: the log of an average of K weights, estimated with draws from q.

    .. math::
        \mathcal{L}_K(q) = \E_{z_1, \dots, z_K \sim q}\!\left[\log \frac1K \sum_{k=1}^K
            \frac{p(x, z_k)}{q(z_k)}\right], \qquad \mathcal{L}_1 \le \mathcal{L}_K \le \mathcal{L}_{K+1}
            \le \log p(x)

    With K = 1 it is the ELBO. Differentiable as :func:`elbo` is; weights of zero leave the gradient finite.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of weights inside the logarithm.
        num_groups: How many independent groups of K draws the estimate averages over, each outside its logarithm.

    Returns:
        One estimate for each x, in nats, shape ``(*batch)``; unbiased for :math:`\mathcal{L}_K`, so below
        :math:`\log p(x)` in expectation. ``-inf`` where all weights of a group are zero.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``num_groups`` is below 1.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> iwae_bound(model, Normal(0.0, 1.0), torch.zeros(5), num_samples=10, num_groups=3).shape
        torch.Size([5])

    References:
        Burda, Grosse and Salakhutdinov (2016), *Importance weighted autoencoders*.
    """
    check_sample_count("num_samples", num_samples)
    check_sample_count("num_groups", num_groups)
    log_w = bind(model, q, x).log_weights(num_samples * num_groups)
    return log_mean_exp(log_w.reshape(num_samples, num_groups, *log_w.shape[1:])).mean(0)


def _no_closed_form(form: str, q: Distribution, needed: str) -> ValueError:
    return ValueError(f"form is {form!r} and q is {describe(q)}: expected a q with {needed}; use form='joint'.")
