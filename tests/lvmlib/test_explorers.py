"""The explorers: what their formulas give is what the library computes, wherever the sliders stand."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import random
import re
import subprocess
import sys
from base64 import b64decode
from functools import partial
from pathlib import Path

import pytest
import scipy.stats
import torch
from PIL import Image
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from lvmlib import (
    LinearGaussian,
    MeanFieldGuide,
    QuadratureModel,
    RunningMean,
    WeightSummary,
    chi_square,
    elbo,
    explorers,
    kl_decomposition,
    surrogate,
)
from lvmlib.explorers import MIME_TYPE, Explorer
from lvmlib.plots import PALETTE

pytest.importorskip("altair")
vl_convert = pytest.importorskip("vl_convert")


def plane_of_squares() -> Explorer:
    """A map of squares that grow with z one and grow darker with z two, and four codes."""
    pictures = torch.zeros(5, 5, 28, 28)
    for i in range(5):
        for j in range(5):
            pictures[i, j, : 4 * (i + 1), : 4 * (i + 1)] = (j + 1) / 5
    codes = torch.tensor([[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]])
    return explorers.latent_map(pictures, codes, torch.tensor([1, 7, 3, 4]), reach=2.0, z_1=1, z_2=-1)


MAKERS = {
    "coordinate_ascent": explorers.coordinate_ascent,
    "gradient_noise": explorers.gradient_noise,
    "jensen_gap": explorers.jensen_gap,
    "evidence_bar": explorers.evidence_bar,
    "evidence_bar_hidden": partial(explorers.evidence_bar, hidden=True),
    "elbo_forms": explorers.elbo_forms,
    "two_axes": explorers.two_axes,
    "proposal_width": explorers.proposal_width,
    "forward_reverse_kl": explorers.forward_reverse_kl,
    "cost_of_dimension": explorers.cost_of_dimension,
    "far_mode": explorers.far_mode,
    "weight_sticks": explorers.weight_sticks,
    "two_pieces": explorers.two_pieces,
    "cut_the_joint": explorers.cut_the_joint,
    "latent_map": plane_of_squares,
    "weighted_bound": explorers.weighted_bound,
    "closing_sandwich": explorers.closing_sandwich,
    "stagnating_sum": explorers.stagnating_sum,
}


@pytest.fixture(scope="module")
def made() -> dict[str, Explorer]:
    return {name: make() for name, make in MAKERS.items()}


@pytest.fixture(params=MAKERS)
def explorer(request: pytest.FixtureRequest, made: dict[str, Explorer]) -> Explorer:
    return made[request.param]


def sliders(spec: dict) -> dict[str, dict]:
    return {param["name"]: param for param in spec["params"] if param.get("bind", {}).get("input") == "range"}


def texts(explorer: Explorer, **values: object) -> str:
    """All that the picture writes once the sliders stand at these values."""
    spec = explorer.spec
    for param in spec["params"]:
        if param["name"] in values:
            param["value"] = values.pop(param["name"])
    assert not values, f"no parameter is called {', '.join(values)}"
    lines = re.findall(r"<text[^>]*>(.*?)</text>", vl_convert.vegalite_to_svg(spec))
    return "\n".join(re.sub(r"</?tspan[^>]*>", "\n", line) for line in lines)


def written(label: str, text: str) -> float:
    found = re.search(rf"{re.escape(label)}(?:: | = )(\u2212?[\d,.]+)(?: × 10([⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", text)
    assert found is not None, f"{label} is not in {text}"
    mantissa = float(found[1].replace("\u2212", "-").replace(",", ""))
    return mantissa * 10 ** int((found[2] or "0").translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))


def positions(spec: dict, seed: int) -> dict[str, float]:
    """One random position for each slider, on its steps."""
    chance = random.Random(seed)
    found = {}
    for name, param in sliders(spec).items():
        bind = param["bind"]
        steps = round((bind["max"] - bind["min"]) / bind["step"])
        found[name] = round(bind["min"] + chance.randint(0, steps) * bind["step"], 6)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_gap_of_jensen_is_the_log_of_the_mean_less_the_mean_of_the_log(made, seed):
    at = positions(made["jensen_gap"].spec, seed)
    text = texts(made["jensen_gap"], **at, reveal="shown")
    values = torch.tensor([at["a"], at["b"]], dtype=torch.float64)
    shares = torch.tensor([at["p"], 1 - at["p"]], dtype=torch.float64)
    log_mean, mean_log = (values @ shares).log().item(), (values.log() @ shares).item()
    assert written("log 𝔼[w]", text) == pytest.approx(log_mean, abs=6e-4)
    assert written("𝔼[log w]", text.replace("log 𝔼[w]", "")) == pytest.approx(mean_log, abs=6e-4)
    assert written("gap", text) == pytest.approx(log_mean - mean_log, abs=6e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_gap_of_jensen_stays_hidden_until_it_is_asked_for_and_is_then_compared_with_the_prediction(made, seed):
    at = positions(made["jensen_gap"].spec, seed)
    hidden, shown = (texts(made["jensen_gap"], **at, reveal=reveal) for reveal in ("hidden", "shown"))
    for label in ("log 𝔼[w]", "𝔼[log w]", "gap", "prediction less gap"):
        assert f"{label}: ? nats" in hidden
    off = at["guess"] - written("gap", shown)
    assert written("prediction less gap", shown.replace(": +", ": ")) == pytest.approx(off, abs=1.1e-3)


def test_the_names_of_the_two_heights_keep_their_place_and_do_not_meet(made):
    """Each stands at the right edge: at the height that it names, or next to the other where the heights are close."""
    for a, b in ((1.0, 9.0), (8.0, 9.5), (0.1, 10.0), (4.0, 4.0)):
        spec = made["jensen_gap"].spec
        for param in spec["params"]:
            param["value"] = {"a": a, "b": b, "reveal": "shown"}.get(param["name"], param.get("value"))
        spec["params"] = [{k: v for k, v in p.items() if not (k == "value" and v is None)} for p in spec["params"]]
        svg = vl_convert.vegalite_to_svg(spec)
        found = {
            name: re.search(rf"translate\(([\d.]+),([\d.]+)\)[^>]*>{re.escape(name)}<", svg)
            for name in ("log 𝔼[w]", "𝔼[log w]")
        }
        places = {name: [float(number) for number in match.groups()] for name, match in found.items()}
        top, bottom = places["log 𝔼[w]"], places["𝔼[log w]"]
        assert top[0] == bottom[0]
        assert bottom[1] - top[1] >= 15


@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_the_evidence_bar_are_those_of_the_library(made, seed):
    at = positions(made["evidence_bar"].spec, seed)
    text = texts(made["evidence_bar"], **at)
    model = LinearGaussian(torch.tensor([[1.5]]).double(), torch.zeros(1).double(), 0.49)
    q = MultivariateNormal(torch.tensor([at["q_mean"]]).double(), torch.tensor([[at["q_width"] ** 2]]).double())
    evidence, elbo, kl = kl_decomposition(model, q, torch.tensor([2.5]).double())
    assert written("ELBO", text) == pytest.approx(elbo.item(), abs=6e-4)
    assert written("KL(q ‖ posterior)", text) == pytest.approx(kl.item(), abs=6e-4)
    assert written("ELBO + KL = log p(x)", text) == pytest.approx(evidence.item(), abs=6e-4)


def test_the_parts_of_the_evidence_bar_can_be_hidden_until_the_divergence_is_predicted():
    explorer = explorers.evidence_bar(hidden=True)
    assert list(sliders(explorer.spec)) == ["guess", "q_mean", "q_width"]
    hidden, shown = (texts(explorer, guess=1.0, reveal=reveal) for reveal in ("hidden", "shown"))
    for label in ("ELBO", "KL(q ‖ posterior)", "prediction less divergence"):
        assert f"{label}: ? nats" in hidden
    off = 1.0 - written("KL(q ‖ posterior)", shown)
    assert written("prediction less divergence", shown.replace(": +", ": ")) == pytest.approx(off, abs=1.1e-3)
    assert written("ELBO + KL = log p(x)", hidden) == written("ELBO + KL = log p(x)", shown)


def test_no_position_of_the_sliders_makes_the_elbo_leave_the_bar(made):
    spec = made["evidence_bar"].spec
    start = spec["vconcat"][1]["layer"][0]["encoding"]["x"]["scale"]["domain"][0]
    ends = {name: (param["bind"]["min"], param["bind"]["max"]) for name, param in sliders(spec).items()}
    for q_mean in ends["q_mean"]:
        for q_width in ends["q_width"]:
            assert written("ELBO", texts(made["evidence_bar"], q_mean=q_mean, q_width=q_width)) > start + 0.3


@pytest.mark.parametrize("seed", range(3))
def test_the_forms_scatter_as_draws_of_the_estimators_of_the_library_do(made, seed):
    at = positions(made["elbo_forms"].spec, seed)
    hidden, text = (texts(made["elbo_forms"], **at, reveal=reveal) for reveal in ("hidden", "shown"))
    assert "spread of row 1: ? nats" in hidden
    model = LinearGaussian(torch.tensor([[1.5]]).double(), torch.zeros(1).double(), 0.49)
    x = torch.tensor([2.5]).double()
    q = MultivariateNormal(torch.tensor([at["q_mean"]]).double(), torch.tensor([[at["q_width"] ** 2]]).double())
    assert written("ELBO, by each form", text) == pytest.approx(kl_decomposition(model, q, x).elbo.item(), abs=6e-4)
    torch.manual_seed(seed)
    for row, form in enumerate(("joint", "entropy", "prior_kl"), 1):
        one = elbo(model, q, x.expand(40_000, 1), form=form)
        squares = (one - one.mean()).square()
        error = squares.std() / (2 * one.std() * math.sqrt(len(one)))
        assert abs(written(f"spread of row {row}", text) - one.std()) < 5 * error + 6e-3


def test_the_marks_of_the_forms_average_to_the_bound_and_fall_on_one_another_at_the_posterior(made):
    def marks(**at: object) -> list[list[float]]:
        spec = made["elbo_forms"].spec
        for param in spec["params"]:
            param |= {"value": at[param["name"]]} if param["name"] in at else {}
        groups = re.findall(r'class="mark-rule role-mark[^>]*>(.*?)</g>', vl_convert.vegalite_to_svg(spec))
        places = [[float(x) for x in re.findall(r"translate\(([\d.]+),", group)] for group in groups]
        ticks = re.findall(r'class="mark-rect role-mark[^>]*>(.*?)</g>', vl_convert.vegalite_to_svg(spec))
        return [[float(x) for x in re.findall(r'd="M(-?[\d.]+),', tick)] for tick in ticks] + places

    rows = [row for row in marks(q_mean=1.37, q_width=0.42, reveal="shown") if len(row) > 20]
    widths = sorted(max(row) - min(row) for row in rows)
    assert len(rows) == 3
    assert widths[0] < 2 < 40 < widths[1]
    assert all(len(row) <= 20 for row in marks(q_mean=1.37, q_width=0.42)), "hidden until it is predicted"


@pytest.mark.parametrize("seed", range(4))
def test_the_two_axes_are_climbed_by_the_terms_of_the_library(made, seed):
    at = positions(made["two_axes"].spec, seed)
    text = texts(made["two_axes"], **at)
    theta, phi, noise = at["theta_start"], at["phi_start"], at["noise"]
    for step in range(int(at["steps"])):
        if step % 2:
            theta = 3.0 - phi
        else:
            phi = (3.0 - theta) / (1 + noise**2)
    one = torch.ones(1, 1).double()
    model = LinearGaussian(one, theta * one[0], noise**2)
    q = MultivariateNormal(phi * one[0], noise**2 / (1 + noise**2) * one)
    log_evidence, bound, gap = kl_decomposition(model, q, 3.0 * one[0])
    for label, value, digits in (
        ("ELBO", bound, 3),
        ("log p(x)", log_evidence, 3),
        ("gap", gap, 3),
        ("θ", theta, 2),
        ("φ", phi, 2),
    ):
        assert written(label, text) == pytest.approx(float(value), abs=0.6 * 10**-digits)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_no_step_along_an_axis_lowers_the_bound_and_a_step_of_inference_closes_the_gap(made, steps):
    before, after = (texts(made["two_axes"], steps=number, noise=0.5) for number in (steps - 1, steps))
    assert written("ELBO", after) >= written("ELBO", before)
    if steps % 2:
        assert written("gap", after) == pytest.approx(0, abs=1e-3)
        assert written("log p(x)", after) == written("log p(x)", before)
    else:
        assert written("log p(x)", after) - written("log p(x)", before) >= written("ELBO", after) - written(
            "ELBO", before
        )


@pytest.mark.parametrize("ratio", [0.4, 0.7, 0.75, 1.5, 3.0])
def test_a_proposal_of_some_width_has_the_weights_of_the_library(made, ratio):
    text = texts(made["proposal_width"], ratio=ratio, draws=2, reveal="shown")
    draws = draws_of(made["proposal_width"], 2)
    target, proposal = Normal(torch.zeros(()).double(), 1.0), Normal(torch.zeros(()).double(), ratio)
    z = ratio * draws
    summary = WeightSummary.from_log_weights(target.log_prob(z) - proposal.log_prob(z))
    assert f"effective sample size {summary.ess.item():,.0f} of 2,000" in text
    assert written("Pareto k", text) == pytest.approx(summary.pareto_k.item(), abs=6e-3)
    exact = chi_square(target, proposal).item()
    if math.isinf(exact):
        assert "chi-square: infinite" in text
        assert "no band: the variance is infinite" in text
    else:
        assert written("chi-square", text) == pytest.approx(exact, abs=6e-3)
        assert "band: two predicted standard errors" in text


def draws_of(explorer: Explorer, number: int = 1) -> torch.Tensor:
    (csv,) = (data for data in explorer.spec["datasets"].values() if isinstance(data, str))
    return torch.tensor([int(line) for line in csv.split("\n")[1:]]).double().reshape(-1, 2000)[number - 1] / 1000


def test_the_threshold_stays_hidden_until_it_is_predicted(made):
    hidden = texts(made["proposal_width"], ratio=0.5)
    assert "chi-square: ?" in hidden
    assert "Pareto k: ?" in hidden
    assert "0.71" not in hidden
    assert "infinite" not in hidden


@pytest.mark.parametrize("distance", [0.0, 3.5, 9.0])
def test_a_far_mode_has_the_diagnostics_of_the_library(made, distance):
    text = texts(made["far_mode"], distance=distance)
    torch.manual_seed(0)
    z = 1.2 * torch.randn(2000, dtype=torch.float64)
    modes = [Normal(torch.tensor(at).double(), 1.0).log_prob(z) for at in (0.0, distance)]
    log_joint = torch.stack([math.log(0.7) + modes[0], math.log(0.3) + modes[1]]).logsumexp(0)
    summary = WeightSummary.from_log_weights(log_joint - Normal(torch.zeros(()).double(), 1.2).log_prob(z))
    assert written("estimate of log p(x)", text) == pytest.approx(summary.log_evidence.item(), abs=1e-3)
    assert written("standard error", text) == pytest.approx(summary.std_error.item(), abs=1e-3)
    assert written("effective sample size", text) == pytest.approx(summary.ess.item(), abs=0.6)
    assert written("Pareto k", text) == pytest.approx(summary.pareto_k.item(), abs=6e-3)


def test_beyond_the_reach_of_q_every_diagnostic_is_calm(made):
    near, middle, far = (texts(made["far_mode"], distance=distance) for distance in (0.0, 3.5, 9.0))
    assert written("Pareto k", middle) > 0.7 > written("Pareto k", far)
    assert written("effective sample size", far) > 1800
    assert written("standard error", far) == pytest.approx(written("standard error", near), abs=1e-3)
    assert written("estimate of log p(x)", far) == pytest.approx(math.log(0.7), abs=0.02)


def test_a_proposal_equal_to_the_posterior_has_equal_weights(made):
    text = texts(made["proposal_width"], ratio=1.0, reveal="shown")
    assert "Pareto k: none: equal weights" in text
    assert "effective sample size 2,000 of 2,000" in text


@pytest.mark.parametrize("seed", range(4))
def test_coordinate_ascent_has_the_steps_of_its_formula_and_the_gap_of_the_library(made, seed):
    at = positions(made["coordinate_ascent"].spec, seed)
    text = texts(made["coordinate_ascent"], **at, reveal="shown")
    rho = torch.tensor(at["rho"]).double()
    posterior = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double() + rho * (1 - torch.eye(2).double()))
    precision = posterior.precision_matrix
    mean, variance = torch.tensor([at["start_1"], at["start_2"]]).double(), torch.ones(2).double()
    for update in range(int(at["updates"])):
        d = update % 2
        mean[d] -= precision[d] @ mean / precision[d, d]
        variance[d] = 1 / precision[d, d]
    q = MultivariateNormal(mean, variance.diag())
    assert written("gap", text) == pytest.approx(torch.distributions.kl_divergence(q, posterior).item(), abs=6e-4)
    kept = written("width of the best q over the posterior’s", text)
    assert kept == pytest.approx((1 / precision[0, 0]).sqrt().item(), abs=6e-3)
    sweeps = written("sweeps to a hundredth", text)
    assert at["rho"] ** (2 * sweeps) <= 0.01 * (1 + 1e-6) < at["rho"] ** (2 * (sweeps - 1)) * (1 + 1e-6)


def test_coordinate_ascent_hides_its_answers_until_they_are_predicted(made):
    text = texts(made["coordinate_ascent"], updates=6)
    for label in ("gap", "width of the best q over the posterior’s", "sweeps to a hundredth"):
        assert f"{label}: ?" in text
    assert "predict first" in text


@pytest.mark.parametrize("seed", range(3))
def test_the_noise_of_both_gradients_is_that_of_many_draws_of_the_library(made, seed):
    at = positions(made["gradient_noise"].spec, seed) | {"q_width": 0.25 + 0.2 * seed}
    text = texts(made["gradient_noise"], **at, reveal="shown")
    model = LinearGaussian(torch.tensor([[1.5]]).double(), torch.zeros(1).double(), 0.49)
    x, rows = torch.tensor([2.5]).double(), 200_000
    torch.manual_seed(seed)
    q = MeanFieldGuide(1, batch_shape=(rows,)).double()
    q.loc.data.fill_(at["q_mean"])
    q.log_scale.data.fill_(math.log(at["q_width"]))
    baseline = RunningMean(decay=0.0).update(torch.full((1, 1), at["baseline"], dtype=torch.float64))
    spread = {}
    for estimator, options in (("score", {"baseline": baseline}), ("reparameterized", {})):
        q.loc.grad = None
        surrogate(model, q, x.expand(rows, 1), 1, estimator=estimator, **options).backward()
        spread[estimator] = q.loc.grad.std().item()
        exact = written("exact gradient", text)
        assert abs(-q.loc.grad.mean().item() - exact) < 5 * spread[estimator] / math.sqrt(rows) + 6e-3
    assert written("sd of the score", text) == pytest.approx(spread["score"], rel=0.03, abs=6e-3)
    assert written("sd along the path", text) == pytest.approx(spread["reparameterized"], rel=0.03, abs=6e-3)
    needed = written("draws by score per draw by path", text)
    assert needed == pytest.approx((spread["score"] / spread["reparameterized"]) ** 2, rel=0.06)


def test_near_the_posterior_the_explorer_leaves_the_score_little_noise(made):
    """The posterior has mean 1.369 and width 0.423; no step of the sliders meets both."""
    text = texts(made["gradient_noise"], q_mean=1.35, q_width=0.4, baseline=-2.5, reveal="shown")
    assert 0 < written("sd of the score", text) < 0.4
    assert written("sd along the path", text) > 2


def test_the_noise_of_the_gradients_stays_hidden_until_it_is_predicted(made):
    text = texts(made["gradient_noise"])
    for label in ("sd of the score", "sd along the path", "draws by score per draw by path"):
        assert f"{label}: ?" in text
    assert text.count("predict first") == 2


def two_modes() -> MixtureSameFamily:
    return MixtureSameFamily(
        Categorical(torch.tensor([0.6, 0.4]).double()), Normal(torch.tensor([-2.0, 2.0]).double(), 0.7)
    )


def both_divergences(mean: torch.Tensor, width: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reverse and forward, by the trapezoidal rule on a grid that is not the explorer's."""
    z = torch.linspace(-30, 30, 6_001, dtype=torch.float64)
    p, q = two_modes().log_prob(z), Normal(mean[..., None], width[..., None]).log_prob(z)
    return torch.trapezoid(q.exp() * (q - p), z), torch.trapezoid(p.exp() * (p - q), z)


