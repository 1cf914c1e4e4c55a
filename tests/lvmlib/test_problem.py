"""A model, a q and observations are checked once, q is evaluated once, and nothing is changed by looking."""

from __future__ import annotations

import functools
import threading
from types import SimpleNamespace

import models
import pytest
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Exponential,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    VonMises,
)
from torch.utils.data import DataLoader, TensorDataset

from lvmlib import (
    VAE,
    AmortizedGuide,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    bind,
    elbo,
    importance_sampling,
    iwae_bound,
    kl,
    prior_monte_carlo,
    self_normalized_expectation,
    summarize_weights,
    surrogate,
)
from lvmlib._streams import block_length, num_blocks
from lvmlib.weights import summarize_blocks


def scalar(scale=1.0) -> LatentVariableModel:
    return LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, scale))


def small_vae(decoder=None) -> VAE:
    torch.manual_seed(0)
    return VAE(nn.Linear(4, 4), nn.Linear(2, 4) if decoder is None else decoder, 2)


def binary(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape) < 0.5).float()


# Checks.


def test_q_is_named_when_q_is_at_fault():
    wrong = Normal(torch.zeros(()).double(), torch.ones(()).double())
    with pytest.raises(TypeError, match=r"^q has dtype torch.float64: expected torch.float32"):
        bind(scalar(), wrong, torch.zeros(3))


def test_a_loader_is_named_as_what_it_is():
    loader = DataLoader(TensorDataset(torch.zeros(10, 4)))
    with pytest.raises(TypeError, match=r"x is a DataLoader.*take one batch at a time"):
        bind(small_vae(), small_vae().encoder, loader)
    with pytest.raises(TypeError, match=r"x is a TensorDataset.*stack its rows"):
        bind(small_vae(), small_vae().encoder, loader.dataset)


@pytest.mark.parametrize("x", [[[0.0] * 4] * 50_000, {"x": [0.0] * 50_000}, "x" * 50_000, ([0.0] * 4,) * 50_000])
def test_a_message_is_short_whatever_is_given(x):
    with pytest.raises(TypeError) as caught:
        bind(small_vae(), small_vae().encoder, x)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("bias", [-200.0, 200.0, float("nan")])
def test_a_scale_that_has_gone_bad_is_shown_with_its_logarithm(bias):
    vae = small_vae()
    with torch.no_grad():
        vae.encoder.encoder.bias[2:] = bias
    with pytest.raises(ValueError, match=r"q has mean .* and scale .*, log-scale .*: expected a finite mean"):
        elbo(vae, vae.encoder, binary(5, 4))


def test_q_is_evaluated_once():
    vae, calls = small_vae(), []
    vae.encoder.encoder.register_forward_hook(lambda *_: calls.append(1))
    for estimate in (importance_sampling, summarize_weights, iwae_bound, elbo):
        calls.clear()
        estimate(vae, vae.encoder, binary(5, 4), 200)
        assert len(calls) == 1, estimate.__name__


def test_the_same_problem_at_other_rows_gives_their_weights():
    model = models.linear_gaussian()
    x, _ = model.sample(10, seed=0)
    problem = bind(model, model.posterior, x)
    torch.testing.assert_close(problem.at(x[:3]).log_weights(5), model.log_evidence(x[:3]).expand(5, 3))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("estimator", ["reparameterized", "score", "stl", "iwae", "dreg", "vimco"])
def test_a_loss_has_its_value_without_gradients(mode, estimator):
    vae, x = small_vae(), binary(5, 4)
    with mode():
        assert surrogate(vae, vae.encoder, x.clone(), 3, estimator=estimator).isfinite()


def test_estimates_can_be_made_in_inference_mode():
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    with torch.inference_mode():
        inside = importance_sampling(model, model.posterior, x.clone(), 100, seed=0).log_evidence
    torch.testing.assert_close(inside, model.log_evidence(x))


# Evaluation changes nothing.


def norm_and_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))


def test_making_a_model_and_estimating_move_no_statistics_and_keep_the_mode():
    vae = small_vae(norm_and_dropout())
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    x = binary(8, 4)
    importance_sampling(vae, vae.encoder, x, 200, seed=0)
    prior_monte_carlo(vae, x, 200, seed=0)
    self_normalized_expectation(vae, vae.encoder, x, lambda z: z, 50, seed=0)
    vae.sample(10, seed=0)
    with torch.no_grad():
        elbo(vae, vae.encoder, x)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert all(module.training for module in vae.modules())


