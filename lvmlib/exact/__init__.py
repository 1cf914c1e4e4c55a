r"""Models whose evidence and posterior are known, so that every estimate of them can be checked.

Each gives :math:`\log p(x)` and :math:`p(z \mid x)` exactly, and :math:`\E_{q(z)}[\log p(x, z)]` for the
families of q in which it is a finite sum or a closed formula: the piece that makes the ELBO exact too.
"""

from lvmlib.exact.base import ExactModel
from lvmlib.exact.beta_bernoulli import BetaBernoulli
from lvmlib.exact.finite import FiniteModel
from lvmlib.exact.grid_posterior import GridPosterior
from lvmlib.exact.linear_gaussian import LinearGaussian
from lvmlib.exact.mixtures import BernoulliMixture, GaussianMixture
from lvmlib.exact.quadrature import QuadratureModel

__all__ = [
    "BernoulliMixture",
    "BetaBernoulli",
    "ExactModel",
    "FiniteModel",
    "GaussianMixture",
    "GridPosterior",
    "LinearGaussian",
    "QuadratureModel",
]