@pytest.mark.parametrize("seed", range(3))
def test_both_directions_of_the_kl_are_those_of_a_finer_grid(made, seed):
    at = positions(made["forward_reverse_kl"].spec, seed)
    text = texts(made["forward_reverse_kl"], **at, reveal="shown")
    assert "reverse KL(q ‖ p) = ?" in texts(made["forward_reverse_kl"], **at)
    reverse, forward = both_divergences(*(torch.tensor(v).double() for v in at.values()))
    assert written("reverse KL(q ‖ p)", text) == pytest.approx(reverse.item(), abs=6e-4)
    assert written("forward KL(p ‖ q)", text) == pytest.approx(forward.item(), abs=6e-4)


def test_the_choices_are_the_minimisers_and_no_other_q_does_better(made):
    presets = made["forward_reverse_kl"].spec["usermeta"]["lvmlib"]["presets"]
    chosen = [tuple(presets[f"the smallest {name}"].values()) for name in ("KL(q ‖ p)", "KL(p ‖ q)")]
    assert chosen[1] == (
        pytest.approx(two_modes().mean.item(), abs=0.01),
        pytest.approx(two_modes().stddev.item(), abs=0.01),
    )
    means, widths = torch.meshgrid(torch.linspace(-4, 4, 17), torch.linspace(0.5, 4, 15), indexing="ij")
    everywhere = both_divergences(means.double(), widths.double())
    for direction, (mean, width) in enumerate(chosen):
        best = both_divergences(torch.tensor(mean).double(), torch.tensor(width).double())[direction]
        assert best <= everywhere[direction].min() + 1e-6


