"""What sentences of chapters 1 to 4 state beside the theorems, each with its number."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, StudentT
from zoo import member

from lvmlib import (
    GaussianMixture,
    LatentVariableModel,
    LinearGaussian,
    QuadratureModel,
    WeightSummary,
    chi_square,
    data,
    expectation_maximization,
    laplace_approximation,
    log_weights,
    prior_monte_carlo,
)

TRAIN, TEST = (data.digits(split, dtype=torch.float64).images for split in ("train", "test"))


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item()


# Chapter 1


def test_a_ppca_gains_from_correlation_and_not_from_its_single_noise_variance():
    generator = torch.Generator().manual_seed(0)
    train, test = (16 * images + torch.rand(images.shape, generator=generator) for images in (TRAIN, TEST))
    ppca = LinearGaussian.fit(train, latent_dim=20)
    deviation = (ppca.weight.square().sum(1) + ppca.noise_variance).sqrt()
    twin = Independent(Normal(ppca.bias, deviation), 1)
    independent = Independent(Normal(train.mean(0), train.std(0)), 1)
    score = ppca.log_evidence(test)
    gain, error = mean_and_error(score - twin.log_prob(test))
    assert gain > 10 + 3 * error
    lead, error = mean_and_error(score - independent.log_prob(test))
    assert lead < 2 * error


def test_the_split_is_every_sixth_image():
    every = data.digits("all", dtype=torch.float64).images
    is_test = torch.arange(len(every)) % 6 == 5
    assert torch.equal(every[is_test], TEST)
    assert torch.equal(every[~is_test], TRAIN)


def test_rain_is_rarer_than_umbrellas_because_dry_days_bring_more_than_rainy_days_lack():
    if_dry = 5 / 8 * 0.05 + 3 / 8 * 0.30
    rain = (0.4 - if_dry) / (0.9 - if_dry)
    dry_umbrellas, missing_umbrellas = 100 * (1 - rain) * if_dry, 100 * rain * 0.1
    assert dry_umbrellas == pytest.approx(9.5, abs=0.05)
    assert missing_umbrellas == pytest.approx(3.4, abs=0.05)
    assert 100 * rain == pytest.approx(40 - dry_umbrellas + missing_umbrellas)
    # Without the umbrellas of dry days it would rain on more than 40 days in 100.
    assert 0.4 / 0.9 > 0.4


def test_most_of_the_lead_of_the_mixture_is_due_to_the_dimension_of_the_ppca():
    generator = torch.Generator().manual_seed(0)
    train, test = (16 * images + torch.rand(images.shape, generator=generator) for images in (TRAIN, TEST))
    ppca = LinearGaussian.fit(train, latent_dim=20)
    score = ppca.log_evidence(test)
    large = LinearGaussian.fit(train, latent_dim=60).log_evidence(test)
    per_pixel = LinearGaussian(ppca.weight, ppca.bias, ppca.noise_variance.expand(64))
    per_pixel = expectation_maximization(per_pixel, train, max_iterations=40, tolerance=0.01).model
    chosen = torch.randperm(len(train), generator=generator)[:10]
    wide = 10 * torch.eye(64).to(train).expand(10, 64, 64)
    start = GaussianMixture(torch.full((10,), 0.1).to(train), train[chosen], wide)
    mixture = expectation_maximization(start, train, max_iterations=40, tolerance=0.01, regularization=0.5).model
    for rival in (large, per_pixel.log_evidence(test)):
        gain, error = mean_and_error(rival - score)
        assert gain == pytest.approx(20, abs=2 + 2 * error)
        lead, error = mean_and_error(mixture.log_evidence(test) - rival)
        assert 4 * error < lead < 12


def cells(split: int = 0) -> tuple[Tensor, Tensor]:
    """The older and the new samples of the running case: thirty readings each, on standardised logarithms."""
    raw = torch.tensor(load_breast_cancer().data)
    logs = (raw + 0.05 * raw.mean(0)).log()
    order = torch.randperm(569, generator=torch.Generator().manual_seed(split))
    old, new = order[:369], order[369:]
    readings = (logs - logs[old].mean(0)) / logs[old].std(0)
    return readings[old], readings[new]


def ten_factors(x: Tensor) -> LinearGaussian:
    ppca = LinearGaussian.fit(x, 10)
    start = LinearGaussian(ppca.weight, ppca.bias, ppca.noise_variance.expand(30))
    return expectation_maximization(start, x, max_iterations=100, tolerance=1e-3).model


def test_a_copied_reading_is_found_by_models_of_all_readings_together():
    known, arrived = cells()
    factors = ten_factors(known)
    ranges = Independent(Normal(known.mean(0), known.std(0)), 1)
    found = torch.zeros(2, 100).double()
    for seed in range(100):
        generator = torch.Generator().manual_seed(1000 + seed)
        hit = torch.randperm(200, generator=generator)[:20]
        which = torch.randint(30, (20,), generator=generator)
        faulty = arrived.clone()
        faulty[hit, which] = arrived[torch.randint(200, (20,), generator=generator), which]
        for row, score in enumerate((ranges.log_prob(faulty), factors.log_evidence(faulty))):
            found[row, seed] = torch.isin(score.argsort()[:20], hit).sum()
    (by_range, range_error), (by_factors, factor_error) = (mean_and_error(row) for row in found)
    assert by_range == pytest.approx(2, abs=5 * range_error)
    assert by_factors > 3 * by_range + 5 * (factor_error + 3 * range_error)


def three_groups(x: Tensor, first: int) -> GaussianMixture:
    wide = torch.eye(30).double().expand(3, 30, 30)
    start = GaussianMixture(torch.full((3,), 1 / 3).double(), x[first : first + 3], wide)
    return expectation_maximization(start, x, max_iterations=100, tolerance=1e-3, regularization=0.02).model


@pytest.mark.parametrize(("split", "first"), [(0, 0), (0, 3), (0, 6), (1, 0), (2, 0)])
def test_the_mixture_scores_lower_and_finds_no_fewer_faults(split, first):
    known, arrived = cells(split)
    factors, groups = ten_factors(known), three_groups(known, first)
    behind, error = mean_and_error(factors.log_evidence(arrived) - groups.log_evidence(arrived))
    assert behind > 2 * error
    leads = []
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        hit = torch.randperm(200, generator=generator)[:20]
        which = torch.randint(30, (20,), generator=generator)
        faulty = arrived.clone()
        faulty[hit, which] = arrived[torch.randint(200, (20,), generator=generator), which]
        by_factors, by_groups = (
            torch.isin(model.log_evidence(faulty).argsort()[:20], hit).double().sum() for model in (factors, groups)
        )
        leads.append(by_groups - by_factors)
    assert 0 < torch.stack(leads).mean() < 1


def test_the_alarm_rings_too_often_because_the_scores_spread_more_than_the_models_own():
    known, _ = cells()
    factors = ten_factors(known)
    own, _ = factors.sample(20_000, seed=0)
    score, own_score = factors.log_evidence(known), factors.log_evidence(own)
    share, error = mean_and_error((score < own_score.quantile(0.05)).double())
    assert share > 0.05 + 5 * error
    # On average the old samples score as the model's own do, so the fit is not what is wrong; their spread is.
    difference, error = mean_and_error(score)
    assert difference == pytest.approx(own_score.mean().item(), abs=2 * error)
    assert score.std() > 2 * own_score.std()


# Chapter 2


def test_the_completions_of_all_digits_spread_alike():
    ppca = LinearGaussian.fit(TRAIN, latent_dim=20)
    seen = LinearGaussian(ppca.weight[:32], ppca.bias[:32], ppca.noise_variance)
    covariances = seen.posterior(TEST[:, :32]).covariance_matrix
    torch.testing.assert_close(covariances, covariances[:1].expand_as(covariances), rtol=1e-9, atol=1e-12)


def dequantised_digits() -> tuple[tuple[Tensor, ...], Tensor]:
    """Eight sets of 150 images and 298 others, as the chapter makes them."""
    generator = torch.Generator().manual_seed(0)
    noisy = 16 * TRAIN + torch.rand(TRAIN.shape, generator=generator).double()
    return noisy[:1200].split(150), noisy[1200:]


def test_more_latent_dimensions_fit_the_training_images_better():
    for few in dequantised_digits()[0]:
        fits = [LinearGaussian.fit(few, dim).log_evidence(few).mean() for dim in range(2, 64, 4)]
        assert (torch.stack(fits).diff() > 0).all()


def test_few_images_pay_for_the_best_dimension_of_ppca():
    """Chapter 2: what eight fits to 150 digits give 298 others, with 18 and with 50 dimensions."""
    sets, validation = dequantised_digits()
    few, many = ([LinearGaussian.fit(one, dim) for one in sets] for dim in (18, 50))
    noise = torch.tensor([[fit.noise_variance.mean() for fit in fits] for fits in (few, many)]).mean(1)
    assert noise[0].item() == pytest.approx(2.2, abs=0.1)
    assert noise[1] < 0.07
    less, more = (torch.stack([fit.log_evidence(validation) for fit in fits]) for fits in (few, many))
    lead = more - less
    assert lead.mean().item() == pytest.approx(6, abs=0.5)
    assert lead.median().item() == pytest.approx(16, abs=0.5)
    blank = [(one <= 1).all(0) for one in sets]
    assert {min(map(int, map(sum, blank))), max(map(int, map(sum, blank)))} == {7, 11}
    gains = []
    for pixels, *fits in zip(blank, few, many, strict=True):
        fewer, all_of_them = (LinearGaussian(fit.weight[pixels], fit.bias[pixels], fit.noise_variance) for fit in fits)
        seen = validation[:, pixels]
        gains.append(all_of_them.log_evidence(seen) - fewer.log_evidence(seen))
    assert torch.stack(gains).median() > lead.median() / 2, "the larger part comes from the blank pixels"
    inked = torch.stack([(validation[:, pixels] > 1).any(1) for pixels in blank])
    assert inked.double().mean().item() == pytest.approx(0.02, abs=0.002)
    assert lead[inked].mean().item() == pytest.approx(-160, abs=8)
    assert (lead[inked] > 0).double().mean().item() == pytest.approx(0.53, abs=0.04), "about half lose nothing"
    worst = (inked & (lead < -2000)).nonzero()
    assert (len(worst), len(worst[:, 1].unique())) == (2, 1), "one image, with two of the sets"
    assert lead.mean(0).std() / math.sqrt(len(validation)) > lead.mean() / 2, "less than two errors over images"


def given_the_rest(model: LinearGaussian, x: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the missing readings of one sample, by way of z."""
    rest = torch.tensor([i for i in range(30) if i not in missing.tolist()])
    seen = LinearGaussian(model.weight[rest], model.bias[rest], model.noise_variance[rest]).posterior(x[rest])
    weight = model.weight[missing]
    variance = (weight @ seen.covariance_matrix @ weight.mT).diagonal() + model.noise_variance[missing]
    return weight @ seen.mean + model.bias[missing], variance