def test_a_layer_that_was_frozen_stays_frozen():
    vae = small_vae(norm_and_dropout())
    vae._likelihood.network[1].eval()
    prior_monte_carlo(vae, binary(8, 4), 20, seed=0)
    assert not vae._likelihood.network[1].training
    assert vae._likelihood.network[3].training


@pytest.mark.parametrize("wrap", ["module", "lambda"])
def test_chunks_agree_whatever_the_network_holds(wrap):
    network = norm_and_dropout()
    prior = Independent(Normal(torch.zeros(2), 1.0), 1)
    model = small_vae(network)
    if wrap == "lambda":
        model = LatentVariableModel(
            prior, lambda z: Independent(Bernoulli(logits=network(z.reshape(-1, 2)).reshape(*z.shape[:-1], 4)), 1)
        )
    x = binary(8, 4)
    runs = [prior_monte_carlo(model, x, 200, seed=0, chunk_size=size).log_evidence for size in (1, 7, None)]
    for run in runs[1:]:
        torch.testing.assert_close(run, runs[0])


def test_a_training_bound_uses_dropout_as_the_module_says():
    vae = small_vae(norm_and_dropout())
    vae.eval()
    frozen = vae._likelihood.network[1].running_mean.clone()
    elbo(vae, vae.encoder, binary(8, 4)).sum().backward()
    assert torch.equal(vae._likelihood.network[1].running_mean, frozen)
    vae.train()
    elbo(vae, vae.encoder, binary(8, 4)).sum().backward()
    assert not torch.equal(vae._likelihood.network[1].running_mean, frozen)


def test_threads_and_errors_leave_the_settings_of_torch_as_they_were():
    model, x = models.linear_gaussian(), torch.zeros(200, 4).double()
    threads, checks = torch.get_num_threads(), Distribution._validate_args
    state, failures = torch.get_rng_state(), []

    def work():
        try:
            importance_sampling(model, model.prior, x, 5000, seed=0)
            with pytest.raises(ValueError, match="NaN"):
                self_normalized_expectation(model, model.prior, x, lambda z: z * torch.nan, 5000, seed=0)
        except BaseException as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert (torch.get_num_threads(), Distribution._validate_args) == (threads, checks)
    fresh = []
    late = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    late.start()
    late.join()
    assert fresh == [threads]
    assert torch.equal(torch.get_rng_state(), state)


# Streams.


def test_a_seed_names_another_stream_in_every_function():
    model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1e-3)
    x, _ = model.sample(1000, seed=0)
    ratio = (prior_monte_carlo(model, x, 5, seed=0).log_evidence - model.log_evidence(x)).exp()
    # Its own z would be found among the draws, and the evidence would come out forty times too large.
    assert ratio.mean() < 2
    one, two = (
        estimate(model, model.prior, x[:3], 100, seed=0) for estimate in (importance_sampling, summarize_weights)
    )
    assert not torch.equal(one.log_evidence, two.log_evidence)


@pytest.mark.parametrize("seed", [0, -1, -(2**70), 2**63, 2**64, 10**30])
def test_any_integer_is_a_seed(seed):
    model = scalar()
    (x, _), (again, _) = model.sample(3, seed=seed), model.sample(3, seed=seed)
    assert torch.equal(x, again)
    assert not torch.equal(x, model.sample(3, seed=seed + 1)[0])
    prior_monte_carlo(model, x, 5, seed=seed)
    kl(Normal(0.0, 1.0), Normal(1.0, 1.0), num_samples=10, seed=seed)


@pytest.mark.parametrize(
    "q",
    [
        Independent(Normal(torch.zeros(2).double(), 1.0), 1),
        MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()),
        Independent(Laplace(torch.zeros(2).double(), 1.0), 1),
    ],
    ids=["normal", "multivariate", "laplace"],
)
def test_one_seed_gives_one_answer_with_any_chunks_and_threads(q):
    model, x = models.linear_gaussian(), torch.zeros(500, 4).double()
    threads, answers = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for chunk_size in (None, 100):
                estimate = importance_sampling(model, q, x, 2000, seed=0, chunk_size=chunk_size)
                answers.append(torch.stack([estimate.log_evidence, estimate.std_error]))
    finally:
        torch.set_num_threads(threads)
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0], atol=0, rtol=1e-12)