def test_a_choice_sets_q_whatever_the_sliders_say(made):
    explorer = made["forward_reverse_kl"]
    for name, place in explorer.spec["usermeta"]["lvmlib"]["presets"].items():
        assert texts(explorer, jump=name, reveal="shown") == texts(explorer, **place, reveal="shown")


@pytest.mark.parametrize("seed", range(3))
def test_the_cost_of_a_dimension_is_that_of_grid_and_chi_square(made, seed):
    at = positions(made["cost_of_dimension"].spec, seed)
    text = texts(made["cost_of_dimension"], **at, reveal="shown")
    zero = torch.zeros(()).double()
    one = chi_square(Normal(zero, at["width_1"]), Normal(zero, 1.0)).item()
    draws = ((1 + one) ** at["dim"] - 1) / at["error"] ** 2
    assert written("chi-square of one coordinate", text) == pytest.approx(one, abs=6e-4)
    assert written("nodes of the grid", text) == pytest.approx(at["points"] ** at["dim"], rel=0.051)
    assert written("draws from the prior", text) == pytest.approx(max(1.0, draws), rel=0.051, abs=1)


@pytest.mark.parametrize(("dim", "width_1"), [(10, 0.4), (30, 0.4), (40, 0.05)])
def test_each_cost_has_its_mark_also_beyond_the_picture(made, dim, width_1):
    spec = made["cost_of_dimension"].spec
    place = {"dim": dim, "width_1": width_1, "reveal": "shown"}
    for param in spec["params"]:
        param |= {"value": place[param["name"]]} if param["name"] in place else {}
    svg = vl_convert.vegalite_to_svg(spec)
    drawn = re.findall(r'class="mark-symbol[^>]*>(.*?)</g>', svg)
    places = re.findall(r'<path[^>]*transform="translate\(([^)]*)\)', "".join(drawn))
    assert len(places) == len(set(places)) == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_sticks_are_the_weights_of_the_library(made, seed):
    at = positions(made["weight_sticks"].spec, seed)
    text = texts(made["weight_sticks"], **at, reveal="shown")
    assert "effective sample size ? of 50" in texts(made["weight_sticks"], **at)
    (csv,) = (data for data in made["weight_sticks"].spec["datasets"].values() if isinstance(data, str))
    rows = [[int(part) for part in line.split(",")] for line in csv.split("\n")[1:]]
    draws = torch.tensor([e for number, _, e in rows if number == at["draws"]]).double() / 1000
    assert len(draws) == 50
    model = LinearGaussian(torch.tensor([[1.5]]).double(), torch.zeros(1).double(), 0.49)
    x = torch.tensor([2.5]).double()
    z = (at["q_mean"] + at["q_width"] * draws)[:, None]
    log_q = Normal(torch.tensor(at["q_mean"]).double(), at["q_width"]).log_prob(z[:, 0])
    summary = WeightSummary.from_log_weights(model.log_joint(x, z) - log_q - model.log_evidence(x))
    assert f"average {summary.log_evidence.exp().item():.3f}, " in text
    assert f"effective sample size {summary.ess.item():.1f} of 50" in text


