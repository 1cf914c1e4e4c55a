"""Training: it climbs to the truth, records what it did, and takes its users' loaders, schedules and callbacks."""

from __future__ import annotations

import itertools
import math
import sys

import models
import numpy as np
import pytest
import torch
from runs import QUIET, binary_digits, learnable, parameters, same, small_vae
from torch import nn
from torch.distributions import Categorical, Independent, Normal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from lvmlib import (
    VAE,
    AmortizedGuide,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    UnconditionalGuide,
    data,
    elbo,
    fit,
    iwae_bound,
    log_weights,
    mlp,
    plots,
    surrogate,
)
from lvmlib.training import run
from lvmlib.training.run import Run

# It learns.


@pytest.mark.parametrize(
    ("objective", "estimator", "num_samples"),
    [
        ("elbo", None, 1),
        pytest.param("elbo", "stl", 1, marks=pytest.mark.thorough),
        pytest.param("elbo", "score", 8, marks=pytest.mark.thorough),
        pytest.param("iwae", None, 5, marks=pytest.mark.thorough),
        ("iwae", "dreg", 5),
    ],
)
def test_every_objective_learns_the_model_and_its_posterior(objective, estimator, num_samples):
    truth, model, x = learnable()
    guide = AmortizedGuide(nn.Linear(3, 2)).to(x.device)
    history = fit(
        model, guide, x, epochs=80, objective=objective, estimator=estimator, num_samples=num_samples,
        baseline="leave_one_out" if estimator == "score" else None, learning_rate=0.05, **QUIET,
    )  # fmt: skip
    evidence = model.log_evidence(x).mean()
    assert evidence > truth.log_evidence(x).mean() - 0.03
    assert history.train[-1] == pytest.approx(evidence.item(), abs=0.1)
    assert (guide(x).mean - model.posterior(x).mean).abs().mean() < 0.1


def test_a_discrete_z_is_learnt_by_vimco():
    truth = models.finite(seed=3, dtype=torch.float32)
    x, _ = truth.sample(500, seed=0)

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(4, 3))

        def forward(self, x):
            return Categorical(logits=self.logits[x])

    guide = Table().to(x.device)
    fit(truth, guide, x, epochs=60, objective="iwae", estimator="vimco", num_samples=5, learning_rate=0.05, **QUIET)
    every = torch.arange(4)
    assert (truth.log_evidence(every) - elbo(truth, guide, every, 20_000)).max() < 0.1


def test_a_method_of_the_model_is_a_q_that_learns_with_it():
    """With the posterior as q the ELBO is the log-evidence, and its gradient that of maximum likelihood."""
    truth, model, x = learnable()
    fit(model, model.posterior, x, epochs=80, learning_rate=0.02, estimator="stl", **QUIET)
    assert model.log_evidence(x).mean() > truth.log_evidence(x).mean() - 0.01


@pytest.mark.parametrize("flow", [pytest.param("NSF", marks=pytest.mark.thorough), "MAF"])
@pytest.mark.parametrize("conditional", [True, False])
def test_a_flow_of_zuko_is_learnt_with_or_without_x(zuko, flow, conditional):
    model = models.linear_gaussian(seed=1, dtype=torch.float32)
    x = model.sample(1, seed=0)[0].expand(64, 4).contiguous()
    size = {"features": 2, "transforms": 2, "hidden_features": (16,)}
    make = getattr(zuko.flows, flow)
    guide = (make(context=4, **size) if conditional else UnconditionalGuide(make(**size))).to(x.device)
    gap = model.log_evidence(x).mean() - elbo(model, guide, x, 20).mean()
    fit(model, guide, x, epochs=150, batch_size=None, learning_rate=0.02, num_samples=2, **QUIET)
    left = model.log_evidence(x).mean() - elbo(model, guide, x, 200).mean()
    assert left < 0.1 < gap


def test_a_guide_with_parameters_for_each_observation_takes_the_whole_batch_in_its_order():
    model = models.linear_gaussian(seed=2, latent=1, dtype=torch.float32)
    x, _ = model.sample(8, seed=0)
    guide = MeanFieldGuide(1, batch_shape=(8,)).to(x.device)
    fit(model, guide, x, epochs=400, batch_size=None, num_samples=8, learning_rate=0.02, **QUIET)
    torch.testing.assert_close(guide(x).mean, model.posterior(x).mean, atol=0.1, rtol=0)