def test_blocks_summarised_apart_merge_to_the_whole():
    model, x = models.linear_gaussian(), torch.zeros(500, 4).double()
    problem = bind(model, model.prior, x)
    num_samples = 3 * block_length(problem) + 1
    assert num_blocks(problem, num_samples) == 4
    run = functools.partial(summarize_blocks, problem, num_samples, name="evaluate", seed=3)
    whole, parts = run(), run(first=0, last=2).merge(run(first=2, last=4))
    assert parts.num_samples == whole.num_samples == num_samples
    torch.testing.assert_close(parts.log_evidence, whole.log_evidence, atol=0, rtol=1e-12)
    torch.testing.assert_close(parts.pareto_k, whole.pareto_k, atol=1e-9, rtol=0)


# What is to be learnt is found.


NETWORK = nn.Linear(1, 3)
HELD = SimpleNamespace(networks=[nn.Linear(1, 3)])


def through_a_global(z):
    return Independent(Normal(NETWORK(z), 1.0), 1)


def through_an_object(z):
    return Independent(Normal(HELD.networks[0](z), 1.0), 1)


def closing_over(network):
    return lambda z: Independent(Normal(network(z), 1.0), 1)


def as_an_argument(network, z):
    return Independent(Normal(network(z), 1.0), 1)


class Holder:
    def __init__(self, network):
        self.network = network

    def decode(self, z):
        return Independent(Normal(self.network(z), 1.0), 1)

    __call__ = decode


def likelihoods():
    own = nn.Linear(1, 3)
    return {
        "closure": (closing_over(own), own),
        "nested closure": ((lambda inner: lambda z: inner(z))(closing_over(own)), own),
        "global": (through_a_global, NETWORK),
        "object": (through_an_object, HELD.networks[0]),
        "partial": (functools.partial(as_an_argument, own), own),
        "method": (Holder(own).decode, own),
        "callable object": (Holder(own), own),
        "default": (lambda z, network=own: Independent(Normal(network(z), 1.0), 1), own),
    }


@pytest.mark.parametrize("how", likelihoods())
def test_a_network_behind_a_plain_function_is_found(how):
    likelihood, network = likelihoods()[how]
    model = LatentVariableModel(Independent(Normal(torch.zeros(1), 1.0), 1), likelihood)
    assert {id(parameter) for parameter in model.parameters()} == {id(parameter) for parameter in network.parameters()}
    model.check_learnable()


def test_only_the_part_of_a_module_that_is_used_becomes_a_part_of_the_model():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder, self.unused = nn.Linear(1, 3), nn.Linear(7, 7)
            self.model = LatentVariableModel(Independent(Normal(torch.zeros(1), 1.0), 1), self.decode)

        def decode(self, z):
            return Independent(Normal(self.decoder(z), 1.0), 1)

    whole = Whole()
    assert len(list(whole.model.parameters())) == 2
    assert len(list(whole.double().parameters())) == 4


@pytest.mark.parametrize("how", ["value", "function"])
def test_a_parameter_of_the_prior_is_found_and_learnt(how):
    loc = nn.Parameter(torch.zeros(1))
    prior = Independent(Normal(loc, 1.0), 1) if how == "value" else lambda: Independent(Normal(loc, 1.0), 1)
    model = LatentVariableModel(prior, lambda z: Independent(Normal(z, 1.0), 1))
    assert [id(parameter) for parameter in model.parameters()] == [id(loc)]
    model.check_learnable()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (-elbo(model, MeanFieldGuide(1), torch.full((50, 1), 5.0)).mean()).backward()
        optimizer.step()
    assert model.prior.mean == loc != 0


def test_what_cannot_be_found_is_refused_by_name():
    hidden = torch.zeros(1, requires_grad=True)
    model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z + hidden[0], 1.0))
    with pytest.raises(TypeError, match=r"likelihood depends on a torch.float32 tensor of shape .1,.*no parameter"):
        model.check_learnable()
    log_scale = nn.Parameter(torch.zeros(()))
    model = LatentVariableModel(Normal(0.0, log_scale.exp()), lambda z: Normal(z, 1.0))
    with pytest.raises(TypeError, match=r"prior is Normal.*was computed from parameters once.*lambda"):
        model.check_learnable()


# Models people have.


@pytest.mark.parametrize("scale", [torch.ones(2), torch.ones(3), torch.ones(4), torch.ones(6)])
def test_a_likelihood_with_dimensions_of_its_own_is_refused(scale):
    with pytest.raises(ValueError, match=r"likelihood.*expected"):
        LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, scale))


