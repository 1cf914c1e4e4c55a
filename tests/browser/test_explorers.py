"""The explorers in a browser: a reader moves a slider and reads what the formula gives, without a network."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from books import ROOT, pages
from course.explorers import WITHOUT_SCRIPT, markup, write_bundle
from playwright.sync_api import Browser, Locator
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal
from visits import Visit

from lvmlib import LinearGaussian, WeightSummary, chi_square, explorers, kl_decomposition
from lvmlib.plots import PALETTE

NAMES = (
    "jensen_gap",
    "evidence_bar",
    "elbo_forms",
    "two_axes",
    "proposal_width",
    "forward_reverse_kl",
    "cost_of_dimension",
    "far_mode",
    "weight_sticks",
    "latent_map",
)
MINUS = "\N{MINUS SIGN}"
SETTLED = "document.querySelectorAll('.explorer [aria-busy=true]').length === 0"
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Explorers</title>
<meta name="viewport" content="width=device-width"><style>
html {{ {colours} --pst-color-primary: #0a7d91; color: #222832; background: #fff; color-scheme: light; }}
html[data-theme="dark"] {{ color: #ced6dd; background: #14181e; color-scheme: dark; }}
body {{ margin: 16px; font-family: sans-serif; }}
</style><link rel="stylesheet" href="course.css"><script defer src="{bundle}"></script>
<script defer src="explorers.js"></script></head><body class="cell_output">{figures}</body></html>"""


def plane_of_squares() -> explorers.Explorer:
    """A map of squares that grow with z one and grow darker with z two, and a code in each corner."""
    pictures = torch.zeros(5, 5, 28, 28)
    for i in range(5):
        for j in range(5):
            pictures[i, j, : 4 * (i + 1), : 4 * (i + 1)] = (j + 1) / 5
    codes = torch.tensor([[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]])
    return explorers.latent_map(pictures, codes, torch.tensor([1, 7, 3, 4]), reach=2.0)