def test_a_vae_of_digits_learns_and_its_parts_are_those_of_the_course():
    vae, x = small_vae(), binary_digits(1000)
    history = fit(vae, vae.encoder, x, epochs=15, learning_rate=3e-3, validation=binary_digits()[:50], **QUIET)
    assert history.train[-1] > history.train[0] + 8
    assert isinstance(vae.encoder, AmortizedGuide)
    new, z = vae.sample(5, seed=0)
    assert new.shape == (5, 64)
    assert z.shape == (5, 3)
    assert vae.likelihood(z).mean.shape == (5, 64)
    assert vae.double().encoder(x.double()).mean.dtype == torch.float64
    assert elbo(vae, vae.encoder, x.double()).dtype == torch.float64


def test_any_optimizer_may_be_given():
    vae = small_vae()
    before = parameters(vae)
    history = fit(vae, vae.encoder, binary_digits(), epochs=2, optimizer=lambda p: torch.optim.SGD(p, 0.1), **QUIET)
    assert history.train[1] > history.train[0]
    assert not same(before, parameters(vae))


def test_the_first_step_is_that_of_adam_on_the_mean_loss_of_the_batch():
    vae, other = small_vae(), small_vae()
    x = binary_digits(30)
    torch.manual_seed(3)
    fit(vae, vae.encoder, x, epochs=1, batch_size=None, progress=False)
    torch.manual_seed(3)
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3)
    (-elbo(other, other.encoder, x).mean()).backward()
    optimizer.step()
    for one, two in zip(vae.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-7, rtol=0)


def test_a_transform_sees_every_batch():
    vae, seen = small_vae(), []

    def binarize(grey):
        seen.append(len(grey))
        return torch.bernoulli(grey)

    fit(vae, vae.encoder, data.digits().images[:250], epochs=2, transform=binarize, **QUIET)
    assert seen[-6:] == [100, 100, 50] * 2


# What it records, and when it stops.


def test_history_is_the_mean_over_the_epoch_and_the_bound_of_the_validation_data():
    """With the posterior as q every weight is the evidence, whatever the draws."""
    _, model, x = learnable()
    history = fit(model, model.posterior, x[:150], epochs=3, batch_size=60, validation=x[:100], **QUIET)
    assert len(history.train) == len(history.validation) == 3
    assert history.steps == 9
    assert history.validation[-1] == pytest.approx(model.log_evidence(x[:100]).mean().item(), abs=1e-4)
    assert repr(history).startswith("History(epochs=3, steps=9, ELBO=-")


@pytest.mark.parametrize(("objective", "k"), [("elbo", 1), ("iwae", 4)])
def test_the_validation_bound_is_that_of_the_public_function(objective, k):
    vae, unseen = small_vae(), binary_digits(60)
    how = {"objective": objective, "num_samples": k, "validation_samples": 400, "learning_rate": 1e-12}
    history = fit(vae, vae.encoder, binary_digits(20), epochs=1, validation=unseen, **how, **QUIET)
    if objective == "elbo":
        expected = elbo(vae, vae.encoder, unseen, 400).mean()
    else:
        expected = iwae_bound(vae, vae.encoder, unseen, k, num_groups=400).mean()
    assert history.validation[-1] == pytest.approx(expected.item(), abs=0.1)


def test_history_plots_itself():
    vae = small_vae()
    history = fit(vae, vae.encoder, binary_digits(), epochs=2, validation=binary_digits(), **QUIET)
    ax = history.plot()
    assert [list(line.get_ydata()) for line in ax.lines] == [history.train, history.validation]
    assert ax.get_ylabel() == "ELBO (nats)"
    assert plots.show(ax, alt="The ELBO rises.").alt == "The ELBO rises."
    tighter = fit(vae, vae.encoder, binary_digits(), epochs=1, objective="iwae", num_samples=3, **QUIET)
    assert tighter.plot().get_ylabel() == "IWAE-3 (nats)"