def test_a_prior_without_expand_is_refused_when_the_model_is_made():
    class Bare(Distribution):
        arg_constraints = {}  # noqa: RUF012
        support = torch.distributions.constraints.real

        def sample(self, sample_shape=()):
            return torch.randn(sample_shape)

        def log_prob(self, value):
            return Normal(0.0, 1.0).log_prob(value)

    with pytest.raises(TypeError, match=r"prior is Bare.*no method expand"):
        LatentVariableModel(Bare(validate_args=False), lambda z: Normal(z, 1.0))


def test_layers_for_images_need_no_flattening():
    decoder = nn.Sequential(nn.Linear(2, 8), nn.Unflatten(1, (2, 2, 2)), nn.ConvTranspose2d(2, 1, 2, stride=2))
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 4))
    vae = VAE(encoder, decoder, 2)
    for batch in ((), (5,), (3, 2)):
        x = binary(*batch, 1, 4, 4)
        assert elbo(vae, vae.encoder, x, 3).shape == batch
        assert importance_sampling(vae, vae.encoder, x, 20, seed=0).log_evidence.shape == batch
    assert vae.sample(6, seed=0)[0].shape == (6, 1, 4, 4)
    plain = LatentVariableModel(vae.prior, lambda z: Independent(Bernoulli(logits=decoder(z)), 3))
    z, x = torch.randn(7, 5, 2), binary(5, 1, 4, 4)
    torch.testing.assert_close(plain.log_joint(x, z), vae.log_joint(x, z))
    assert plain.likelihood(z).batch_shape == (7, 5)


@pytest.mark.parametrize("kind", ["dict", "tuple"])
def test_two_levels_are_one_vector_with_the_density_of_both(kind):
    top, bottom = Independent(Normal(torch.zeros(2), 1.0), 1), nn.Linear(2, 3)
    given = lambda z: Independent(Normal(bottom(z), 0.5), 1)  # noqa: E731
    prior = {"top": top, "bottom": given} if kind == "dict" else (top, given)
    last = (lambda z: z["bottom"]) if kind == "dict" else (lambda z: z[1])
    model = LatentVariableModel(prior, lambda z: Independent(Normal(last(z), 1.0), 1))
    x, z = model.sample(5, seed=0)
    assert z.shape == (5, 5)
    expected = top.log_prob(z[:, :2]) + given(z[:, :2]).log_prob(z[:, 2:])
    torch.testing.assert_close(model.log_prior(z), expected)
    assert {id(p) for p in model.parameters()} == {id(p) for p in bottom.parameters()}
    flat = AmortizedGuide(nn.Linear(3, 10))
    levels = lambda x: (Independent(Normal(x[..., :2], 1.0), 1), lambda z: Independent(Normal(bottom(z), 1.0), 1))  # noqa: E731
    for q in (flat, levels):
        elbo(model, q, x).sum().backward()
        assert importance_sampling(model, q, x, 100, seed=0).log_evidence.shape == (5,)


def test_the_evidence_of_two_gaussian_levels_is_that_of_their_sum():
    model = LatentVariableModel(
        (Independent(Normal(torch.zeros(1), 1.0), 1), lambda z: Independent(Normal(z, 1.0), 1)),
        lambda z: Independent(Normal(z[1], 1.0), 1),
    )
    estimate = prior_monte_carlo(model, torch.ones(1), 100_000, seed=0)
    assert abs(estimate.log_evidence - Normal(0.0, 3**0.5).log_prob(torch.tensor(1.0))) < 5 * estimate.std_error


def test_levels_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"prior\['b'\] is Normal.*expected a callable from the levels before it"):
        LatentVariableModel({"a": Normal(0.0, 1.0), "b": Normal(0.0, 1.0)}, lambda z: Normal(z["a"], 1.0))


def test_gaps_are_integrated_out():
    weight = torch.tensor([[1.0], [0.5], [-2.0]])
    prior = Independent(Normal(torch.zeros(1), 1.0), 1)
    make = lambda w, **options: LatentVariableModel(  # noqa: E731
        prior, lambda z: Independent(Normal(z @ w.T, 0.5), 1), **options
    )
    gappy, whole = make(weight, missing="marginalize"), make(weight[[0, 2]])
    x, z = torch.tensor([[0.3, torch.nan, 1.0]]), torch.randn(7, 1, 1)
    torch.testing.assert_close(gappy.log_joint(x, z), whole.log_joint(x[:, [0, 2]], z))
    with pytest.raises(ValueError, match="x has 1 NaN"):
        make(weight).log_joint(x, z)
    q = AmortizedGuide(nn.Linear(3, 2))
    elbo(gappy, q, x).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in q.parameters())


