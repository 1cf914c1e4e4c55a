"""Training: it climbs to the truth, stops at the right moment, and goes on after a kill as if nothing had been."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import models
import pytest
import safetensors
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.utils._python_dispatch import TorchDispatchMode

from lvmlib import (
    VAE,
    AmortizedGuide,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    NonFiniteLossError,
    RunningMean,
    UnconditionalGuide,
    data,
    elbo,
    fit,
    mlp,
    plots,
    training,
)

QUIET = {"progress": False, "seed": 0}


def small_vae(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VAE(encoder=mlp(64, 16, 6), decoder=mlp(3, 16, 64), latent_dim=3)


def binary_digits(count=200):
    return data.digits(binarize=True).images[:count]


def parameters(*modules):
    return {f"{i}.{name}": value.clone() for i, m in enumerate(modules) for name, value in m.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def learnable(**options):
    """Probabilistic PCA to be learnt, and data from a known one."""
    truth = LinearGaussian(torch.tensor([[2.0], [1.0], [-1.0]]), torch.zeros(3), 0.5)
    x, _ = truth.sample(1000, seed=0)
    return truth, LinearGaussian(nn.Parameter(models.normals(3, 1, seed=1).float()), torch.zeros(3), 0.5), x


# It learns.


@pytest.mark.parametrize(
    ("objective", "estimator", "num_samples"),
    [("elbo", None, 1), ("elbo", "stl", 1), ("elbo", "score", 8), ("iwae", None, 5), ("iwae", "dreg", 5)],
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


@pytest.mark.parametrize("flow", ["NSF", "MAF"])
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
    vae = small_vae()
    x, unseen = binary_digits(150), binary_digits(300)[200:]
    history = fit(vae, vae.encoder, x, epochs=3, batch_size=60, validation=unseen, **QUIET)
    assert len(history.train) == len(history.validation) == 3
    assert history.steps == 9
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = [elbo(vae, vae.encoder, rows).sum() for rows in unseen.split(60)]
    assert history.validation[-1] == pytest.approx((sum(parts) / 100).item(), abs=1e-4)
    assert repr(history).startswith("History(epochs=3, steps=9, ELBO=-")


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


@pytest.fixture
def compiled_quickly(monkeypatch):
    """Traced and differentiated as always, but run without the minute that generating machine code takes."""
    compile_program = torch.compile

    def quickly(program, options):
        return compile_program(program, backend="aot_eager", options={"guard_filter_fn": options["guard_filter_fn"]})

    monkeypatch.setattr(torch, "compile", quickly)


@pytest.mark.parametrize(
    ("objective", "estimator", "num_samples"),
    [("elbo", "reparameterized", 1), ("elbo", "stl", 2), ("elbo", "score", 2), ("iwae", "iwae", 3), ("iwae", "dreg", 3),
     ("iwae", "vimco", 3)],
)  # fmt: skip
def test_a_compiled_loss_takes_the_same_steps(compiled_quickly, objective, estimator, num_samples):
    one, two = small_vae(), small_vae()
    how = {"objective": objective, "estimator": estimator, "num_samples": num_samples, "epochs": 2, **QUIET}
    fit(one, one.encoder, binary_digits(), **how)
    fit(two, two.encoder, binary_digits(), compile=True, **how)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_what_was_compiled_for_one_model_is_not_used_for_another(compiled_quickly):
    def other_sizes():
        torch.manual_seed(0)
        return VAE(encoder=mlp(64, 9, 4), decoder=mlp(2, 9, 64), latent_dim=2)

    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(), epochs=1, compile=True, **QUIET)
    one, two = other_sizes(), other_sizes()
    fit(one, one.encoder, binary_digits(), epochs=2, **QUIET)
    fit(two, two.encoder, binary_digits(), epochs=2, compile=True, **QUIET)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_a_compiled_step_that_goes_bad_is_named(compiled_quickly):
    vae = small_vae()
    with torch.no_grad():
        vae.encoder.encoder[-1].bias[-1] = torch.inf
    before = parameters(vae)
    with pytest.raises(NonFiniteLossError, match="step 1"):
        fit(vae, vae.encoder, binary_digits(), epochs=1, compile=True, **QUIET)
    assert same(parameters(vae), before)
    assert all(parameter.grad is None for parameter in vae.parameters())


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
    original = training._Run._steps

    def watched(self, bar, *, careful):
        monkeypatch.setattr(training.math, "isfinite", lambda value: True)
        with Reads() as reads:
            losses = original(self, bar, careful=careful)
        monkeypatch.undo()
        monkeypatch.setattr(training._Run, "_steps", watched)
        counts.append(reads.names)
        return losses

    monkeypatch.setattr(training._Run, "_steps", watched)
    fit(vae, vae.encoder, x, epochs=2, estimator=estimator, **QUIET)
    assert counts == [[], []]


# Numbers that go bad.


class Breaking(nn.Module):
    """An encoder that is as it should be until a row with the mark comes: then a term or a gradient goes bad."""

    def __init__(self, how):
        super().__init__()
        self.network = nn.Linear(64, 6)
        self.how = how

    def forward(self, x):
        out = self.network(x)
        marked = x[:, :1] > 0
        if self.how == "value":
            return torch.where(marked, torch.full_like(out, math.nan), out)
        # The square root of nought is nought, and its slope is infinite.
        usual = 1 - marked.to(out)
        return out + (usual + 0 * out.sum(-1, keepdim=True)).sqrt() - usual


def marked_digits(row=130, count=200):
    x = binary_digits(count).clone()
    x[:, 0] = 0
    x[row, 0] = 1
    return x


@pytest.mark.parametrize(("how", "term"), [("value", "z"), ("gradient", "gradient of")])
def test_a_bad_step_is_named_and_not_taken(how, term):
    def run(epochs, x):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            vae = VAE(encoder=Breaking(how), decoder=mlp(3, 64), latent_dim=3)
        try:
            fit(vae, vae.encoder, x, epochs=epochs, batch_size=20, **QUIET)
        except NonFiniteLossError as error:
            return vae, error
        return vae, None

    vae, error = run(3, marked_digits())
    assert 130 in error.rows.tolist()
    assert len(error.rows) == 20
    assert error.term.startswith(term)
    assert error.epoch == 1
    assert f"step {error.step}, in epoch 1" in str(error)
    assert all(value.isfinite().all() for value in vae.state_dict().values())
    # The same steps by hand, up to the bad one.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = VAE(encoder=Breaking(how), decoder=mlp(3, 64), latent_dim=3)
        torch.manual_seed(0)
        order = torch.randperm(200)
        optimizer = torch.optim.Adam(other.parameters(), lr=1e-3, fused=True)
        for rows in order.split(20)[: error.step - 1]:
            optimizer.zero_grad()
            (-elbo(other, other.encoder, marked_digits()[rows]).mean()).backward()
            optimizer.step()
    for one, two in zip(vae.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


@pytest.mark.parametrize("term", ["log-likelihood", "log-prior", "log q"])
def test_the_term_that_went_bad_is_named(term):
    def broken(values, name):
        return values + (math.nan if name == term else 0.0)

    class Prior(nn.Module):
        def forward(self):
            normal = Normal(torch.zeros(()), torch.ones(()))
            density = normal.log_prob
            normal.log_prob = lambda z: broken(density(z), "log-prior")
            return normal

    class Likelihood(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, z):
            normal = Normal(z + self.shift, 1.0)
            density = normal.log_prob
            normal.log_prob = lambda x: broken(density(x), "log-likelihood")
            return normal

    class Guide(nn.Module):
        def forward(self, x):
            normal = Normal(x / 2, torch.ones_like(x))
            density = normal.log_prob
            normal.log_prob = lambda z: broken(density(z), "log q")
            return normal

    model = LatentVariableModel(Prior(), Likelihood())
    with pytest.raises(NonFiniteLossError, match=f"{term} is not finite") as caught:
        fit(model, Guide(), torch.linspace(-1, 1, 10), epochs=2, **QUIET)
    assert caught.value.term == term
    assert caught.value.step == 1


def test_a_run_that_goes_bad_leaves_its_last_good_epoch_in_the_checkpoint(tmp_path):
    """A transform marks a batch now and then; the same random numbers bring the same bad step again."""

    def mark_rarely(x):
        x = x.clone()
        x[:, 0] = (torch.rand(()) < 0.04).to(x)
        return x

    torch.manual_seed(0)
    vae = VAE(encoder=Breaking("value"), decoder=mlp(3, 64), latent_dim=3)
    path = tmp_path / "run.safetensors"
    with pytest.raises(NonFiniteLossError) as caught:
        fit(vae, vae.encoder, binary_digits(), epochs=50, transform=mark_rarely, checkpoint=path, **QUIET)
    assert caught.value.epoch > 2
    tensors, rest = training._read(path)
    assert rest["epoch"] == caught.value.epoch - 1
    assert rest["history"]["train"] == caught.value.history.train
    assert all(value.double().isfinite().all() for value in tensors.values())


# Checkpoints.


def settings(tmp_path, **changes):
    return QUIET | {"checkpoint": tmp_path / "run.safetensors", "validation": binary_digits(30)} | changes


@pytest.mark.parametrize("seed", [0, None])
def test_a_resumed_run_ends_with_the_bits_of_one_in_one_go(tmp_path, seed):
    finals = []
    for parts in ([6], [2, 6]):
        torch.manual_seed(9)
        for epochs in parts:
            vae = small_vae()
            baseline = RunningMean()
            options = settings(tmp_path, seed=seed, resume=epochs != parts[0])
            history = fit(
                vae, vae.encoder, binary_digits(), epochs=epochs, estimator="score", baseline=baseline, **options
            )
        finals.append((options["checkpoint"].read_bytes(), parameters(vae, baseline), history))
        options["checkpoint"].unlink()
    assert finals[0][0] == finals[1][0]
    assert same(finals[0][1], finals[1][1])
    assert finals[0][2] == finals[1][2]


def test_a_resumed_run_keeps_its_patience_and_its_best_parameters(tmp_path):
    x, finals = binary_digits(40), []
    for parts in ([500], [4, 7, 500]):
        for epochs in parts:
            vae = small_vae()
            options = settings(tmp_path, resume=epochs != parts[0], patience=4, learning_rate=0.02)
            history = fit(vae, vae.encoder, x, epochs=epochs, **options)
        finals.append((parameters(vae), history))
        options["checkpoint"].unlink()
    assert same(finals[0][0], finals[1][0])
    assert finals[0][1] == finals[1][1]


def test_a_checkpoint_is_tensors_and_json(tmp_path):
    vae, options = small_vae(), settings(tmp_path)
    fit(vae, vae.encoder, binary_digits(), epochs=2, **options)
    with safetensors.safe_open(options["checkpoint"], framework="pt") as file:
        names = set(file.keys())
        rest = json.loads(file.metadata()["lvmlib"])
        assert torch.equal(file.get_tensor("model.encoder.encoder.0.weight"), vae.encoder.encoder[0].weight)
    assert {"random.cpu", "optimizer.0.exp_avg", "optimizer.0.step"} <= names
    assert (rest["epoch"], rest["step"]) == (2, 4)
    assert len(rest["history"]["validation"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_checkpoints_come_at_their_distance_and_at_the_end(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(training, "_write", lambda path, state: written.append(state[1]["epoch"]))
    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(50), epochs=7, **settings(tmp_path, checkpoint_every=3))
    assert written == [3, 6, 7]


def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(tmp_path):
    """Twenty times, one program is killed without warning somewhere in its run; what is left is always whole."""
    program = Path(__file__).with_name("killed_run.py")
    root = program.parent.parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(root)}

    run = subprocess.run(
        [sys.executable, program, tmp_path, "20"], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert len(report["epochs"]) == 20
    assert report["same"] == 20, "a resumed run ended with other bytes"
    assert len(set(report["epochs"])) >= 5, "the kills did not fall into different epochs"