def test_a_stick_beyond_the_picture_leaves_a_triangle_in_it(made):
    def triangles(**at: object) -> int:
        spec = made["weight_sticks"].spec
        for param in spec["params"]:
            param |= {"value": at[param["name"]]} if param["name"] in at else {}
        marks = re.findall(r'class="mark-symbol[^>]*>(.*?)</g>', vl_convert.vegalite_to_svg(spec))
        return sum(mark.count("<path") for mark in marks)

    assert triangles(q_mean=1.35, q_width=0.5, reveal="shown") == 0
    assert triangles(q_mean=0.4, q_width=0.4, reveal="shown") > 0
    assert triangles(q_mean=0.4, q_width=0.4) == 0, "hidden until it is predicted"


def test_the_dimension_of_a_year_is_the_first_at_which_the_prior_takes_one(made):
    text = texts(made["cost_of_dimension"], width_1=0.5, error=0.1, reveal="shown")
    first = int(written("the prior takes a year from D", text))
    one = 1 / (0.5 * math.sqrt(2 - 0.25))
    draws = [(one**dim - 1) / 0.1**2 for dim in (first - 1, first)]
    assert draws[0] < 1e9 * 365.25 * 86400 <= draws[1]
    assert "draws from the prior: ?" in texts(made["cost_of_dimension"])