def made(name: str) -> explorers.Explorer:
    return plane_of_squares() if name == "latent_map" else getattr(explorers, name)()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all explorers, made as the book makes its own."""
    folder = tmp_path_factory.mktemp("explorers")
    for source in ("css/course.css", "js/explorers.js"):
        shutil.copy(ROOT / "book" / source, folder)
    figures = (
        f'<figure id="{name}"><div class="output text_html">{markup(made(name))}</div></figure>' for name in NAMES
    )
    path = folder / "page.html"
    text = PAGE.format(
        colours=" ".join(f"--course-{name}: {colour};" for name, colour in PALETTE.items()),
        bundle=write_bundle(folder),
        figures="".join(figures),
    )
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def visit(browser: Browser, page: Path) -> Iterator[Visit]:
    with Visit(browser, page) as visit:
        yield visit


@pytest.fixture
def reader(visit: Visit, request: pytest.FixtureRequest) -> Reader:
    return Reader(visit, request.param)


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("reader", names, indirect=True)


class Reader:
    """Someone at one explorer, with a keyboard."""

    def __init__(self, visit: Visit, name: str) -> None:
        self.page = visit.page
        self.figure = visit.page.locator(f"#{name}")

    def slider(self, name: str) -> Locator:
        return self.figure.locator(f"input[type=range][name={name}]")

    def press(self, name: str, *keys: str) -> float:
        """Press keys on a slider; its value afterwards."""
        slider = self.slider(name)
        slider.focus()
        for key in keys:
            self.page.keyboard.press(key)
        return float(slider.input_value())

    def text(self, value: str) -> str:
        # The picture is drawn in the next frame, the values are written after it.
        self.page.wait_for_function(SETTLED)
        return self.figure.locator(f"output[data-value={value}]").inner_text()

    def number(self, value: str) -> float:
        mantissa, _, power = self.text(value).replace(MINUS, "-").replace(",", "").partition(" × 10")
        return float(mantissa) * 10 ** int(power.translate(RAISED) or 0)


def real(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@of("jensen_gap")
@pytest.mark.parametrize("keys", [["ArrowRight"] * 7, ["Home"], ["PageDown", "ArrowLeft"]])
def test_moving_the_probability_moves_the_gap(reader: Reader, keys: list[str]) -> None:
    p = reader.press("p", *keys)
    a, b = float(reader.slider("a").input_value()), float(reader.slider("b").input_value())
    hidden, shown = reader.figure.get_by_role("radio").all()
    hidden.check()
    assert reader.text("gap_text") == "?"
    shown.check()
    assert reader.number("gap_text") == pytest.approx(
        math.log(p * a + (1 - p) * b) - p * math.log(a) - (1 - p) * math.log(b), abs=6e-4
    )


@of("evidence_bar")
def test_the_two_parts_move_and_the_whole_bar_keeps_its_length(reader: Reader) -> None:
    model = LinearGaussian(real(1.5)[None], real(0.0), 0.49)
    wholes, bounds, lengths = set(), set(), set()
    for name, key in (("q_mean", "End"), ("q_width", "ArrowRight"), ("q_mean", "PageDown"), ("q_width", "Home")):
        reader.press(name, key)
        mean, width = (float(reader.slider(name).input_value()) for name in ("q_mean", "q_width"))
        q = MultivariateNormal(real(mean), real(width**2)[None])
        evidence, elbo, kl = kl_decomposition(model, q, real(2.5))
        assert reader.number("elbo_text") == pytest.approx(elbo.item(), abs=6e-4)
        assert reader.number("kl_text") == pytest.approx(kl.item(), abs=6e-4)
        assert reader.number("total_text") == pytest.approx(evidence.item(), abs=6e-4)
        wholes.add(reader.text("total_text"))
        bounds.add(reader.text("elbo_text"))
        elbo_bar, kl_bar = (drawn(reader, role) for role in ("elbo", "kl"))
        assert elbo_bar["right"] == pytest.approx(kl_bar["left"], abs=0.6)
        lengths.add(round(kl_bar["right"] - elbo_bar["left"]))
    assert len(bounds) == 4, "the border has moved each time"
    assert len(wholes) == 1
    assert len(lengths) == 1


def drawn(reader: Reader, role: str) -> dict[str, float]:
    """Where the filled shape in a colour of the palette stands."""
    shape = reader.figure.locator(f'svg path[fill="{PALETTE[role]}"]').last
    return shape.evaluate("(path) => { const { left, right } = path.getBoundingClientRect(); return { left, right }; }")


@of("proposal_width")
@pytest.mark.parametrize(("keys", "width"), [(["Home"], 0.4), (["ArrowRight"] * 7, 0.75), (["End"], 3.0)])
def test_the_width_of_the_proposal_moves_estimate_ess_and_pareto_k(
    reader: Reader, keys: list[str], width: float
) -> None:
    assert reader.press("ratio", "Home", *keys) == width
    spec = explorers.proposal_width().spec
    (csv,) = (data for data in spec["datasets"].values() if isinstance(data, str))
    number = reader.press("draws", "End")
    thousandths = real(*(int(line) for line in csv.split("\n")[1:])).reshape(-1, 2000)[int(number) - 1]
    z = width * thousandths / 1000
    hidden, shown = reader.figure.get_by_role("radio").all()
    hidden.check()
    assert reader.text("chi_square_text") == "?"
    shown.check()
    target, proposal = Normal(real(0.0), 1.0), Normal(real(0.0), width)
    evidence = LinearGaussian(real(1.5)[None], real(0.0), 0.49).log_evidence(real(2.5)).item()
    summary = WeightSummary.from_log_weights(evidence + target.log_prob(z) - proposal.log_prob(z))
    assert reader.number("estimate_text") == pytest.approx(summary.log_evidence.item(), abs=6e-4)
    assert reader.number("ess_text") == pytest.approx(summary.ess.item(), abs=0.6)
    assert reader.number("pareto_k_text") == pytest.approx(summary.pareto_k.item(), abs=6e-3)
    exact = chi_square(target, proposal).item()
    if math.isinf(exact):
        assert reader.text("chi_square_text") == "infinite"
    else:
        assert reader.number("chi_square_text") == pytest.approx(exact, abs=6e-3)


def divergences(mean: float, width: float) -> tuple[float, float]:
    z = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    p = MixtureSameFamily(Categorical(real(0.6, 0.4)), Normal(real(-2.0, 2.0), 0.7)).log_prob(z)
    q = Normal(mean, width).log_prob(z)
    return torch.trapezoid(q.exp() * (q - p), z).item(), torch.trapezoid(p.exp() * (p - q), z).item()


@of("forward_reverse_kl")
def test_moving_q_moves_both_divergences(reader: Reader) -> None:
    mean = reader.press("mean_slider", "PageUp", *["ArrowRight"] * 3)
    width = reader.press("width_slider", "PageUp")
    hidden, shown = reader.figure.get_by_role("radio").all()[3:]
    hidden.check()
    assert reader.text("reverse_text") == "?"
    shown.check()
    reverse, forward = divergences(mean, width)
    assert reader.number("reverse_text") == pytest.approx(reverse, abs=6e-4)
    assert reader.number("forward_text") == pytest.approx(forward, abs=6e-4)


@of("forward_reverse_kl")
def test_a_choice_takes_the_sliders_to_a_minimiser_and_a_slider_takes_q_away(reader: Reader) -> None:
    choices = reader.figure.get_by_role("radio")
    choices.last.check()
    choices.first.focus()
    reader.page.keyboard.press("ArrowDown")
    for role, value in enumerate(("reverse_text", "forward_text")):
        assert choices.nth(role + 1).is_checked()
        place = [float(reader.slider(name).input_value()) for name in ("mean_slider", "width_slider")]
        least = divergences(*place)[role]
        assert reader.number(value) == pytest.approx(least, abs=6e-4)
        for step in (-0.1, 0.1):
            assert divergences(place[0] + step, place[1])[role] > least
            assert divergences(place[0], place[1] + step)[role] > least
        reader.page.keyboard.press("ArrowDown")
        choices.nth(2).focus()
    mean = reader.press("mean_slider", "ArrowRight")
    width = float(reader.slider("width_slider").input_value())
    assert choices.first.is_checked()
    assert reader.number("forward_text") == pytest.approx(divergences(mean, width)[1], abs=6e-4)


@of("forward_reverse_kl")
def test_letters_for_quantities_are_italic_before_and_after_a_move(reader: Reader) -> None:
    italic = "(figure) => [...figure.querySelectorAll('svg tspan[font-style=italic]')].map((part) => part.textContent)"
    before = reader.figure.evaluate(italic)
    assert {"p", "q", "z"} <= set(before)
    reader.press("mean_slider", "ArrowLeft")
    reader.text("reverse_text")
    assert reader.figure.evaluate(italic) == before
    labels = reader.figure.locator(".explorer-slider label i").all_inner_texts()
    assert labels == ["q", "q"]


@of("cost_of_dimension")
def test_the_costs_are_those_of_the_sliders(reader: Reader) -> None:
    dim, points = reader.press("dim", "ArrowRight", "ArrowRight"), reader.press("points", "ArrowLeft")
    width, error = reader.press("width_1", "ArrowRight"), reader.press("error", "ArrowLeft")
    one = chi_square(Normal(real(0.0), width), Normal(real(0.0), 1.0)).item()
    hidden, shown = reader.figure.get_by_role("radio").all()
    hidden.check()
    assert reader.text("log_prior_text") == "?"
    shown.check()
    assert reader.number("log_grid_text") == pytest.approx(points**dim, rel=0.051)
    assert reader.number("log_prior_text") == pytest.approx(((1 + one) ** dim - 1) / error**2, rel=0.051, abs=1)
    assert reader.number("growth_text") == pytest.approx(one, abs=6e-4)


@of("weight_sticks")
def test_the_weights_of_another_set_of_draws_are_those_of_the_sliders(reader: Reader) -> None:
    mean, width = reader.press("q_mean", "End", "PageDown"), reader.press("q_width", "ArrowLeft")
    number = reader.press("draws", "ArrowRight", "ArrowRight")
    hidden, shown = reader.figure.get_by_role("radio").all()
    hidden.check()
    assert reader.text("ess_text") == "?"
    shown.check()
    (csv,) = (data for data in explorers.weight_sticks().spec["datasets"].values() if isinstance(data, str))
    rows = [[int(part) for part in line.split(",")] for line in csv.split("\n")[1:]]
    z = mean + width * real(*(e for chosen, _, e in rows if chosen == number)) / 1000
    model, x = LinearGaussian(real(1.5)[None], real(0.0), 0.49), real(2.5)
    log_w = model.log_joint(x, z[:, None]) - Normal(real(mean), width).log_prob(z) - model.log_evidence(x)
    summary = WeightSummary.from_log_weights(log_w)
    assert reader.number("mean_text") == pytest.approx(summary.log_evidence.exp().item(), abs=6e-4)
    assert reader.number("ess_text") == pytest.approx(summary.ess.item(), abs=0.06)


@of("latent_map")
@pytest.mark.parametrize(("across", "up", "z", "digit"), [(0.01, 0.99, (-2, 2), 7), (0.99, 0.01, (2, -2), 3)])
def test_a_click_on_the_map_moves_both_sliders_to_the_place(
    reader: Reader, across: float, up: float, z: tuple[float, float], digit: int
) -> None:
    reader.figure.scroll_into_view_if_needed()
    box = reader.figure.locator("svg .background").nth(1).bounding_box()
    reader.page.mouse.click(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
    assert reader.number("near_text") == digit
    assert tuple(float(reader.slider(name).input_value()) for name in ("z_1", "z_2")) == z
    reader.press("z_1", "Home")
    assert reader.press("z_2", "Home") == -2
    assert reader.number("near_text") == 1
    reader.page.mouse.click(box["x"] - 20, box["y"] + 5)
    assert reader.number("near_text") == 1


@of(*NAMES)
def test_every_slider_has_a_label_that_shows_its_value_and_is_reached_by_the_tab_key(reader: Reader) -> None:
    reader.figure.locator("input").first.focus()
    for slider in reader.figure.get_by_role("slider").all():
        assert slider.evaluate("(slider) => slider === document.activeElement")
        label = slider.evaluate("(slider) => slider.labels[0].textContent")
        assert len(label.split()) > 1
        assert float(label.split()[-1].replace(MINUS, "-")) == float(slider.input_value())
        spoken = slider.get_attribute("aria-valuetext")
        assert spoken.split()[-1] == label.split()[-1]
        reader.page.keyboard.press("Tab")


@of(*NAMES)
def test_the_values_are_a_live_region_and_the_picture_has_words(reader: Reader) -> None:
    assert reader.figure.locator("[aria-live=polite] output").count() >= 2
    pictures = reader.figure.locator("svg")
    assert pictures.count() == 1, "the static picture has made way"
    assert len(pictures.get_attribute("aria-label")) > 100


def test_nothing_is_asked_of_the_network_and_nothing_complains(visit: Visit) -> None:
    assert visit.outside == []
    assert visit.complaints == []


def test_all_ids_of_the_live_page_are_unique(visit: Visit) -> None:
    ids = visit.page.evaluate('[...document.querySelectorAll("[id]")].map((element) => element.id)')
    assert len(ids) == len(set(ids))


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb(colour).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = luminance(getComputedStyle(document.documentElement).backgroundColor);
  return [...document.querySelectorAll(".explorer svg text")].map((text) => {
    const pair = [luminance(getComputedStyle(text).fill), ground];
    return [text.textContent, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
  });
}"""