def test_the_gaps_are_filled_with_intervals_that_are_nearly_calibrated():
    known, arrived = cells()
    factors = ten_factors(known)
    gaps = torch.rand(200, 30, generator=torch.Generator().manual_seed(6)).argsort(1)[:, :10]
    covered, squares = [], []
    for x, missing in zip(arrived, gaps, strict=True):
        mean, variance = given_the_rest(factors, x, missing)
        covered.append(((x[missing] - mean).abs() < 1.96 * variance.sqrt()).double().mean())
        squares.append((x[missing] - mean).square().mean())
    share, error = mean_and_error(torch.stack(covered))
    assert 0.90 < share < 0.95 + 3 * error
    by_factors = torch.stack(squares)
    by_mean = arrived.gather(1, gaps).square().mean(1)
    gain, error = mean_and_error(by_mean - 4 * by_factors)
    assert gain > 3 * error, "the error is less than half"


@pytest.mark.thorough
def test_measuring_the_widest_interval_leaves_less_error_than_a_random_choice():
    known, arrived = cells()
    factors = ten_factors(known)
    generator = torch.Generator().manual_seed(7)
    gaps = torch.rand(200, 30, generator=generator).argsort(1)[:, :10]
    left = torch.zeros(2, 200).double()
    for n, (x, missing) in enumerate(zip(arrived, gaps, strict=True)):
        for row in (0, 1):
            remaining = missing
            for _ in range(4):
                _, variance = given_the_rest(factors, x, remaining)
                at_random = int(torch.randint(len(remaining), (1,), generator=generator))
                drop = int(variance.argmax()) if row == 0 else at_random
                remaining = torch.cat([remaining[:drop], remaining[drop + 1 :]])
            mean, _ = given_the_rest(factors, x, remaining)
            left[row, n] = (x[remaining] - mean).square().sum()
    gain, error = mean_and_error(left[1] - 2 * left[0])
    assert gain > 2 * error, "half of what a random choice leaves, or less"