def test_a_posterior_equal_to_the_prior_needs_one_draw(made):
    assert written("draws from the prior", texts(made["cost_of_dimension"], width_1=1.0, reveal="shown")) == 1


def bent(bend: float, noise: float) -> QuadratureModel:
    prior = Normal(torch.zeros(()).double(), 1.0)
    return QuadratureModel(prior, lambda z: Normal(z + bend * (z.square() - 1), noise))


@pytest.mark.parametrize("seed", range(4))
def test_the_area_of_a_cut_is_the_evidence_of_the_bent_model(made, seed):
    at = positions(made["cut_the_joint"].spec, seed)
    text = texts(made["cut_the_joint"], **at)
    exact = bent(1.0, 0.5).log_evidence(torch.tensor(at["x_seen"]).double()).exp().item()
    assert written("area", text) == pytest.approx(exact, abs=6e-5)
    assert "area = 1.00" in text


def test_the_curve_of_the_cuts_is_the_evidence_of_the_bent_model():
    explorer = explorers.cut_the_joint(bend=0.4, noise=0.7)
    (rows,) = set(re.findall(r'"x,p\\n(.*?)"', json.dumps(explorer.spec)))
    x, p = torch.tensor([[float(number) for number in row.split(",")] for row in rows.split("\\n")]).double().unbind(1)
    torch.testing.assert_close(p, bent(0.4, 0.7).log_evidence(x).exp(), rtol=0, atol=1e-5)