def test_every_word_of_a_picture_stands_out_in_light_and_in_dark(visit: Visit) -> None:
    """The page changes its theme while the explorers are alive: 4.5 to 1 (WCAG 2.2, 1.4.3) before and after."""
    for theme in ("dark", "light"):
        visit.page.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
        words = visit.page.evaluate(CONTRASTS)
        assert len(words) > 50
        assert [word for word in words if word[1] < 4.5] == []


def test_a_page_that_changes_its_width_redraws_the_pictures_and_keeps_the_sliders(visit: Visit) -> None:
    reader = Reader(visit, "jensen_gap")
    a = reader.press("a", "PageUp")
    reader.figure.get_by_role("radio").last.check()
    gap = reader.text("gap_text")
    assert gap != "?"
    widths = []
    for width in (390, 1280):
        visit.page.set_viewport_size({"width": width, "height": 900})
        visit.page.wait_for_function(
            "(most) => Math.abs(document.querySelector('#jensen_gap svg').clientWidth - most) < 40",
            arg=min(640, width - 32),
        )
        widths.append(visit.page.evaluate("document.documentElement.scrollWidth"))
    assert widths == [390, 1280]
    assert float(reader.slider("a").input_value()) == a
    assert reader.text("gap_text") == gap


def test_on_a_telephone_nothing_sticks_out_and_a_finger_finds_every_control(browser: Browser, page: Path) -> None:
    with Visit(browser, page, width=390) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        boxes = visit.page.evaluate("""() => [...document.querySelectorAll(".explorer :is(svg, input, label, button)")]
          .map((part) => {
            const { left, right, height } = part.getBoundingClientRect();
            return [part.type ?? part.tagName, left, right, height];
          })""")
        assert len(boxes) > 30
        assert [box for box in boxes if box[1] < 0 or box[2] > 390] == []
        assert [box for box in boxes if box[0] in ("range", "button") and box[3] < 24] == [], "WCAG 2.2, 2.5.8"
        inside = visit.page.evaluate("""() => [...document.querySelectorAll(".explorer svg")].map((svg) => {
          const edges = svg.getBoundingClientRect();
          const words = [...svg.querySelectorAll("text")].filter((text) => getComputedStyle(text).opacity > 0);
          return words.filter((word) => word.textContent && word.getBoundingClientRect().right > edges.right + 1)
            .map((word) => word.textContent);
        })""")
        assert inside == [[]] * len(NAMES)