def test_the_bent_model_has_two_bumps_above_the_bottom_of_the_bowl():
    z = torch.linspace(-8, 8, 32_001, dtype=torch.float64)

    def log_joint(x: float) -> Tensor:
        return Normal(0.0, 1.0).log_prob(z) + Normal(z + z.square() - 1, 0.5).log_prob(torch.tensor(x))

    def bumps(x: float) -> int:
        slope = log_joint(x).diff()
        return int(((slope[:-1] > 0) & (slope[1:] <= 0)).sum())

    def width_of_the_right_bump(x: float) -> float:
        weight = log_joint(x).exp() * (z > -0.5)
        mean = (weight * z).sum() / weight.sum()
        return float((weight * (z - mean).square()).sum() / weight.sum())

    assert (z + z.square() - 1).min().item() == pytest.approx(-1.25)
    assert [bumps(x) for x in (-2.0, -1.25, -1.0, -0.9)] == [1, 1, 1, 1]
    assert [bumps(x) for x in (-0.75, 0.0, 2.0, 5.0)] == [2, 2, 2, 2]
    evidence = {x / 20: torch.trapezoid(log_joint(x / 20).exp(), z).item() for x in range(-60, 121)}
    assert max(evidence, key=lambda x: evidence[x]) == pytest.approx(-0.95, abs=0.051)
    assert evidence[2.0] / evidence[5.0] == pytest.approx(4.8, abs=0.1)
    widths = [width_of_the_right_bump(x) for x in (2.0, 3.0, 4.0, 5.0)]
    assert widths == sorted(widths, reverse=True)