def scrambled(seed: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The draws of z and of the noise that the picture makes, by the same steps in whole numbers."""
    prime, uniform = 16_777_213, []
    for row in range(rows):
        first = (row * 7919 + seed * 104729 + 12345) % prime
        second = (first * first + 977 * row + 31) % prime
        third = (second * second + first) % prime
        fourth = (third * third + second) % prime
        uniform.append([(third + 0.5) / prime, (fourth + 0.5) / prime])
    u, v = torch.tensor(uniform, dtype=torch.float64).unbind(1)
    radius = (-2 * u.log()).sqrt()
    return radius * (2 * math.pi * v).cos(), radius * (2 * math.pi * v).sin()


@pytest.mark.parametrize("seed", [1, 17, 50])
def test_the_draws_of_the_bent_model_are_those_of_its_formula_and_their_spread_is_written(made, seed):
    z, noise = scrambled(seed, 300)
    text = texts(made["two_pieces"], bend=0.7, noise=0.3, seed=seed)
    spread = (z + 0.7 * (z.square() - 1) + 0.3 * noise).std().item()
    assert written("standard deviation of the draws of x", text) == pytest.approx(spread, abs=6e-3)
    assert written("of p(x)", text) == pytest.approx(math.sqrt(1 + 2 * 0.7**2 + 0.3**2), abs=6e-3)


def test_the_draws_of_all_seeds_together_are_independent_standard_normals():
    z, noise = (torch.cat(parts) for parts in zip(*(scrambled(seed, 300) for seed in range(1, 51)), strict=True))
    for draws in (z, noise):
        assert scipy.stats.kstest(draws.numpy(), "norm").pvalue > 1e-4
    for one, other in ((z, noise), (z[1:], z[:-1]), (noise[1:], noise[:-1]), (z.square(), noise.square())):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 4 / math.sqrt(len(one))


def shown_large(explorer: Explorer, **values: float) -> torch.Tensor:
    """The grey values of the large picture once the sliders stand at these values."""
    spec = explorer.spec
    for param in spec["params"]:
        param["value"] = values.get(param["name"], param.get("value"))
    spec["params"] = [{k: v for k, v in p.items() if not (k == "value" and v is None)} for p in spec["params"]]
    with Image.open(io.BytesIO(b64decode(Explorer(spec)._repr_mimebundle_()[0]["image/png"]))) as image:
        grey = torch.tensor(list(image.convert("L").tobytes())).reshape(image.size[::-1])
    # The last 140 rows, less the edge, from the gutter on, at one and a half pixels for each of CSS.
    large = grey[-int(1.5 * 142) :][3 : 3 + 210]
    return 1 - large[:, int(1.5 * 48) : int(1.5 * 48) + 210] / 255


@pytest.mark.parametrize(("z_1", "z_2"), [(-2, -2), (2, 2), (1, -1), (-1, 2)])
def test_the_large_picture_is_the_one_of_the_chosen_place(made, z_1, z_2):
    picture = shown_large(made["latent_map"], z_1=z_1, z_2=z_2)
    side, ink = 4 * (z_1 + 3), (z_2 + 3) / 5
    share = (side / 28) ** 2
    assert (picture > 0.05).double().mean().item() == pytest.approx(share, abs=0.03)
    assert picture.max().item() == pytest.approx(ink, abs=0.08)


def test_the_nearest_code_is_named_at_each_corner_of_the_map(made):
    for (z_1, z_2), label in {(-2, -2): 1, (-2, 2): 7, (2, -2): 3, (2, 2): 4}.items():
        assert f"belongs to a: {label}" in texts(made["latent_map"], z_1=z_1, z_2=z_2)


def test_the_codes_of_a_digit_are_drawn_when_it_is_chosen_and_no_others(made):
    def dots(digit: str) -> int:
        spec = made["latent_map"].spec
        next(param for param in spec["params"] if param["name"] == "digit")["value"] = digit
        return len(re.findall(rf'<path[^>]*fill="{PALETTE["q"]}"', vl_convert.vegalite_to_svg(spec)))

    assert [dots(digit) for digit in ("none", "7", "5")] == [0, 1, 0]


@pytest.mark.parametrize(
    ("pictures", "codes", "labels", "message"),
    [
        (torch.zeros(3, 4, 28, 28), torch.zeros(2, 2), torch.zeros(2), r"pictures is .*expected shape \(R, R, H, W\)"),
        (torch.zeros(3, 3, 28, 28), torch.zeros(2, 3), torch.zeros(2), r"codes is .*expected shapes \(N, 2\)"),
        (torch.zeros(3, 3, 28, 28), torch.zeros(2, 2), torch.zeros(3), r"labels .*expected shapes \(N, 2\)"),
    ],
)
def test_a_map_of_the_wrong_shape_is_told_which_is_expected(pictures, codes, labels, message):
    with pytest.raises(ValueError, match=message):
        explorers.latent_map(pictures, codes, labels)


def test_arguments_are_the_first_values_of_the_sliders_on_their_steps():
    spec = explorers.jensen_gap(a=2, b=0.5, p=1 / 3).spec
    assert {name: param["value"] for name, param in sliders(spec).items()} == {
        "a": 2.0,
        "b": 0.5,
        "p": 0.33,
        "guess": 1.5,
    }
    other = explorers.evidence_bar(slope=2.0, noise=1.0, x=-1.0, q_mean=-0.4, q_width=0.5)
    model = LinearGaussian(torch.tensor([[2.0]]).double(), torch.zeros(1).double(), 1.0)
    evidence = model.log_evidence(torch.tensor([-1.0]).double()).item()
    assert written("ELBO + KL = log p(x)", texts(other)) == pytest.approx(evidence, abs=6e-4)
    assert explorers.cost_of_dimension(dim=3).spec != explorers.cost_of_dimension(dim=4).spec


def test_every_slider_says_what_it_moves_and_every_value_has_a_colour_of_the_palette(explorer):
    assert all(param["bind"]["name"].strip(": ") for param in sliders(explorer.spec).values())
    for value in explorer.spec["usermeta"]["lvmlib"]["values"]:
        assert value["role"] in PALETTE
        assert value["label"].strip()


def test_a_notebook_gets_a_live_picture_a_static_one_and_words_and_no_html(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    assert list(bundle) == [MIME_TYPE, "image/svg+xml", "image/png", "text/plain"]
    assert bundle["text/plain"] == f"Explorer({explorer.description!r})"
    assert bundle["image/svg+xml"].startswith("<svg")
    assert f'aria-label="{explorer.description[:20]}' in bundle["image/svg+xml"]
    assert len(json.dumps(bundle)) < 130_000, "a notebook is committed with it"
    with Image.open(io.BytesIO(b64decode(bundle["image/png"]))) as image:
        width = metadata["image/png"]["width"]
        assert f"max-width:{width}" in bundle["image/svg+xml"]
        assert image.width == pytest.approx(1.5 * width, abs=1)
        colours = {pixel[:3] for _, pixel in image.convert("RGBA").getcolors(1 << 20)}
        assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
        assert any(max(colour) < 60 for colour in colours), "words and axes are dark"
    assert len(bundle["image/png"]) < 30_000


def test_the_specification_names_the_vega_lite_of_jupyterlab_and_asks_for_nothing(explorer):
    assert explorer.spec["$schema"].endswith("/vega-lite/v5.json")
    # An image may name a parameter, which holds the image itself.
    written = json.dumps(explorer.spec).replace('"url": {"expr": "sheet"}', "")
    assert '"url"' not in written
    assert all(p["value"].startswith("data:") for p in explorer.spec["params"] if p["name"] == "sheet")
    assert explorer.spec["usermeta"]["embedOptions"]["actions"] is False
    oldest = vl_convert.vegalite_to_vega(explorer.spec, vl_version="5.8")
    assert {param["name"] for param in explorer.spec["params"]} <= {signal["name"] for signal in oldest["signals"]}


def test_the_static_picture_takes_the_colour_of_the_text_and_names_itself(explorer):
    svg = explorer.svg()
    assert "currentColor" in svg
    assert 'role="img"' in svg
    drawn = set(re.findall(r"#[0-9a-f]{6}", svg))
    assert drawn <= set(PALETTE.values()), "a colour that no object has"
    ids = re.findall(r' id="([^"]+)"', svg)
    assert all(name.startswith("lvm-") for name in ids)


def test_an_explorer_does_not_change_behind_its_back(made):
    explorer = made["jensen_gap"]
    explorer.spec["description"] = "something else"
    assert explorer.description != "something else"


@pytest.mark.thorough
def test_another_process_makes_the_same_bytes(made):
    program = (
        "import hashlib, json; from test_explorers import MAKERS\n"
        "for make in MAKERS.values():\n"
        "    print(hashlib.sha256(json.dumps(make()._repr_mimebundle_()).encode()).hexdigest())"
    )
    here = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    run = subprocess.run([sys.executable, "-c", program], env=os.environ | here, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    bundles = [json.dumps(made[name]._repr_mimebundle_()) for name in MAKERS]
    assert run.stdout.split() == [hashlib.sha256(bundle.encode()).hexdigest() for bundle in bundles]
    assert set(MAKERS) >= set(explorers.__all__[1:])


def test_the_draws_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    first, second = explorers.proposal_width(seed=1), explorers.proposal_width(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(draws_of(first), draws_of(second))


@pytest.mark.parametrize("module", ["altair", "vl_convert"])
def test_without_altair_or_its_converter_one_is_told_what_to_install(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install altair vl-convert-python"):
        explorers.jensen_gap().svg()


def test_the_default_device_changes_nothing(made):
    with torch.device("meta"):
        assert explorers.forward_reverse_kl().spec == made["forward_reverse_kl"].spec
        assert explorers.evidence_bar().spec == made["evidence_bar"].spec


@pytest.mark.parametrize(("power", "spread"), [(0, 1.0), (3, 1.0), (6, 2.0)])
def test_the_mean_of_the_estimates_climbs_from_the_elbo_towards_the_evidence(made, power, spread):
    text = texts(made["weighted_bound"], power=power, spread=spread, seed=7, reveal="shown")
    found = re.search(r"mean of the estimates = ([-−.\d]+) ± ([.\d]+)", text.replace("\N{MINUS SIGN}", "-"))
    mean, error = map(float, found.groups())
    torch.manual_seed(0)
    log_w = spread * torch.randn(2**power, 100_000) - spread**2 / 2
    exact = (log_w.logsumexp(0) - power * math.log(2)).mean().item()
    assert abs(mean - exact) < 5 * error + 0.02
    if power == 0:
        assert abs(exact + spread**2 / 2) < 0.02


def test_the_estimates_of_the_weighted_bound_stay_hidden_until_they_are_predicted(made):
    hidden, shown = (texts(made["weighted_bound"], power=3, reveal=reveal) for reveal in ("hidden", "shown"))
    assert "mean of the estimates = ?" in hidden
    assert "predict first" in hidden
    assert "?" not in shown
    assert "predict first" not in shown

    def bars(reveal: str) -> int:
        spec = made["weighted_bound"].spec
        for param in spec["params"]:
            param["value"] = {"power": 3, "reveal": reveal}.get(param["name"], param.get("value"))
        return vl_convert.vegalite_to_svg(spec).count(f'fill="{PALETTE["q"]}"')

    assert bars("hidden") == 0
    assert bars("shown") > 5


def test_the_note_of_the_weighted_bound_stands_above_the_panel_where_no_line_passes(made):
    svg = vl_convert.vegalite_to_svg(made["weighted_bound"].spec)
    (height,) = re.findall(r'<text[^>]*transform="translate\([\d.]+,(-?[\d.]+)\)"[^>]*>mean of the estimates', svg)
    assert float(height) < -20


@pytest.mark.parametrize(("power", "distance"), [(0, 2.0), (3, 2.0), (5, 0.5)])
def test_both_directions_of_the_sandwich_have_their_exact_means(made, power, distance):
    text = texts(made["closing_sandwich"], power=power, distance=distance, seed=7).replace("\N{MINUS SIGN}", "-")
    steps, top = 2**power, -(distance**2) / 2.5 - 0.5 * math.log(5)
    for name, offset in (("prior", 1), ("posterior", 0)):
        mean, error = map(float, re.search(rf"from the {name}: mean ([-.\d]+) ± ([.\d]+)", text).groups())
        exact = -top
        for t in range(1, steps + 1):
            precision = 1 + 4 * (t - offset) / steps
            exact -= 2 / steps * ((distance / precision) ** 2 + 1 / precision)
        assert abs(mean - exact) < 5 * error + 0.02


def test_the_running_sum_stays_hidden_until_its_end_is_predicted(made):
    hidden, shown = (texts(made["stagnating_sum"], reveal=reveal) for reveal in ("hidden", "shown"))
    assert "total ?, error of its logarithm ? nats" in hidden
    assert "predict first" in hidden
    assert "total 256, error" in shown
    assert "predict first" not in shown


@pytest.mark.parametrize(("bits", "parts"), [(8, 0), (8, 3), (11, 0), (24, 0)])
def test_a_running_sum_of_ones_stops_at_the_power_of_its_bits(made, bits, parts):
    text = texts(made["stagnating_sum"], bits=bits, parts=parts, power=9, reveal="shown").replace("\N{MINUS SIGN}", "-")
    (error,) = map(float, re.findall(r"error of its logarithm ([-.\d]+) nats", text))
    assert error == pytest.approx(math.log(2 ** (bits + parts) / 1e9), abs=1e-3)