@pytest.mark.parametrize(
    "family", [lambda z: Bernoulli(logits=z), lambda z: Exponential(z.exp()), lambda z: Beta(z.exp(), 1.0)]
)
def test_gaps_are_integrated_out_of_any_independent_likelihood(family):
    prior = Independent(Normal(torch.zeros(3), 1.0), 1)
    model = LatentVariableModel(prior, lambda z: Independent(family(z), 1), missing="marginalize")
    z = torch.randn(7, 2, 3)
    x, _ = model.sample(2, seed=0)
    gappy = x.clone()
    gappy[0, 1] = torch.nan
    expected = family(z).log_prob(x)
    expected[:, 0, 1] = 0.0
    torch.testing.assert_close(model.log_likelihood(gappy, z), expected.sum(-1))


def test_gaps_need_independent_coordinates():
    with pytest.raises(ValueError, match=r"missing is 'marginalize' and likelihood.*independent"):
        LatentVariableModel(
            Independent(Normal(torch.zeros(2), 1.0), 1),
            lambda z: MultivariateNormal(z, torch.eye(2)),
            missing="marginalize",
        )


def test_a_discrete_q_of_another_precision_is_taken():
    model = LatentVariableModel(Categorical(torch.ones(3)), lambda z: Normal(z.float(), 1.0))
    assert elbo(model, Categorical(torch.ones(3).double()), torch.zeros(2)).isfinite().all()


def test_a_q_that_was_drawn_from_before_is_still_that_q():
    q = VonMises(torch.tensor(0.5), torch.tensor(2.0))
    model = LatentVariableModel(VonMises(torch.tensor(0.0), torch.tensor(1.0)), lambda z: Normal(z.cos(), 0.5))
    before = importance_sampling(model, q, torch.zeros(2), 1000, seed=0).log_evidence
    q.sample()  # torch then keeps its parameters in float64 too
    assert torch.equal(importance_sampling(model, q, torch.zeros(2), 1000, seed=0).log_evidence, before)


class OwnLine(nn.Module):
    def forward(self, x):
        raise RuntimeError("a line of one's own")


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_a_network_that_does_not_take_x_is_named_and_an_error_of_ones_own_comes_through():
    vae, x = small_vae(), binary(3, 4)
    for error, network, words in (
        (ValueError, nn.Linear(5, 4), r"^q fails for x, a torch.float32 tensor of shape \(3, 4\).*expected"),
        (TypeError, Pair(), r"^encoder\(x\) is .*tuple.*expected one tensor"),
        (RuntimeError, OwnLine(), "^a line of one's own$"),
    ):
        with pytest.raises(error, match=words):
            elbo(vae, AmortizedGuide(network), x)


class AlwaysDropped(nn.Module):
    """Dropout that no mode switches off, as ``torch.nn.functional`` has it by default."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4)

    def forward(self, z):
        return nn.functional.dropout(self.layer(z), 0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: small_vae(AlwaysDropped()),
        lambda: LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z + torch.randn_like(z), 1.0)),
    ],
)
def test_a_likelihood_with_noise_of_its_own_is_refused(make):
    with pytest.raises(ValueError, match=r"^likelihood\(z\) is .*the same z.*expected a function of z alone"):
        make()


def test_looking_twice_at_a_likelihood_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    scalar()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "q",
    [
        {"b": Normal(0.0, 1.0), "a": lambda b: Independent(Normal(b[..., None].expand(*b.shape, 2), 1.0), 1)},
        {"x": Independent(Normal(torch.zeros(2), 1.0), 1), "y": lambda a: Normal(a.sum(-1), 1.0)},
        (Normal(0.0, 1.0), lambda b: Independent(Normal(b[..., None].expand(*b.shape, 2), 1.0), 1)),
    ],
    ids=["other order", "other names", "other sizes"],
)
@pytest.mark.parametrize("wrap", [lambda q: q, lambda q: lambda x: q], ids=["levels", "callable"])
def test_the_levels_of_q_are_those_of_the_prior_in_their_order(q, wrap):
    prior = {"a": Independent(Normal(torch.zeros(2), 1.0), 1), "b": lambda a: Normal(a.sum(-1), 0.5)}
    model = LatentVariableModel(prior, lambda z: Normal(z["b"], 0.3))
    assert elbo(model, prior, torch.zeros(())).isfinite()
    assert elbo(model, tuple(prior.values()), torch.zeros(())).isfinite()
    with pytest.raises(
        ValueError, match=r"^q has the levels .* and the prior has \{'a': \(2,\), 'b': \(\)\}: expected"
    ):
        elbo(model, wrap(q), torch.zeros(()))
