r"""The variational autoencoder: a decoder for a likelihood, an encoder for q, both plain modules."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

from lvmlib._checks import check_sample_count, describe
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._types import Float
from lvmlib.density import bernoulli_log_density
from lvmlib.guide import AmortizedGuide
from lvmlib.model import LatentVariableModel

__all__ = ["VAE", "mlp"]


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them.

    Args:
        sizes: The number of inputs, then of the units of each layer: ``mlp(64, 100, 2)`` has one hidden layer.

    Returns:
        A module from shape ``(*batch, sizes[0])`` to ``(*batch, sizes[-1])``.

    Raises:
        ValueError: If fewer than two sizes are given, or one is below 1.

    Example:
        >>> mlp(64, 100, 2)(torch.zeros(5, 64)).shape
        torch.Size([5, 2])
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes is {sizes}: expected at least 2 numbers, of inputs and of outputs; add one.")
    for size in sizes:
        check_sample_count("sizes", size)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class VAE(LatentVariableModel):
    r"""Binary images made from a standard normal z by a decoder, and an encoder that guesses z from an image.

    .. math::
        z &\sim \mathrm{N}(0, I_D) \\
        x_m \mid z &\sim \mathrm{Bernoulli}\big(\operatorname{sigmoid} f_\theta(z)_m\big) \\
        q_\phi(z \mid x) &= \mathrm{N}\big(\mu_\phi(x), \operatorname{diag} \sigma_\phi(x)^2\big)

    It is a :class:`LatentVariableModel` whose q travels with it as ``vae.encoder``: every function of the course
    takes the two, as in ``elbo(vae, vae.encoder, x)``.

    Args:
        encoder: A module from x, shape ``(N, *x_event)``, to D means and D log-scales, shape ``(N, 2 D)``.
        decoder: A module from z, shape ``(N, D)``, to the logits of the pixels, shape ``(N, *x_event)``: ``(N, M)`` for
            a row of M pixels, ``(N, 1, H, W)`` for an image as layers for images make it. Each of both is given one
            batch dimension.
        latent_dim: The number D of latent dimensions.
        missing: What a NaN in x means, as in :class:`LatentVariableModel`; the encoder sees a zero there.

    Raises:
        TypeError: If ``encoder`` or ``decoder`` is no module.
        ValueError: If ``latent_dim`` is below 1.

    Example:
        >>> from lvmlib import data, elbo, fit
        >>> vae = VAE(encoder=mlp(64, 100, 2 * 5), decoder=mlp(5, 100, 64), latent_dim=5)
        >>> images = data.digits(binarize=True).images
        >>> history = fit(vae, vae.encoder, images, epochs=1, seed=0, progress=False)
        >>> new_images, z = vae.sample(3)
        >>> reconstructed = vae.likelihood(vae.encoder(images).mean).mean  # probabilities, not draws

    References:
        Kingma and Welling (2014), *Auto-encoding variational Bayes*; Rezende, Mohamed and Wierstra (2014).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        *,
        missing: Literal["refuse", "marginalize"] = "refuse",
    ) -> None:
        check_sample_count("latent_dim", latent_dim)
        likelihood = _BernoulliDecoder(decoder)
        like = next(likelihood.parameters(), torch.zeros(()))
        zeros = torch.zeros(latent_dim, dtype=like.dtype, device=like.device)
        super().__init__(DiagonalNormal.standard(zeros), likelihood, missing=missing)
        self.encoder = AmortizedGuide(encoder, event_dims=len(self.event_shape))

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        if self.marginalizes_gaps:
            return super()._log_likelihood(x, z)
        # Without the Bernoulli itself, whose checks of its logits take as long as the sum.
        decoder = cast(_BernoulliDecoder, self._likelihood)
        own = not torch.is_grad_enabled() and decoder.is_plain()
        logits = decoder.new_logits(z) if own else decoder.logits(z)
        return bernoulli_log_density(logits, x, len(self.event_shape), overwrite=own)


class _BernoulliDecoder(nn.Module):
    """The likelihood of a decoder that gives logits: probabilities would saturate where the logits still learn."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"decoder is {describe(network)}: expected a torch.nn.Module, so that its parameters are learnt; "
                f"for instance mlp(latent_dim, 200, 784)."
            )
        self.network = network

    def forward(self, z: Float[Tensor, "*batch D"]) -> Distribution:
        logits = self.logits(z)
        return Independent(Bernoulli(logits=logits), logits.ndim - z.ndim + 1)

    def logits(self, z: Float[Tensor, "*batch D"]) -> Tensor:
        # One batch dimension, as many layers want it and all are fastest with.
        logits = self.network(z.reshape(-1, z.shape[-1]))
        return logits.reshape(z.shape[:-1] + logits.shape[1:])

    def is_plain(self) -> bool:
        """Whether the network is linear layers with ReLU between them, and no hook looks at what they compute."""
        layers = list(self.network) if type(self.network) is nn.Sequential else []
        return (
            [type(layer) for layer in layers] == ([nn.Linear, nn.ReLU] * len(layers))[: len(layers)]
            and len(layers) % 2 == 1
            and not any(part._forward_hooks or part._forward_pre_hooks for part in (self.network, *layers))
        )

    def new_logits(self, z: Float[Tensor, "*batch D"]) -> Tensor:
        """As :meth:`logits` for a plain network without gradients: ReLU in place, and a result that nobody else has."""
        values = z.reshape(-1, z.shape[-1])
        for layer in cast(nn.Sequential, self.network):
            values = values.relu_() if type(layer) is nn.ReLU else layer(values)
        return values.reshape(*z.shape[:-1], -1)
