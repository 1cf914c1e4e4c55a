r"""Pictures with sliders: small models that a reader moves, with no kernel and no network.

An explorer is one Vega-Lite specification, made with Altair. Whatever a slider changes is a formula of the
specification, so the browser computes it. A notebook shows it through its own Vega extension, the book through a
bundle that lies beside the page, and whoever has neither sees the picture at its first values::

    explorers.jensen_gap(a=1, b=9, p=0.3)

Altair and vl-convert-python are needed here and nowhere else in the library.
"""

from lvmlib.explorers.bent import cut_the_joint, two_pieces
from lvmlib.explorers.closing_sandwich import closing_sandwich
from lvmlib.explorers.coordinate_ascent import coordinate_ascent
from lvmlib.explorers.dimension import cost_of_dimension
from lvmlib.explorers.divergence import forward_reverse_kl
from lvmlib.explorers.evidence import evidence_bar
from lvmlib.explorers.explorer import MIME_TYPE as MIME_TYPE
from lvmlib.explorers.explorer import Explorer
from lvmlib.explorers.far_mode import far_mode
from lvmlib.explorers.forms import elbo_forms
from lvmlib.explorers.gaussian import proposal_width
from lvmlib.explorers.gradient_noise import gradient_noise
from lvmlib.explorers.jensen import jensen_gap
from lvmlib.explorers.latent_map import latent_map
from lvmlib.explorers.stagnating_sum import stagnating_sum
from lvmlib.explorers.two_axes import two_axes
from lvmlib.explorers.weight_sticks import weight_sticks
from lvmlib.explorers.weighted_bound import weighted_bound

__all__ = [
    "Explorer",
    "closing_sandwich",
    "coordinate_ascent",
    "cost_of_dimension",
    "cut_the_joint",
    "elbo_forms",
    "evidence_bar",
    "far_mode",
    "forward_reverse_kl",
    "gradient_noise",
    "jensen_gap",
    "latent_map",
    "proposal_width",
    "stagnating_sum",
    "two_axes",
    "two_pieces",
    "weight_sticks",
    "weighted_bound",
]