def test_most_of_the_reduction_is_the_own_variance_of_the_measured_reading():
    known, _ = cells()
    factors = ten_factors(known)
    sigma = factors.weight @ factors.weight.mT + factors.noise_variance.diag()
    shares, agree = [], []
    for missing in torch.rand(200, 30, generator=torch.Generator().manual_seed(8)).argsort(1)[:, :10]:
        seen = torch.tensor([i for i in range(30) if i not in missing.tolist()])
        gain = torch.linalg.solve(sigma[seen][:, seen], sigma[seen][:, missing]).mT
        left = sigma[missing][:, missing] - gain @ sigma[seen][:, missing]
        variances = left.diagonal()
        reduction = left.square().sum(0) / variances
        chosen = reduction.argmax()
        shares.append(variances[chosen] / reduction[chosen])
        agree.append((chosen == variances.argmax()).double())
    share, error = mean_and_error(torch.stack(shares))
    assert share == pytest.approx(0.9, abs=0.03 + 2 * error)
    same, error = mean_and_error(torch.stack(agree))
    assert same > 0.75 + 2 * error


@pytest.mark.parametrize(("a", "finite"), [(0.5, True), (0.69, True), (0.7, False), (1.5, False)])
def test_the_harmonic_mean_has_a_finite_variance_if_the_data_say_less_than_the_prior(a, finite):
    s, x = 0.7, 2.5

    def second_moment(reach: float) -> float:
        z = torch.linspace(-reach, reach, 200_001, dtype=torch.float64)
        return torch.trapezoid((-z.square() / 2 + (x - a * z).square() / (2 * s**2)).exp(), z).log().item()

    grows = second_moment(400.0) - second_moment(200.0)
    assert (grows < 1e-6) == finite


