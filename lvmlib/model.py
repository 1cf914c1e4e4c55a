"""A latent variable model: a prior on z and a likelihood of x given z."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from lvmlib._broadcast import broadcast_shapes
from lvmlib._checks import call_named, check_sample_count, describe
from lvmlib._distribution_parts import map_tensors, tensors_in, with_batch_shape
from lvmlib._draws import draw
from lvmlib._hierarchy import Hierarchy, Levels, is_levels
from lvmlib._layout import Layout, check_variable, find_layout
from lvmlib._learnable import learnable_parts, leaves_behind
from lvmlib._modes import evaluating, unless_learning
from lvmlib._random import in_turn, stream
from lvmlib._supports import into_first_turn, is_angle
from lvmlib._types import Float
from lvmlib.density import into_support, is_real, log_density, sum_last, support_of, without_independent

__all__ = ["LatentVariableModel", "evaluating", "unless_learning"]


class LatentVariableModel(nn.Module):
    r"""A joint density of an observation x and a latent variable z.

    .. math:: p(x, z) = p(x \mid z)\, p(z)

    Proved in the book: thm-joint, thm-ancestral.

    Args:
        prior: :math:`p(z)`, a Distribution with batch shape ``()``; or, when it is computed from parameters to learn, a
            callable without arguments that makes one. For several levels of latent variables, a tuple or a dict: the
            first level a Distribution, each other one a callable from the levels before it to a Distribution. Then z
            holds all levels in one vector, and the likelihood is given them apart, as :meth:`levels` gives them.
        likelihood: :math:`p(x \mid z)`, any callable from z, shape ``(*batch, *z_event)``, to a Distribution
            over x with batch shape ``(*batch)``. If it only takes one batch dimension, as layers for images do, it
            gets one.
        missing: What a NaN in x means. ``"refuse"``: an error. ``"marginalize"``: a value that was not observed; it
            is integrated out, for which the likelihood must be an ``Independent`` over the coordinates of x. A q sees a
            zero there; ``AmortizedGuide(..., mark_gaps=True)`` also tells its encoder which values are gaps.

    What is to be learnt becomes part of the model: the parameters of modules, the modules and Parameters that a plain
    function closes over or names among its globals, and a Parameter that a prior was made of. ``model.to(device)`` and
    ``model.double()`` move them, and also the tensors inside a prior given as a Distribution.

    Raises:
        TypeError: If ``prior`` makes no Distribution, or ``likelihood`` cannot be called or makes none.
        ValueError: If a batch shape is not as stated; the message says how to change it.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(2.0 * z, 0.5))
        >>> x, z = model.sample(3, seed=0)
        >>> model.log_joint(x, z).shape
        torch.Size([3])

    References:
        Koller and Friedman (2009), *Probabilistic Graphical Models*, chapter 3; Bishop (2006), chapter 9.
    """

    _marginalizes = False

    def __init__(
        self,
        prior: Distribution | Callable[[], Distribution] | Levels,
        likelihood: Callable[[Tensor], Distribution],
        *,
        missing: Literal["refuse", "marginalize"] = "refuse",
    ) -> None:
        super().__init__()
        levels = prior if is_levels(prior) else None
        if levels is not None:
            prior = Hierarchy(levels)  # type: ignore[arg-type]
        if not isinstance(prior, Distribution) and not callable(prior):
            raise TypeError(
                f"prior is {describe(prior)}: expected a torch Distribution, or a callable that makes one; "
                f"for a standard normal in D dimensions pass Independent(Normal(torch.zeros(D), 1.0), 1)."
            )
        if not callable(likelihood):
            raise TypeError(
                f"likelihood is {describe(likelihood)}: expected a callable from z to a torch Distribution over x; "
                f"wrap it, for example lambda z: Normal(z, 1.0)."
            )
        if missing not in get_args(Literal["refuse", "marginalize"]):
            raise ValueError(f"missing is {missing!r}: expected 'refuse' or 'marginalize'; choose one of the two.")
        self._prior = prior
        self._likelihood = likelihood
        self._marginalizes = missing == "marginalize"
        self._known_layout: Layout | None = None
        self._register_learnable("prior", levels if levels is not None else prior)
        self._register_learnable("likelihood", likelihood)
        self._layout()

    @property
    def prior(self) -> Distribution:
        """The prior :math:`p(z)`, with batch shape ``()``."""
        return self._prior if isinstance(self._prior, Distribution) else call_named("prior", self._prior)

    def likelihood(self, z: Tensor) -> Distribution:
        r"""The distribution :math:`p(x \mid z)` of x for each z, with the batch shape of z."""
        if not self._layout().one_batch_dimension:
            return self._likelihood(self.levels(z))
        batch = z.shape[: z.ndim - len(self._layout().z_event)]
        rows = z.reshape(-1, *self._layout().z_event)
        return with_batch_shape(self._likelihood(self.levels(rows)), batch)

    def levels(self, z: Tensor) -> Any:
        """The levels of z apart, as a tuple or a dict like the prior; z itself where there is one level."""
        prior = getattr(self, "_prior", None)  # exact models hold none
        return prior.split(z) if isinstance(prior, Hierarchy) else z

    def log_prior(self, z: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-density of the prior, :math:`\log p(z)`, in nats; ``-inf`` outside its support.

        Args:
            z: Shape ``(*batch, *z_event)``.

        Returns:
            Shape ``(*batch)``.
        """
        self._check_latent(z)
        with unless_learning(self):
            return log_density(self.prior, z, name="prior")

    def log_likelihood(self, x: Tensor, z: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-likelihood :math:`\log p(x \mid z)`, in nats.

        The batch shapes of x and z broadcast: ``(N,)`` against ``(N,)`` scores pairs, ``(N,)`` against
        ``(K, 1)`` scores every x under every z.

        Args:
            x: Shape ``(*batch, *x_event)``.
            z: Shape ``(*batch, *z_event)``.

        Returns:
            The broadcast batch shape.
        """
        self._check_pair(x, z)
        with unless_learning(self):
            return self._log_likelihood(x, z)

    def log_joint(self, x: Tensor, z: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-density of the joint, :math:`\log p(x, z) = \log p(x \mid z) + \log p(z)`, in nats.

        Shapes are those of :meth:`log_likelihood`. A z outside the prior's support has joint density zero,
        whatever the likelihood would say of it: the result is ``-inf`` and its gradient is finite.
        """
        self._check_pair(x, z)
        with unless_learning(self):
            return self._log_joint(x, z)

    def sample(self, n: int, *, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Ancestral sampling: z from the prior, then x from the likelihood given that z.

        Args:
            n: Number of pairs.
            seed: Any integer names a stream of its own and leaves the global random state alone; ``None`` draws from
                the global generator.

        Returns:
            ``(x, z)`` of shapes ``(n, *x_event)`` and ``(n, *z_event)``. Keep x alone for draws from p(x).
        """
        check_sample_count("n", n)
        with torch.no_grad(), evaluating(self), stream("sample", seed, self._layout().device):
            z = draw(self.prior, n)
            return draw(self.likelihood(z), 1)[0], z

    def check_learnable(self) -> None:
        """Refuse a model with something to learn that is not among its parameters, so that training would miss it.

        Raises:
            TypeError: If the joint density depends on a tensor that requires a gradient and is no parameter of the
                model.
        """
        layout = self._layout()
        known = {id(parameter) for parameter in self.parameters()}
        with torch.enable_grad(), evaluating(self), in_turn(0, layout.device):
            prior = self.prior
            z = draw(prior, 2).detach()
            likelihood = self.likelihood(z)
            x = likelihood.sample()
            for name, value in (
                ("prior", log_density(prior, z, name="prior")),
                ("likelihood", log_density(likelihood, x, name="likelihood(z)")),
            ):
                for leaf in leaves_behind(value):
                    if id(leaf) not in known:
                        raise TypeError(
                            f"{name} depends on {describe(leaf)} that requires a gradient and is no parameter of the "
                            f"model: expected everything that is to be learnt in the model; make {name} a "
                            f"torch.nn.Module that holds it as an nn.Parameter."
                        )
        held = self.__dict__.get("_prior")
        if any(tensor.grad_fn is not None and not _is_view(tensor) for tensor in tensors_in(held)):
            raise TypeError(
                f"prior is {describe(held)} and was computed from parameters once: expected one that follows "
                f"them as they are learnt; pass a callable that makes it, as lambda: Normal(loc, log_scale.exp())."
            )

    def _log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """The formula of :meth:`log_joint` for arguments already checked."""
        return self._joint_with(partial(self._log_likelihood, x), z)

    def _joint_with(self, log_likelihood: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        prior = self.prior
        if is_real(support_of(prior)):
            return log_density(prior, z, name="prior") + log_likelihood(z)
        z, inside = into_support(prior, z)
        log_prior = log_density(prior, z, name="prior")
        inside = inside & (log_prior > -torch.inf)
        return torch.where(inside, log_prior + log_likelihood(z), -torch.inf)

    def _log_likelihood_of(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """:meth:`_log_likelihood` as a function of z, without gradients: what does not depend on z is computed once."""
        return partial(self._log_likelihood, x)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """The formula of :meth:`log_likelihood` for arguments already checked; exact models have shorter ones."""
        likelihood = self.likelihood(z)
        x = into_first_turn(x) if is_angle(self._layout().x_support) else x
        if not self._marginalizes:
            return log_density(likelihood, x, name="likelihood(z)")
        base, num_dims = without_independent(likelihood)
        missing = x.isnan()
        shape = broadcast_shapes(x.shape, likelihood.batch_shape + likelihood.event_shape)
        # What stands in for a gap is a value that is possible, and its density is not counted.
        possible, _ = into_support(base, torch.zeros_like(x))
        filled = torch.where(missing, possible, x).expand(shape)
        return sum_last(torch.where(missing, 0.0, log_density(base, filled, name="likelihood(z)")), num_dims)

    @property
    def event_shape(self) -> torch.Size:
        """The event shape of observations."""
        return self._layout().x_event

    @property
    def marginalizes_gaps(self) -> bool:
        """Whether a NaN in x is a value that was not observed."""
        return self._marginalizes

    def batch_shape(self, x: Tensor) -> torch.Size:
        """The batch shape of observations: the shape of x without its event dimensions."""
        return x.shape[: x.ndim - len(self._layout().x_event)]

    def check_observation(self, x: Tensor) -> Tensor:
        """x itself, if it is an observation of this model.

        Raises:
            TypeError: If x is no tensor, or of another dtype than the model's observations.
            ValueError: If x has NaN (unless gaps are marginalised), the wrong event shape, another device, or values
                outside the support of the likelihood.
        """
        layout = self._layout()
        check_variable("x", x, layout.x_event, layout.x_dtype, layout.device, gaps=self._marginalizes)
        support: Any = layout.x_support
        if is_real(support) or is_angle(support) or not _bounds_are_fixed(support) or not x.numel():
            return x
        if self._marginalizes:
            while isinstance(support, constraints.independent):
                support = support.base_constraint
        inside = support.check(x) | x.isnan() if self._marginalizes else support.check(x)
        if not inside.all():
            first = tuple((~inside).nonzero()[0].tolist())
            raise ValueError(
                f"x is {_shown(x[first])} at index {first}: expected values in the support "
                f"{layout.x_support} of the likelihood; rescale or binarize x, or change the likelihood."
            )
        return x

    def _check_latent(self, z: Tensor, name: str = "z") -> None:
        layout = self._layout()
        check_variable(name, z, layout.z_event, layout.z_dtype, layout.device)

    def _check_pair(self, x: Tensor, z: Tensor) -> None:
        self.check_observation(x)
        self._check_latent(z)
        x_batch = self.batch_shape(x)
        z_batch = z.shape[: z.ndim - len(self._layout().z_event)]
        try:
            broadcast_shapes(x_batch, z_batch)
        except ValueError:
            raise ValueError(
                f"x has batch shape {tuple(x_batch)} and z has {tuple(z_batch)}: expected shapes that "
                f"broadcast; pass z[:, None] to score every x under every z."
            ) from None

    def _layout(self) -> Layout:
        if self._known_layout is None:
            # Exact models make their likelihood from tensors that they hold.
            own = type(self).likelihood is not LatentVariableModel.likelihood
            make = self.likelihood if own else lambda z: self._likelihood(self.levels(z))
            with evaluating(self):
                self._known_layout = find_layout(self.prior, make, marginalizes=self._marginalizes)
        return self._known_layout

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LatentVariableModel:
        super()._apply(fn, recurse)
        own_prior = self.__dict__.get("_prior")
        if isinstance(own_prior, Distribution):
            # A tensor that is a view of a Parameter follows the Parameter by itself.
            self._prior = map_tensors(
                own_prior, lambda tensor: tensor if tensor.requires_grad else fn(tensor), move_modules=True
            )
        self._known_layout = None
        return self

    def _register(self, name: str, value: Tensor) -> None:
        """Keep a tensor that moves with the model; a Parameter stays one."""
        if isinstance(value, nn.Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)

    def _register_learnable(self, name: str, part: Any) -> None:
        """Make what a prior or a likelihood learns with a part of the model, if it is none yet."""
        if isinstance(part, nn.Module):
            return
        found = list(learnable_parts(part))
        if isinstance(part, Distribution):
            leaves = [leaf for tensor in tensors_in(part) for leaf in leaves_behind(tensor)]
            found = [leaf for leaf in leaves if isinstance(leaf, nn.Parameter)]
        for index, item in enumerate(dict.fromkeys(found)):
            if isinstance(item, nn.Module):
                if all(item is not module for module in self.modules()):
                    self.add_module(f"{name}_part_{index}", item)
            elif all(item is not parameter for parameter in self.parameters()):
                self.register_parameter(f"{name}_parameter_{index}", item)


def _is_view(tensor: Tensor) -> bool:
    """Whether a tensor shares the memory of the Parameters behind it, and so changes with them."""
    return any(
        tensor.untyped_storage().data_ptr() == leaf.untyped_storage().data_ptr() for leaf in leaves_behind(tensor)
    )


def _shown(value: Tensor) -> str:
    return f"{value.item():.6g}" if value.numel() == 1 else f"a row of shape {tuple(value.shape)}"


def _bounds_are_fixed(support: Any) -> bool:
    """Whether a support is the same for every parameter value: none of its bounds is a tensor."""
    return not any(True for _ in tensors_in(support))
