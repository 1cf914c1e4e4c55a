"""Pictures: colours that read on both pages, SVG that can stand in any page, artists that hold the data."""

import io
import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from base64 import b64decode

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Polygon, Rectangle
from PIL import Image
from torch.distributions import Normal

from lvmlib import plots
from lvmlib.plots.palette import TEXT_SHARE

WHITE, DARK = "#ffffff", "#14181e"
LIGHT_TEXT, DARK_TEXT = "#ced6dd", "#323232"


def agree(drawn, expected, **tolerance):
    """Whether the artists hold these numbers, wherever the numbers were."""
    return np.allclose(drawn, expected.cpu() if isinstance(expected, torch.Tensor) else expected, **tolerance)


def channels(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """WCAG 2.2 contrast ratio of two sRGB triples."""
    lighter, darker = sorted((linear(rgb) @ [0.2126, 0.7152, 0.0722] for rgb in (first, second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lab(light):
    """CIE L*a*b* (D65) of linear RGB."""
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    t = matrix @ light / [0.95047, 1, 1.08883]
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira and Fernandes (2009), severity 1.
EYES = {
    "ordinary": (np.eye(3), 22),
    "deuteranopia": (
        np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
        15,
    ),
    "protanopia": (
        np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        15,
    ),
}


@pytest.mark.parametrize("page", [WHITE, DARK])
@pytest.mark.parametrize("name", plots.PALETTE)
def test_every_colour_has_a_contrast_of_three_on_white_and_on_dark(name, page):
    assert contrast(channels(plots.PALETTE[name]), channels(page)) >= 3


@pytest.mark.parametrize(("page", "text"), [(WHITE, DARK_TEXT), (DARK, LIGHT_TEXT)])
@pytest.mark.parametrize("name", plots.PALETTE)
def test_every_coloured_name_has_the_contrast_of_text(name, page, text):
    share = TEXT_SHARE / 100
    mixed = share * channels(plots.PALETTE[name]) + (1 - share) * channels(text)
    assert contrast(mixed, channels(page)) >= 4.5


@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_are_told_apart_by(eye):
    matrix, least = EYES[eye]
    seen = {name: lab(np.clip(matrix @ linear(channels(colour)), 0, 1)) for name, colour in plots.PALETTE.items()}
    distances = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in itertools.combinations(seen, 2)}
    closest = min(distances, key=distances.get)
    assert distances[closest] >= least, closest


@pytest.fixture(autouse=True)
def _compare_on_the_cpu(_work_on_the_device):
    with torch.device("cpu"):
        yield


GRID = torch.linspace(-4, 4, 101)
PRIOR = Normal(0.0, 1.0).log_prob(GRID).exp()
POSTERIOR = Normal(1.0, 0.5).log_prob(GRID).exp()
Z, X = torch.linspace(-5, 5, 81), torch.linspace(-6, 6, 91)
JOINT = (Normal(0.0, 1.0).log_prob(Z)[:, None] + Normal(Z[:, None], 0.8).log_prob(X)).exp()


def normal(*shape):
    return torch.tensor(np.random.default_rng(0).standard_normal(shape))


def draw_densities(ax):
    plots.densities(ax, GRID, {"prior": PRIOR, "posterior": POSTERIOR})


def draw_everything():
    """One figure of each kind, by name."""
    log_w = normal(5, 700)
    drawings = {
        "densities": draw_densities,
        "probabilities": lambda ax: plots.probabilities(
            ax, {"prior": [0.5, 0.5], "posterior": [0.2, 0.8]}, names=["a", "b"]
        ),
        "joint_density": lambda ax: plots.joint_density(ax, Z, X, JOINT, observed=1.0),
        "scatter": lambda ax: plots.scatter(ax, normal(600, 2)),
        "contours": lambda ax: plots.contours(ax, Z, X, JOINT, label="$p$"),
        "weights": lambda ax: plots.weights(ax, log_w[0]),
        "running_estimate": lambda ax: plots.running_estimate(ax, log_w, truth=0.5),
        "error_bars": lambda ax: plots.error_bars(ax, ["a", "b"], [1.0, 2.0], [0.1, 0.2], truth=1.5),
        "evidence_bar": lambda ax: plots.evidence_bar(ax, -3.0, [-4.0, -3.0], labels=["a", "b"]),
        "images": lambda ax: plots.images(ax, torch.eye(8)[None].repeat(3, 1, 1), titles=["a", "b", "c"]),
        "images_signed": lambda ax: plots.images(ax, torch.eye(8)[None] - 0.5, signed=True),
    }
    figures = {}
    for name, draw in drawings.items():
        figures[name], ax = plots.subplots()
        draw(ax)
    pytest.importorskip("daft")
    return {**figures, "graphical_model": plots.graphical_model(phi=True)}


@pytest.fixture(scope="module")
def gallery():
    return {name: plots.show(figure, alt=name)._repr_html_() for name, figure in draw_everything().items()}


def ids(svg):
    return set(re.findall(r'\bid="([^"]+)"', svg))


@pytest.mark.thorough
def test_the_same_figures_give_the_same_bytes(gallery):
    again = {name: plots.show(figure, alt=name)._repr_html_() for name, figure in draw_everything().items()}
    assert again == gallery


@pytest.mark.thorough
def test_another_process_gives_the_same_bytes():
    script = (
        "import torch; from lvmlib import plots\n"
        "figure, ax = plots.subplots()\n"
        "plots.densities(ax, torch.arange(9.0), {'prior': torch.arange(9.0), 'q': torch.arange(9.0) ** 2})\n"
        "print(plots.show(figure, alt='a')._repr_html_())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.thorough
def test_no_two_pictures_share_an_identifier(gallery):
    for first, second in itertools.combinations(gallery.values(), 2):
        assert not ids(first) & ids(second)
    assert sum(map(len, map(ids, gallery.values()))) > 100


def test_the_same_drawing_under_another_text_has_other_identifiers():
    pictures = []
    for alt in ("one", "two"):
        figure, ax = plots.subplots()
        draw_densities(ax)
        pictures.append(plots.show(figure, alt=alt)._repr_html_())
    assert ids(pictures[0])
    assert not ids(pictures[0]) & ids(pictures[1])


def test_every_reference_is_defined_once_in_its_own_picture(gallery):
    for name, svg in gallery.items():
        defined = re.findall(r'\bid="([^"]+)"', svg)
        assert len(defined) == len(set(defined)), name
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) == set(defined), name


def test_black_is_nowhere_and_the_page_colour_everywhere(gallery):
    for name, svg in gallery.items():
        assert "currentColor" in svg, name
        assert not re.search(r"#000000|#ffffff|\bblack\b|\bwhite\b", svg), name


def test_no_style_sheet_script_or_outside_address_reaches_the_page(gallery):
    for name, svg in gallery.items():
        assert not re.search(r"<style|<script|<metadata|<!--|<\?xml|<!DOCTYPE", svg), name
        assert set(re.findall(r"https?://[^\"' ]+", svg)) == {"http://www.w3.org/2000/svg"}, name


def test_a_picture_is_well_formed_labelled_and_never_wider_than_its_page(gallery):
    for name, svg in gallery.items():
        root = ET.fromstring(svg)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"] == name
        assert root[0].tag.endswith("title")
        assert root[0].text == name
        assert "width" not in root.attrib
        limit = re.fullmatch(r"display:block;width:100%;max-width:(\d+)px;height:auto", root.attrib["style"])
        assert 0 < int(limit[1]) <= 7.2 * 96
        assert "\n" not in svg


def test_words_are_drawn_as_paths(gallery):
    assert not any("<text" in svg for svg in gallery.values())


def test_pictures_stay_light(gallery):
    for name, svg in gallery.items():
        assert len(svg) < 150_000, name


def test_an_alternative_text_is_escaped_and_shown_in_short():
    figure, _ = plots.subplots()
    alt = 'p < q & "r"\n  over two lines ' + "and more " * 20
    picture = plots.show(figure, alt=alt)
    root = ET.fromstring(picture._repr_html_())
    assert root.attrib["aria-label"] == " ".join(alt.split())
    assert repr(picture).startswith('Picture(\'p < q & "r" over two lines and more')
    assert len(repr(picture)) < 100


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_picture_without_an_alternative_text_is_refused(alt):
    figure, _ = plots.subplots()
    with pytest.raises(ValueError, match=r"alt is .*say what to see"):
        plots.show(figure, alt=alt)
    with pytest.raises(TypeError):
        plots.show(figure)


def test_what_is_not_a_figure_is_refused():
    with pytest.raises(TypeError):
        plots.show("figure", alt="a")


def test_showing_closes_the_figure_in_pyplot():
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], "k")
    ax.legend(["line"])
    picture = plots.show(ax, alt="a line")
    assert not plt.fignum_exists(figure.number)
    assert "#ffffff" not in picture._repr_html_()


@pytest.fixture(scope="module")
def bundles():
    return {name: plots.show(figure, alt=name)._repr_mimebundle_() for name, figure in draw_everything().items()}


def test_a_notebook_gets_svg_a_small_png_and_words(bundles, gallery):
    for name, (data, metadata) in bundles.items():
        assert list(data) == ["text/html", "image/png", "text/plain"]
        assert data["text/html"] == gallery[name]
        assert data["text/plain"] == f"Picture({name!r})"
        assert len(data["image/png"]) < 60_000, name
        assert list(metadata) == ["image/png"]


def test_a_png_is_the_figure_on_white_at_the_size_of_the_svg(bundles):
    for name, (data, metadata) in bundles.items():
        with Image.open(io.BytesIO(b64decode(data["image/png"]))) as image:
            size = metadata["image/png"]
            assert image.size == pytest.approx((1.5 * size["width"], 1.5 * size["height"]), abs=1)
            limit = int(re.search(r"max-width:(\d+)px", data["text/html"])[1])
            assert size["width"] == pytest.approx(limit, abs=2)
            seen = np.asarray(image.convert("RGBA")) / 255
            assert not image.info.keys() & {"Software", "Creation Time", "date:create"}
        assert (seen[..., 3] == 1).all(), name
        assert (seen[[0, 0, -1, -1], [0, -1, 0, -1]] == 1).all(), "a corner is white"
        if "images" not in name:
            assert seen[..., :3].min() < 0.1, "words and axes are dark"


@pytest.mark.thorough
def test_the_same_figures_give_the_same_png(bundles):
    for name, figure in draw_everything().items():
        assert plots.show(figure, alt=name)._repr_mimebundle_()[0]["image/png"] == bundles[name][0]["image/png"]


def test_a_saved_picture_follows_the_readers_mode(tmp_path):
    figure, ax = plots.subplots()
    draw_densities(ax)
    plots.show(figure, alt="two curves").save(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert "prefers-color-scheme:dark" in text
    with pytest.raises(ValueError, match=r"a\.png.*\.svg"):
        plots.show(plots.subplots()[0], alt="a").save(tmp_path / "a.png")


@pytest.mark.thorough
def test_settings_and_backend_of_matplotlib_stay_as_they_were():
    with matplotlib.rc_context({"font.size": 17.0, "axes.spines.top": True}):
        before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
        for figure in draw_everything().values():
            plots.show(figure, alt="a")
        assert dict(matplotlib.rcParams) == before
        assert matplotlib.get_backend() == backend


def test_a_readers_own_settings_do_not_change_a_picture():
    def picture():
        figure, ax = plots.subplots()
        draw_densities(ax)
        return plots.show(figure, alt="a")._repr_html_()

    with matplotlib.style.context(["dark_background", {"font.size": 20}]):
        other = picture()
    assert other == picture()


def test_importing_leaves_pyplot_settings_and_optional_packages_alone():
    script = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "import lvmlib.plots, lvmlib.data\n"
        "assert not {'matplotlib.pyplot', 'daft', 'sklearn'} & set(sys.modules)\n"
        "assert all(matplotlib.rcParams[key] == before[key] for key in before if key != 'backend')\n"
        "assert dict.get(matplotlib.rcParams, 'backend') is dict.get(before, 'backend')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_curves_hold_the_values_they_were_given():
    figure, ax = plots.subplots()
    assert plots.densities(ax, GRID, {"prior": PRIOR, "q: mine": POSTERIOR.cpu().numpy()}) is ax
    for line, values, role in zip(ax.lines, (PRIOR, POSTERIOR), ("prior", "q"), strict=True):
        assert agree(line.get_xdata(), GRID)
        assert agree(line.get_ydata(), values)
        assert line.get_color() == plots.PALETTE[role]
    assert {text.get_text() for text in ax.texts} == {"prior $p(z)$", "mine"}
    assert figure.axes == [ax]


def test_labels_of_curves_meet_no_curve_and_no_other_label():
    figure, ax = plots.subplots()
    plots.densities(ax, GRID, {"prior": PRIOR, "posterior": POSTERIOR, "q": 0.9 * POSTERIOR})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for line in ax.lines:
        vertices = ax.transData.transform(np.column_stack(line.get_data()))
        fine = np.concatenate([np.linspace(a, b, 20) for a, b in itertools.pairwise(vertices)])
        assert not any(box.count_contains(fine) for box in boxes)


def test_labels_without_room_become_a_legend():
    _, ax = plots.subplots(size=(1.4, 1.2))
    plots.densities(ax, GRID, {"prior: a very long name": PRIOR, "posterior: another long one": POSTERIOR})
    assert not ax.texts
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "a very long name",
        "another long one",
    ]


def test_curves_of_one_colour_differ_in_their_dashes():
    _, ax = plots.subplots()
    plots.densities(ax, GRID, {"q: a": PRIOR, "q: b": POSTERIOR}, fill=False)
    assert ax.lines[0].get_linestyle() == "-"
    assert ax.lines[1].get_linestyle() != "-"
    assert not ax.collections


def test_neither_gradients_nor_devices_are_an_obstacle(device):
    _, ax = plots.subplots()
    plots.densities(ax, GRID.to(device), {"prior": PRIOR.clone().to(device).requires_grad_()})
    assert agree(ax.lines[0].get_ydata(), PRIOR)


def test_bars_have_the_heights_of_the_probabilities():
    _, ax = plots.subplots()
    plots.probabilities(ax, {"prior": [0.5, 0.3, 0.2], "posterior": torch.tensor([0.1, 0.2, 0.7])})
    heights = [[bar.get_height() for bar in bars] for bars in ax.containers]
    assert agree(heights, [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def test_the_sides_of_a_joint_density_are_its_marginals_and_its_cut():
    _, ax = plots.subplots()
    plots.joint_density(ax, Z, X, JOINT, observed=1.5)
    above, beside = ax.child_axes
    prior, posterior = above.lines
    variance = 0.64 / 1.64
    expected = Normal(1.5 / 1.64, variance**0.5).log_prob(Z).exp()
    assert agree(prior.get_ydata(), Normal(0.0, 1.0).log_prob(Z).exp(), atol=1e-4)
    assert agree(posterior.get_ydata(), expected, atol=2e-3)
    assert agree(beside.lines[0].get_xdata(), Normal(0.0, 1.64**0.5).log_prob(X).exp(), atol=1e-4)
    (mesh,) = ax.collections
    assert agree(mesh.get_array(), JOINT.T)
    assert mesh.get_cmap()(0.0)[3] == 0


def test_scattered_points_are_the_points():
    points = normal(30, 2)
    _, ax = plots.subplots()
    plots.scatter(ax, points, role="q")
    assert agree(ax.collections[0].get_offsets(), points)
    assert not ax.collections[0].get_rasterized()


def test_a_contour_of_mass_m_encloses_the_fraction_m_of_a_gaussian():
    grid = torch.linspace(-5, 5, 401)
    density = torch.exp(-(grid[:, None] ** 2 + grid**2) / 2)
    _, ax = plots.subplots()
    plots.contours(ax, grid, grid, density, mass=(0.5, 0.9), fill=False)
    (outline,) = ax.collections
    radii = [np.hypot(*path.vertices.T).mean() for path in outline.get_paths()]
    assert agree(radii, np.sqrt(-2 * np.log([0.1, 0.5])), atol=0.01)


def test_contours_of_an_asymmetric_density_keep_the_axes_in_order():
    density = torch.exp(-((Z[:, None] - 2) ** 2) - (X + 3) ** 2)
    _, ax = plots.subplots()
    plots.contours(ax, Z, X, density, mass=(0.5,), fill=False)
    centre = ax.collections[0].get_paths()[0].vertices.mean(0)
    assert agree(centre, [2, -3], atol=0.1)


def test_weights_are_shares_from_the_largest_and_the_title_counts_them():
    log_w = torch.tensor([0.0, float("-inf"), 3.0, 1.0]) - 1e4
    _, ax = plots.subplots()
    plots.weights(ax, log_w)
    share = np.sort(torch.softmax(log_w.double(), 0).cpu().numpy())[::-1]
    drawn = ax.patches[0].get_data()
    assert agree(drawn.values, share)
    assert agree(drawn.edges, [0.5, 1.5, 2.5, 3.5, 4.5])
    assert f"ESS {1 / (share**2).sum():.1f} of 4" in ax.get_title()
    assert f"{100 * share[0]:.0f} %" in ax.get_title()


def test_of_very_many_weights_some_ranks_are_drawn_at_their_place():
    log_w = normal(20_000)
    _, ax = plots.subplots()
    plots.weights(ax, log_w)
    values, edges, _ = ax.patches[0].get_data()
    share = log_w.softmax(0).sort(descending=True).values.cpu().numpy()
    assert len(values) <= 600
    assert agree(values, share[(edges[:-1] - 0.5).astype(int)])
    assert edges[-1] == 20_000.5


def test_a_running_estimate_is_the_log_mean_of_the_first_weights():
    log_w = normal(3, 900) - 1e4
    log_w[0, :2] = float("-inf")
    _, ax = plots.subplots()
    plots.running_estimate(ax, log_w, truth=-1e4 + 0.5)
    *lines, truth = ax.lines
    assert len(lines) == 3
    for line, row in zip(lines, log_w, strict=True):
        sizes = line.get_xdata()
        assert sizes[0] == 1
        assert sizes[-1] == 900
        for size, drawn in zip(sizes, line.get_ydata(), strict=True):
            direct = float(row[:size].logsumexp(0)) - np.log(size)
            assert np.isnan(drawn) if np.isinf(direct) else abs(drawn - direct) < 1e-9
    assert set(truth.get_ydata()) == {-1e4 + 0.5}


def test_error_bars_span_the_95_percent_interval():
    _, ax = plots.subplots()
    plots.error_bars(ax, ["a", "b"], [1.0, 2.0], [0.1, 0.5])
    ((points, _, (bars,)),) = ax.containers
    assert agree(points.get_xdata(), [1, 2])
    spans = [segment[:, 0] for segment in bars.get_segments()]
    assert agree(spans, [[1 - 0.196, 1 + 0.196], [2 - 0.98, 2 + 0.98]])


@pytest.mark.parametrize("log_evidence", [-120.5, -0.3, 2.0])
def test_the_kl_part_of_every_bar_ends_at_the_evidence_and_has_the_length_of_the_kl(log_evidence):
    kl = [1.5, 0.25, 0.0]
    _, ax = plots.subplots()
    elbo = [log_evidence - gap for gap in kl]
    plots.evidence_bar(ax, log_evidence, torch.tensor(elbo), kl, labels=["a", "b", "c"])
    uppers = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    lowers = [patch for patch in ax.patches if isinstance(patch, Polygon)]
    for upper, lower, gap, bound in zip(uppers, lowers, kl, elbo, strict=True):
        assert upper.get_height() == pytest.approx(gap)
        assert upper.get_y() + upper.get_height() == pytest.approx(log_evidence)
        top, bottom = lower.get_xy()[:, 1].max(), lower.get_xy()[:, 1].min()
        assert top == pytest.approx(bound)
        assert bottom < min(elbo)
        assert ax.get_ylim()[0] <= bottom
        assert ax.get_ylim()[1] > log_evidence
    assert set(ax.lines[0].get_ydata()) == {log_evidence}


def test_the_kl_is_the_difference_when_it_is_left_out():
    _, ax = plots.subplots()
    plots.evidence_bar(ax, torch.tensor(-2.0), -3.5)
    (upper,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    assert upper.get_height() == pytest.approx(1.5)
    assert {"ELBO\n−3.50", "KL\n1.50"} < {text.get_text() for text in ax.texts}


def test_bars_without_any_kl_are_drawn_on_a_scale_of_nats():
    _, ax = plots.subplots()
    plots.evidence_bar(ax, -1.5, -1.5)
    bottom, top = ax.get_ylim()
    assert top - bottom > 1


def test_images_are_ink_whose_strength_is_the_pixel():
    pixels = 0.5 + 0.4 * normal(7, 64)
    _, ax = plots.subplots()
    plots.images(ax, pixels, ncols=4)
    assert len(ax.images) == 7
    for shown, row in zip(ax.images, pixels, strict=True):
        inked = shown.get_array()
        assert agree(inked[..., 3], row.reshape(8, 8).clamp(0, 1))
        assert (inked[..., :3] == 0).all()
    lefts = [shown.get_extent()[0] for shown in ax.images]
    assert lefts[0] == lefts[4]
    assert len(set(lefts)) == 4
    assert ax.images[4].get_extent()[3] < ax.images[0].get_extent()[2]


def test_signed_images_have_one_colour_a_sign():
    _, ax = plots.subplots()
    plots.images(ax, torch.tensor([[[-2.0, 0.0], [1.0, 2.0]]]), signed=True)
    inked = ax.images[0].get_array()
    assert agree(inked[..., 3], [[1, 0], [0.5, 1]])
    assert agree(inked[0, 0, :3], channels(plots.PALETTE["prior"]))
    assert agree(inked[1, 1, :3], channels(plots.PALETTE["likelihood"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, {r"$z_n$", r"$x_n$", r"$\theta$", "$N$"}),
        ({"phi": True}, {r"$z_n$", r"$x_n$", r"$\theta$", r"$\phi$", "$N$"}),
        ({"theta": False, "plate": None, "latent": "u", "observed": "y"}, {"$u$", "$y$"}),
    ],
)
def test_a_graphical_model_names_what_it_holds(options, words):
    pytest.importorskip("daft")
    before = plt.get_fignums()
    figure = plots.graphical_model(**options)
    assert {text.get_text() for text in figure.axes[0].texts} == words
    assert plt.get_fignums() == before


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: plots.subplots(0), r"nrows is 0"),
        (lambda ax: plots.subplots(size=(9, 3)), r"size is \(9, 3\).*7"),
        (lambda ax: plots.densities(ax, GRID, {}), r"curves is empty"),
        (lambda ax: plots.densities(ax, GRID, {"guide": PRIOR}), r"'guide'.*prior.*colon"),
        (lambda ax: plots.densities(ax, GRID, {"q": PRIOR[1:]}), r"curves\['q'\] has shape \(100,\).*\(101,\)"),
        (lambda ax: plots.densities(ax, GRID.flip(0), {"q": PRIOR}), r"grid runs from 4 to -4.*increasing"),
        (lambda ax: plots.densities(ax, GRID, {"q": PRIOR * NAN}), r"holds nan at index \(0,\)"),
        (lambda ax: plots.probabilities(ax, {"q": [0.5, 0.5], "prior": [1.0]}), r"shape \(1,\).*\(2,\)"),
        (lambda ax: plots.probabilities(ax, {"q": [-0.1, 1.1]}), r"holds -0\.1.*zero or more"),
        (lambda ax: plots.probabilities(ax, {"q": [1.0]}, names=["a", "b"]), r"names has 2 entries"),
        (lambda ax: plots.joint_density(ax, Z, X, JOINT.T), r"shape \(91, 81\).*\(81, 91\).*transpose"),
        (lambda ax: plots.joint_density(ax, Z, X, JOINT - 1), r"exponentiate"),
        (lambda ax: plots.joint_density(ax, Z, X, JOINT, observed=9.0), r"observed is 9\.0.*\[-6, 6\]"),
        (lambda ax: plots.scatter(ax, torch.zeros(4, 3)), r"points has shape \(4, 3\)"),
        (lambda ax: plots.scatter(ax, torch.zeros(4, 2), role="x"), r"role is 'x'"),
        (lambda ax: plots.contours(ax, Z, X, JOINT, mass=(0.5, 1.0)), r"mass is \(0\.5, 1\.0\)"),
        (lambda ax: plots.contours(ax, Z, X, 0 * JOINT), r"between 0 and 0"),
        (lambda ax: plots.weights(ax, torch.zeros(3, 2)), r"log_weights has shape \(3, 2\).*1 dim"),
        (lambda ax: plots.weights(ax, [0.0, NAN]), r"holds nan at index \(1,\)"),
        (lambda ax: plots.weights(ax, [0.0, INF]), r"holds inf at index \(1,\)"),
        (lambda ax: plots.weights(ax, [-INF, -INF]), r"all -inf"),
        (lambda ax: plots.weights(ax, []), r"shape \(0,\)"),
        (lambda ax: plots.running_estimate(ax, torch.zeros(3)), r"has shape \(3,\).*2 dim"),
        (lambda ax: plots.running_estimate(ax, torch.zeros(3, 4), truth=NAN), r"truth holds nan"),
        (lambda ax: plots.error_bars(ax, ["a"], [1.0], [-1.0]), r"std_errors holds -1"),
        (lambda ax: plots.error_bars(ax, ["a"], [1.0, 2.0], [1.0]), r"estimates has shape \(2,\)"),
        (lambda ax: plots.evidence_bar(ax, -3.0, -2.0), r"elbo holds -2.*log_evidence -3"),
        (lambda ax: plots.evidence_bar(ax, -3.0, -4.0, 0.5), r"misses log_evidence \(-3\) by 0\.5"),
        (lambda ax: plots.evidence_bar(ax, -3.0, -2.0, -1.0), r"kl holds -1"),
        (lambda ax: plots.evidence_bar(ax, -3.0, [-4.0, -5.0]), r"elbo has shape \(2,\) and labels 1"),
        (lambda ax: plots.images(ax, torch.zeros(2, 63)), r"pixels has shape \(2, 63\).*square"),
        (lambda ax: plots.images(ax, torch.zeros(64)), r"pixels\[None\]"),
        (lambda ax: plots.images(ax, torch.zeros(2, 64), titles=["a"]), r"titles has 1 entries; expected 2"),
        (lambda ax: plots.images(ax, torch.zeros(2, 64), ncols=0), r"ncols is 0"),
    ],
)
def test_bad_input_is_refused_with_name_value_and_mend(call, message):
    _, ax = plots.subplots()
    with pytest.raises(ValueError, match=message):
        call(ax)


def test_input_that_is_not_numeric_is_a_type_error():
    _, ax = plots.subplots()
    with pytest.raises(TypeError, match="real numbers"):
        plots.weights(ax, ["a", "b"])


def test_a_graphical_model_without_daft_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "daft", None)
    with pytest.raises(ImportError, match="pip install daft-pgm"):
        plots.graphical_model()


def test_words_written_with_plain_matplotlib_have_the_face_of_the_book():
    figure, ax = plots.subplots()
    plain, chosen = ax.text(0, 0, "plain"), ax.text(0, 1, "chosen", family="monospace")
    plots.show(figure, alt="two words")
    assert plain.get_fontfamily() == ax.xaxis.label.get_fontfamily()
    assert chosen.get_fontfamily() == ["monospace"]