def test_the_length_model_has_a_closed_form_and_a_hollow_posterior():
    s = 0.3
    prior = Independent(Normal(torch.zeros(2, dtype=torch.float64), 1.0), 1)
    model = QuadratureModel(prior, lambda z: Normal(z.norm(dim=-1), s))
    x = torch.tensor([0.5, 1.5, 3.0], dtype=torch.float64)
    v, m = s**2 / (1 + s**2), x / (1 + s**2)
    moment = v * (-(m**2) / (2 * v)).exp() + m * math.sqrt(2 * math.pi * v) * torch.special.ndtr(m / math.sqrt(v))
    closed = (moment / (math.sqrt(2 * math.pi) * s)).log() - x.square() / (2 * (1 + s**2))
    torch.testing.assert_close(model.log_evidence(x), closed, rtol=0, atol=1e-8)
    z = torch.stack([torch.linspace(0, 4, 4001, dtype=torch.float64), torch.zeros(4001, dtype=torch.float64)], dim=-1)
    for value, depth in zip(x, (math.log(0.28), None, -45.0), strict=True):
        log_joint = model.log_joint(value, z)
        below_the_rim = (log_joint[0] - log_joint.max()).item()
        if value == 0.5:
            assert below_the_rim == pytest.approx(depth, abs=0.02)
        elif value == 3.0:
            assert below_the_rim < depth


def test_five_points_buy_nine_more_dimensions_than_fifty():
    assert [math.floor(math.log(3.6e10, points)) for points in (50, 5)] == [6, 15]


# Chapter 3


def test_bounded_weights_can_have_a_large_pareto_k():
    model, images = LinearGaussian.fit(TRAIN, 16), TEST[:20]
    estimate = prior_monte_carlo(model, images, 50_000, seed=0)
    # No image is more probable than under noise around itself, whatever z is.
    highest = -32 * (2 * math.pi * model.noise_variance).log()
    assert (log_weights(model, model.prior, images, 1000) <= highest).all()
    assert estimate.pareto_k.median() > 9
    assert member("prior-50").tail_index == 0
    fifty = member("prior-50")
    assert prior_monte_carlo(fifty.model, fifty.x, 10_000, seed=0).pareto_k > 0.7


def test_equal_weights_are_exact_whatever_their_number():
    one = WeightSummary.from_log_weights(torch.full((1,), -3.0, dtype=torch.float64))
    assert one.log_evidence.item() == -3.0
    assert one.ess.item() == 1.0


def test_many_more_draws_than_the_relative_variance_need_not_be_enough():
    """K is 100,000 times the relative variance; 999 runs in 1,000 are off, with a standard error of 0."""
    rare, times, draws = 1e-7, 1000.0, 10_000
    mean = 1 - rare + rare * times
    relative_variance = (1 - rare + rare * times**2) / mean**2 - 1
    assert relative_variance == pytest.approx(0.1, abs=0.001)
    assert draws > 90_000 * relative_variance
    assert (1 - rare) ** draws > 0.998
    missed = WeightSummary.from_log_weights(torch.zeros(draws, dtype=torch.float64))
    assert missed.std_error.item() == 0.0
    assert missed.log_evidence.item() - math.log(mean) < -9e-5


def test_from_a_width_of_seven_hundredths_down_the_prior_grows_faster_than_ten_points():
    zero = torch.zeros((), dtype=torch.float64)
    growth = [1 + chi_square(Normal(zero, width / 100), Normal(zero, 1.0)).item() for width in range(5, 101)]
    assert [index + 5 for index, base in enumerate(growth) if base > 10] == [5, 6, 7]


def test_from_four_dimensions_on_each_further_one_multiplies_the_draws_by_six_or_seven():
    old, new, _ = data.cells()
    rows = torch.arange(9, len(new), 10)
    mixed_up = new.clone()
    mixed_up[rows, 20:] = new[rows.roll(1), 20:]
    models = [LinearGaussian.fit(old, dim) for dim in (1, 2, 4, 6, 8, 10)]
    bills = [chi_square(model.posterior(mixed_up), model.prior).median().item() for model in models]
    two_more = [math.sqrt(more / less) for less, more in pairwise(bills[1:])]
    assert two_more[0] < 5
    assert all(6 < factor < 7.5 for factor in two_more[1:])
    assert bills[4] / 0.1**2 == pytest.approx(90e6, rel=0.05)
    assert bills[5] / 0.1**2 == pytest.approx(4e9, rel=0.05)


# Chapter 4