def test_early_stopping_returns_to_the_best_parameters():
    vae = small_vae()
    x, unseen = binary_digits(40), binary_digits(100)[40:]
    history = fit(
        vae, vae.encoder, x, epochs=500, validation=unseen, patience=5, learning_rate=0.02, num_samples=3, **QUIET
    )
    assert len(history.train) == history.best_epoch + 5 < 500
    assert history.validation[history.best_epoch - 1] == max(history.validation)
    again = small_vae()
    fit(
        again,
        again.encoder,
        x,
        epochs=history.best_epoch,
        validation=unseen,
        learning_rate=0.02,
        num_samples=3,
        **QUIET,
    )
    assert same(parameters(vae), parameters(again))


def test_a_seed_fixes_the_run_and_leaves_the_global_state_alone():
    runs = []
    for _ in range(2):
        vae = small_vae()
        before = torch.get_rng_state()
        fit(vae, vae.encoder, binary_digits(), epochs=2, **QUIET)
        assert torch.equal(before, torch.get_rng_state())
        runs.append(parameters(vae))
    assert same(*runs)


def test_validation_does_not_change_the_run():
    one, two = small_vae(), small_vae()
    fit(one, one.encoder, binary_digits(), epochs=2, **QUIET)
    fit(two, two.encoder, binary_digits(), epochs=2, validation=binary_digits(), **QUIET)
    assert same(parameters(one), parameters(two))


def test_dropout_is_off_in_validation_and_on_again_afterwards():
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = nn.Linear(64, 6)

        def forward(self, x):
            seen.append(self.training)
            return self.network(x)

    vae = VAE(encoder=Watched(), decoder=mlp(3, 64), latent_dim=3)
    fit(vae, vae.encoder, binary_digits(), epochs=1, validation=binary_digits(50), **QUIET)
    assert seen[-3:] == [True, True, False]
    assert vae.encoder.encoder.training


def test_checks_are_as_before_after_training():
    vae = small_vae()
    before = torch.distributions.Distribution._validate_args
    fit(vae, vae.encoder, binary_digits(), epochs=1, **QUIET)
    assert torch.distributions.Distribution._validate_args == before
    with pytest.raises(ValueError, match="NaN"):
        elbo(vae, vae.encoder, torch.full((1, 64), math.nan))


def test_the_bar_shows_the_bound_and_the_time_left(capsys):
    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(), epochs=2, validation=binary_digits(), seed=0)
    shown = capsys.readouterr().err
    assert "4/4 [00:" in shown
    assert "ELBO -4" in shown
    assert "validation -4" in shown