def test_without_javascript_the_picture_at_its_first_values_is_there(browser: Browser, page: Path) -> None:
    with Visit(browser, page, java_script_enabled=False) as visit:
        for name in NAMES:
            figure = visit.page.locator(f"#{name}")
            assert figure.locator(".explorer-static svg").is_visible()
            assert figure.locator("noscript").inner_text() == WITHOUT_SCRIPT
            assert figure.locator("input").count() == 0
        assert "gap: ? nats" in visit.page.locator("#jensen_gap svg").text_content()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_without_the_bundle_the_static_picture_stays(browser: Browser, page: Path, tmp_path: Path) -> None:
    for path in page.parent.iterdir():
        if not path.name.startswith("vega"):
            shutil.copy(path, tmp_path)
    alone = browser.new_page()
    alone.goto((tmp_path / "page.html").as_uri())
    assert alone.locator(".explorer-static svg").count() == len(NAMES)
    assert alone.locator(".explorer-static svg").first.is_visible()
    alone.close()


def test_on_paper_a_picture_has_its_values_and_no_controls(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    shown = visit.page.evaluate("""() => {
      const seen = (selector) => [...document.querySelectorAll(selector)].map((part) => part.checkVisibility());
      return [seen(".explorer svg"), seen(".explorer li:not(.explorer-spoken)"), seen(".explorer :is(input, button)")];
    }""")
    pictures, values, controls = shown
    assert pictures == [True] * len(NAMES)
    assert len(values) > len(NAMES)
    assert all(values)
    assert not any(controls)
    visit.page.emulate_media(media="screen")


@of(*NAMES)
def test_a_button_brings_the_first_values_back(reader: Reader) -> None:
    reset = reader.figure.get_by_role("button", name="Reset")
    reset.press("Enter")
    first = {slider.get_attribute("name"): slider.input_value() for slider in reader.figure.get_by_role("slider").all()}
    shown = reader.figure.locator(".explorer-values").inner_text()
    for name in first:
        reader.press(name, "ArrowRight", "PageUp")
    moved = {name: reader.slider(name).input_value() for name in first}
    assert all(moved[name] != first[name] for name in first)
    reset.press("Enter")
    reader.page.wait_for_function(SETTLED)
    assert {name: reader.slider(name).input_value() for name in first} == first
    assert reader.figure.locator(".explorer-values").inner_text() == shown


def test_the_book_loads_the_bundle_once_and_only_for_pages_with_an_explorer(build: Path) -> None:
    bundles = list((build / "html" / "_static").glob("vega-*.js"))
    assert len(bundles) == 1
    with_explorers = 0
    for path in pages(build):
        text = path.read_text(encoding="utf-8")
        live = 'class="explorer"' in text
        assert (bundles[0].name in text) == live, path.name
        with_explorers += live
    assert with_explorers >= 2