def scalar_proposal(ratio: float) -> tuple[LinearGaussian, Tensor, MultivariateNormal]:
    """The model of the first picture, and the posterior with its width times a ratio."""
    model = LinearGaussian(torch.tensor([[1.5]]).double(), torch.zeros(1).double(), 0.49)
    x = torch.tensor([2.5], dtype=torch.float64)
    posterior = model.posterior(x)
    return model, x, MultivariateNormal(posterior.mean, scale_tril=ratio * posterior.scale_tril)


def test_the_narrow_proposal_spreads_more_from_the_start():
    torch.manual_seed(0)
    spreads = []
    for ratio in (0.5, 1.5):
        model, x, q = scalar_proposal(ratio)
        log_w = log_weights(model, q, x.expand(20_000, 1), 100)
        spreads.append(log_w.logsumexp(0).std().item())
    assert 4.5 < spreads[0] / spreads[1] < 6.5


def test_draws_from_one_of_two_modes_look_calm():
    modes = member("far-modes")
    torch.manual_seed(0)
    summary = WeightSummary.from_log_weights(log_weights(modes.model, modes.q, modes.x, 100_000))
    missing = modes.truth.log_evidence - summary.log_evidence
    assert abs(missing - math.log(2)) < 5 * summary.std_error
    assert missing > 400 * summary.std_error
    assert summary.ess > 80_000
    assert summary.pareto_k < -1
    assert summary.believable
    assert 1e47 < modes.truth.chi_square < 1e49


def test_a_pixel_falls_at_most_linearly():
    logit = torch.linspace(-1000, 1000, 20_001, dtype=torch.float64)
    for value in (0.0, 1.0):
        log_prob = Bernoulli(logits=logit).log_prob(torch.tensor(value, dtype=torch.float64))
        assert (log_prob >= -logit.abs() - math.log(2)).all()
        assert (log_prob <= 0).all()


def test_student_t_noise_falls_like_a_power():
    """Ten times as far out the log-density is lower by a constant, so it is above a falling line from some point on."""
    noise = StudentT(4.0, torch.zeros((), dtype=torch.float64), 1.0)
    far = noise.log_prob(torch.tensor([1e3, 1e4, 1e5, 1e6], dtype=torch.float64))
    torch.testing.assert_close(far.diff(), torch.full((3,), -5 * math.log(10), dtype=torch.float64), rtol=1e-3, atol=0)
    assert noise.log_prob(torch.zeros((), dtype=torch.float64)) >= far.max()


def test_the_weights_of_a_student_t_proposal_are_bounded():
    """A normal prior and a bounded likelihood: far out the weight falls under a narrow Student-t and grows under a
    normal of the same scale."""
    zero = torch.zeros((), dtype=torch.float64)
    z = torch.logspace(0, 3, 400, dtype=torch.float64)
    likelihoods = (Bernoulli(logits=8 * z).log_prob(zero), StudentT(4.0, z, 0.2).log_prob(zero))
    for log_likelihood in likelihoods:
        log_joint = Normal(zero, 1.0).log_prob(z) + log_likelihood
        for scale in (0.02, 0.2):
            heavy = log_joint - StudentT(5.0, zero, scale).log_prob(z)
            light = log_joint - Normal(zero, scale).log_prob(z)
            assert (heavy[200:].diff() < 0).all()
            assert (light[200:].diff() > 0).all()


def test_every_digit_has_a_laplace_proposal_without_variance():
    images = data.digits("test", binarize=True, dtype=torch.float64).images[:20]
    for dim in (2, 16):
        fit = LinearGaussian.fit(TRAIN, dim)
        model = LatentVariableModel(
            Independent(Normal(torch.zeros(dim, dtype=torch.float64), 1.0), 1),
            lambda z, fit=fit: Independent(Bernoulli(logits=8 * (z @ fit.weight.T + fit.bias - 0.5)), 1),
        )
        largest = torch.linalg.eigvalsh(laplace_approximation(model, images).precision_matrix).amax(-1)
        assert ((largest > 5.6) & (largest < 9.7)).all()


def test_the_reported_relative_variance_is_at_most_the_number_of_draws():
    for log_w in (torch.randn(7, generator=torch.Generator().manual_seed(0)) * 50, torch.tensor([0.0, -torch.inf])):
        summary = WeightSummary.from_log_weights(log_w.double())
        assert summary.relative_variance <= summary.num_samples + 1e-9