class Reads(TorchDispatchMode):
    """Counts the operations that wait for a GPU: a number read, a mask looked at, a copy to the CPU."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("_local_scalar_dense", "is_nonzero", "item", "nonzero", "equal"):
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("estimator", ["reparameterized", "stl", "score"])
def test_no_step_reads_a_number_back_from_the_device(estimator, monkeypatch):
    """The steps of an epoch as a GPU would run them: the one look that a CPU takes for free is switched off."""
    vae, x = small_vae(), binary_digits()
    counts = []
    original = Run._steps

    def watched(self, bar, *, careful):
        with monkeypatch.context() as patched, Reads() as reads:
            patched.setattr(run.math, "isfinite", lambda value: True)
            result = original(self, bar, careful=careful)
        counts.append(reads.names)
        return result

    monkeypatch.setattr(Run, "_steps", watched)
    fit(vae, vae.encoder, x, epochs=2, estimator=estimator, clip_norm=10.0, **QUIET)
    assert counts == [[], []]


# What is to be learnt.


def test_a_likelihood_in_a_plain_function_learns_the_network_that_it_closes_over():
    network = nn.Linear(1, 3)
    before = network.weight.clone()
    model = LatentVariableModel(
        Independent(Normal(torch.zeros(1), torch.ones(1)), 1), lambda z: Independent(Normal(network(z), 1.0), 1)
    )
    fit(model, AmortizedGuide(nn.Linear(3, 2)), torch.randn(200, 3), epochs=2, **QUIET)
    assert not torch.equal(before, network.weight)


def test_a_q_whose_parameters_cannot_be_found_is_refused_by_name():
    model = models.linear_gaussian(dtype=torch.float32)
    hidden = [nn.Parameter(torch.zeros(2))]

    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return Independent(Normal(hidden[0].expand(len(x), 2), self.seen.exp()), 1)

    with pytest.raises(TypeError, match=r"q depends on .* cannot find it"):
        fit(model, Hiding(), model.sample(10, seed=0)[0], epochs=1, **QUIET)


def test_batch_statistics_are_learnt_in_the_steps_and_nowhere_else():
    """In 3 epochs of 4 batches a layer of the decoder sees 12 batches: not the checks, not the validation data."""
    normalized = nn.BatchNorm1d(16)
    vae = VAE(mlp(64, 6), nn.Sequential(nn.Linear(3, 16), normalized, nn.ReLU(), nn.Linear(16, 64)), latent_dim=3)
    fit(vae, vae.encoder, binary_digits(80), epochs=3, batch_size=20, validation=binary_digits(30), **QUIET)
    assert normalized.num_batches_tracked == 12
    assert normalized.training


# Batches.


@pytest.mark.parametrize(("rows", "sizes"), [(40, [20, 20]), (41, [20, 21]), (42, [20, 20, 2]), (20, [20]), (1, [1])])
def test_a_last_batch_of_one_joins_the_one_before(rows, sizes):
    seen = []

    def watch(x):
        seen.append(len(x))
        return x

    vae = small_vae()
    history = fit(vae, vae.encoder, binary_digits(rows), epochs=1, batch_size=20, transform=watch, **QUIET)
    assert seen[-len(sizes) :] == sizes
    assert history.steps == len(sizes)


def test_batch_statistics_of_a_last_batch_of_one_do_not_end_the_run():
    encoder = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 6))
    vae = VAE(encoder, mlp(3, 64), latent_dim=3)
    history = fit(vae, vae.encoder, binary_digits(101), epochs=1, validation=binary_digits(101), **QUIET)
    assert history.steps == 1
    assert math.isfinite(history.validation[0])


NORMALIZED = {
    "encoder": lambda: VAE(nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 6)), mlp(3, 64), 3),
    "decoder": lambda: VAE(mlp(64, 6), nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 64)), 3),
}


@pytest.mark.parametrize("place", NORMALIZED)
@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (1, {}),
        (1, {"batch_size": None}),
        (5, {"batch_size": 1}),
        (5, {"loader": {"batch_size": 1}}),
        (1, {"loader": {"batch_size": 4}}),
        (5, {"loader": {"batch_sampler": [[0, 1], [2], [3, 4]]}}),
        (5, {"loader": {"batch_sampler": [[0, 1, 2], [3], [4]]}}),
    ],
)
def test_batch_statistics_of_a_single_observation_get_a_sentence(place, rows, options):
    vae, data = NORMALIZED[place](), binary_digits(rows)
    options = dict(options)
    if "loader" in options:
        data = DataLoader(data, **options.pop("loader"))
    with pytest.raises(
        ValueError, match=r"x has a single observation here.*BatchNorm.*expected at least 2.*batch_size"
    ):
        fit(vae, vae.encoder, data, epochs=1, **QUIET | options)
    assert vae.training


@pytest.mark.parametrize("place", NORMALIZED)
@pytest.mark.parametrize("bound", [elbo, iwae_bound, log_weights, surrogate])
def test_estimates_with_a_gradient_say_it_of_a_single_observation_too(place, bound):
    vae, x = NORMALIZED[place](), binary_digits(1)
    with pytest.raises(ValueError, match=r"x has a single observation here.*module.eval"):
        bound(vae, vae.encoder, x, num_samples=1)
    vae.eval()
    assert bound(vae, vae.encoder, x, num_samples=1).isfinite().all()


def test_validation_data_may_be_of_any_size():
    for count in (1, 37, 250):
        vae = small_vae()
        history = fit(vae, vae.encoder, binary_digits(60), epochs=1, validation=binary_digits(count), **QUIET)
        assert math.isfinite(history.validation[0])


@pytest.mark.parametrize("labelled", [False, True])
def test_a_loader_gives_the_batches(labelled):
    x = binary_digits(50)
    dataset = TensorDataset(x, torch.arange(50)) if labelled else x
    vae, seen = small_vae(), []

    def watch(batch):
        seen.append(batch)
        return batch

    loader = DataLoader(dataset, batch_size=20)
    history = fit(vae, vae.encoder, loader, epochs=2, validation=DataLoader(x, batch_size=30), transform=watch, **QUIET)
    assert history.steps == 6
    whole = [torch.cat(seen[i : i + 3]) for i in range(len(seen) - 2)]
    assert sum(part.shape == x.shape and torch.equal(part, x) for part in whole) == 2
    assert len(history.validation) == 2


def test_a_loader_and_a_tensor_in_the_same_order_take_the_same_steps():
    x, ends = binary_digits(60), []
    for given in (x, DataLoader(x, batch_size=60)):
        vae = small_vae()
        torch.manual_seed(0)
        fit(vae, vae.encoder, given, epochs=1, batch_size=None, progress=False)
        ends.append(fit(vae, vae.encoder, x, epochs=1, learning_rate=1e-12, **QUIET).train[0])
    # A loader draws one number of its own at each pass, so the noise of the step is another.
    assert ends[0] == pytest.approx(ends[1], abs=0.3)


@pytest.mark.parametrize(
    ("loader", "error", "words"),
    [
        (lambda x: DataLoader([{"x": row} for row in x], batch_size=5), TypeError, "dict.*collate_fn"),
        (lambda x: DataLoader(x.double(), batch_size=5), TypeError, "data.*float64.*expected"),
        (lambda x: DataLoader(x[:, :9], batch_size=5), ValueError, r"data.*\(5, 9\).*expected"),
        (lambda x: DataLoader(x[:0], batch_size=5), ValueError, "data.*no batch.*expected"),
        (lambda x: DataLoader(x, batch_size=7), ValueError, "batch_size is 5.*batches of 7"),
        (lambda x: x.tolist() * 1000, TypeError, "data is .*list.*torch.as_tensor"),
        (lambda x: iter([x]), TypeError, "data is .*expected"),
        (lambda x: x[:0], ValueError, "data.*at least 1"),
    ],
)
def test_data_that_cannot_be_batches_are_refused_in_a_sentence(loader, error, words):
    vae = small_vae()
    with pytest.raises(error, match=words) as caught:
        fit(vae, vae.encoder, loader(binary_digits(20)), epochs=1, batch_size=5, **QUIET)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("bad", [0.5, math.nan])
@pytest.mark.parametrize("place", ["loader", "validation", "transform"])
def test_a_later_batch_that_does_not_fit_is_refused_too(bad, place):
    vae, x = small_vae(), binary_digits(20)
    spoilt, calls = x.clone(), itertools.count()
    spoilt[17, 3] = bad

    def spoil_later(batch):
        return batch if next(calls) < 4 else batch.index_fill(1, torch.tensor([3]), bad)

    data = DataLoader(spoilt, batch_size=5) if place == "loader" else x
    options = {
        "loader": {},
        "validation": {"validation": DataLoader(spoilt, batch_size=5)},
        "transform": {"transform": spoil_later, "batch_size": 5},
    }[place]
    with pytest.raises(ValueError, match=r"does not fit: x .*expected"):
        fit(vae, vae.encoder, data, epochs=3, **options, **QUIET)


def test_a_q_with_a_row_for_each_observation_is_not_asked_about_others():
    model = models.linear_gaussian(seed=2, latent=1, dtype=torch.float32)
    x, _ = model.sample(20, seed=0)
    guide = MeanFieldGuide(1, batch_shape=(20,)).to(x.device)
    before = guide.loc.clone()
    for count in (5, 20):
        with pytest.raises(ValueError, match=r"validation.*expected"):
            fit(model, guide, x, epochs=1, batch_size=None, validation=model.sample(count, seed=1)[0], **QUIET)
    with pytest.raises(ValueError, match=r"batch_size is 10.*batch_size=None"):
        fit(model, guide, x, epochs=1, batch_size=10, **QUIET)
    ten = MeanFieldGuide(1, batch_shape=(10,)).to(x.device)
    with pytest.raises(ValueError, match="expected exactly those rows"):
        fit(model, ten, x, epochs=1, batch_size=10, **QUIET)
    with pytest.raises(ValueError, match="expected exactly those rows"):
        fit(model, guide, DataLoader(x, batch_size=20), epochs=1, **QUIET)
    assert torch.equal(before, guide.loc)


# Weights, schedules, clipping, callbacks.


@pytest.mark.parametrize("estimator", ["reparameterized", pytest.param("stl", marks=pytest.mark.thorough), "score"])
@pytest.mark.parametrize(
    "weight", [pytest.param(0.0, marks=pytest.mark.thorough), pytest.param(0.5, marks=pytest.mark.thorough), 4.0]
)
def test_the_kl_is_weighed(estimator, weight):
    """One normal of x, known likelihood: of E log p(x|z) - b KL the optimal q has variance b / (b + 1)."""
    model = LinearGaussian(torch.ones(1, 1).double(), torch.zeros(1).double(), torch.tensor(1.0).double())
    guide = MeanFieldGuide(1).double()
    fit(
        model, guide, torch.zeros(1, 1).double(), epochs=1000, estimator=estimator, num_samples=32, kl_weight=weight,
        learning_rate=0.05, scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995),
        baseline="leave_one_out" if estimator == "score" else None, **QUIET,
    )  # fmt: skip
    found = guide(None).variance.item()
    assert found == pytest.approx(weight / (weight + 1), abs=0.03)


def test_the_weight_of_the_kl_can_follow_the_step():
    seen = []

    def anneal(step):
        seen.append(step)
        return min(1.0, step / 5)

    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(40), epochs=3, batch_size=20, kl_weight=anneal, **QUIET)
    assert seen == [0, 1, 2, 3, 4, 5]
    one, two = small_vae(), small_vae()
    fit(one, one.encoder, binary_digits(40), epochs=2, **QUIET)
    fit(two, two.encoder, binary_digits(40), epochs=2, kl_weight=lambda step: 1.0, **QUIET)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("every", "rates"), [("epoch", [0.05, 0.025]), ("step", [0.1 / 4, 0.1 / 16])])
def test_a_scheduler_moves_on_each_epoch_or_each_step(every, rates):
    vae, made, seen = small_vae(), [], []

    def sgd(parameters):
        made.append(torch.optim.SGD(parameters, lr=0.1))
        return made[0]

    def watch(history):
        seen.append(made[0].param_groups[0]["lr"])

    fit(
        vae, vae.encoder, binary_digits(40), epochs=2, batch_size=20, optimizer=sgd, callback=watch,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5), scheduler_every=every,
        **QUIET,
    )  # fmt: skip
    assert seen == pytest.approx(rates)


def test_a_plateau_of_the_validation_bound_lowers_the_rate():
    vae, made = small_vae(), []

    def plateau(optimizer):
        options = {"patience": 0, "factor": 0.1, "threshold": 100.0, "threshold_mode": "abs"}
        made.append(torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options))
        return made[0]

    fit(vae, vae.encoder, binary_digits(40), epochs=3, validation=binary_digits(20), scheduler=plateau, **QUIET)
    assert made[0].optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_a_gradient_is_clipped_to_its_largest_norm():
    """With SGD at rate 1 a step is as long as the gradient."""
    vae = small_vae()
    before = parameters(vae)
    fit(
        vae, vae.encoder, binary_digits(40), epochs=1, batch_size=None, clip_norm=0.25,
        optimizer=lambda p: torch.optim.SGD(p, lr=1.0), **QUIET,
    )  # fmt: skip
    after = parameters(vae)
    length = sum((after[name] - before[name]).square().sum() for name in before).sqrt()
    assert length.item() == pytest.approx(0.25, rel=1e-4)


def test_a_callback_sees_every_epoch_can_stop_the_run_and_does_not_change_it():
    one, two, seen = small_vae(), small_vae(), []

    def watch(history):
        torch.rand(3)
        seen.append((len(history.train), history.steps))
        return len(history.train) == 3

    history = fit(one, one.encoder, binary_digits(), epochs=10, callback=watch, **QUIET)
    assert seen == [(1, 2), (2, 4), (3, 6)]
    assert len(history.train) == 3
    fit(two, two.encoder, binary_digits(), epochs=3, **QUIET)
    assert same(parameters(one), parameters(two))


@pytest.mark.parametrize(
    ("answer", "epochs"),
    [(True, 1), (np.bool_(True), 1), (torch.tensor(True), 1), (np.bool_(False), 3), (1, 3), ([], 3)],
)
def test_any_bool_that_is_true_stops_the_run(answer, epochs):
    vae = small_vae()
    assert len(fit(vae, vae.encoder, binary_digits(), epochs=3, callback=lambda _: answer, **QUIET).train) == epochs


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": ["elbo"]}, r"objective is \['elbo'\].*expected"),
        ({"kl_weight": -1.0}, "kl_weight is -1.0.*expected"),
        ({"kl_weight": math.nan}, "kl_weight is nan.*expected"),
        ({"kl_weight": 0.5, "objective": "iwae"}, "kl_weight is 0.5.*'iwae'.*expected 1"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0.*expected"),
        ({"scheduler_every": "batch"}, "scheduler_every is 'batch'.*expected"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0.*expected"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    vae = small_vae()
    with pytest.raises(ValueError, match=words):
        fit(vae, vae.encoder, binary_digits(20), epochs=1, **options, **QUIET)


def test_an_optimizer_that_needs_a_closure_is_refused():
    vae = small_vae()
    with pytest.raises(TypeError, match=r"optimizer made .*LBFGS.*without a closure"):
        fit(vae, vae.encoder, binary_digits(20), epochs=1, optimizer=torch.optim.LBFGS, **QUIET)


# Compiled modules are the user's.


@pytest.mark.parametrize("how", [pytest.param("function", marks=pytest.mark.thorough), "method"])
def test_compiled_modules_take_the_same_steps(how):
    one, two = small_vae(), small_vae()
    encoder, decoder = two.encoder.encoder, two._likelihood.network
    if how == "function":
        two = VAE(torch.compile(encoder, backend="aot_eager"), torch.compile(decoder, backend="aot_eager"), 3)
    else:
        encoder.compile(backend="aot_eager")
        decoder.compile(backend="aot_eager")
    for vae in (one, two):
        fit(vae, vae.encoder, binary_digits(), epochs=2, **QUIET)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_without_tqdm_there_is_no_bar_and_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    vae = small_vae()
    assert fit(vae, vae.encoder, binary_digits(20), epochs=1, seed=0).steps == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": "a"}, "learning_rate is 'a'"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"kl_weight": None}, "kl_weight is None"),
        ({"kl_weight": lambda step: -1.0}, r"kl_weight\(0\) is -1.0"),
        ({"kl_weight": lambda step: "a"}, r"kl_weight\(0\) is 'a'"),
        ({"clip_norm": "a"}, "clip_norm is 'a'"),
        ({"optimizer": "adam"}, "optimizer is 'adam'"),
        ({"optimizer": lambda _: torch.optim.Adam([nn.Parameter(torch.zeros(1))])}, "optimizer made Adam over 1"),
        ({"scheduler": 3}, "scheduler is 3"),
        ({"scheduler": lambda _: None}, "scheduler made None"),
        (
            {"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau, "scheduler_every": "step"},
            "scheduler_every is 'step'",
        ),
        ({"transform": 3}, "transform is 3"),
        ({"transform": lambda x: x.double()}, r"transform\(data\) does not fit"),
        ({"callback": 3}, "callback is 3"),
    ],
)
def test_an_option_of_another_kind_is_refused_by_name(options, words):
    vae = small_vae()
    with pytest.raises((TypeError, ValueError), match=f"{words}.*expected"):
        fit(vae, vae.encoder, binary_digits(), epochs=1, **QUIET, **options)


def test_a_last_batch_of_one_from_a_loader_joins_the_one_before():
    sizes = []

    def look(x):
        sizes.append(len(x))
        return x

    vae = small_vae()
    for loader in (DataLoader(binary_digits(21), batch_size=10), DataLoader(binary_digits(3), batch_size=1)):
        sizes.clear()
        fit(vae, vae.encoder, loader, epochs=1, transform=look, **QUIET)
        assert sizes[-2:] == ([10, 11] if loader.batch_size == 10 else [1, 1])
