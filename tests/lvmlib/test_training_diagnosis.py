"""Numbers that go bad in training are named and do no harm, and errors of the caller's own come through."""

from __future__ import annotations

import math
import threading

import pytest
import torch
from runs import QUIET, binary_digits, small_vae
from torch import nn
from torch.distributions import Normal
from torch.utils.data import DataLoader

from lvmlib import VAE, LatentVariableModel, NonFiniteLossError, RunningMean, elbo, fit, mlp
from lvmlib.training.checkpoints import read

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
            torch.manual_seed(0)
            fit(vae, vae.encoder, x, epochs=epochs, batch_size=20, progress=False)
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
    class Broken(Normal):
        """A normal whose density is NaN where that term is meant."""

        name = ""

        def log_prob(self, value):
            return super().log_prob(value) + (math.nan if self.name == term else 0.0)

        def expand(self, batch_shape, _instance=None):
            return type(self)(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    def called(name):
        return type("Broken", (Broken,), {"name": name})

    class Prior(nn.Module):
        def forward(self):
            return called("log-prior")(torch.zeros(()), torch.ones(()))

    class Likelihood(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, z):
            return called("log-likelihood")(z + self.shift, torch.ones_like(z))

    class Guide(nn.Module):
        def forward(self, x):
            return called("log q")(x / 2, torch.ones_like(x))

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
        fit(
            vae, vae.encoder, binary_digits(), epochs=50, transform=mark_rarely, checkpoint=path, seed=1, progress=False
        )
    assert caught.value.epoch > 2
    state = read(path)
    assert state.rest["epoch"] == caught.value.epoch - 1
    assert state.rest["history"]["train"] == caught.value.history.train
    assert all(value.double().isfinite().all() for value in state.tensors.values())


def test_a_bad_step_leaves_batch_statistics_and_the_baseline_as_they_were():
    encoder = nn.Sequential(nn.BatchNorm1d(64), Breaking("value"))
    vae, baseline = VAE(encoder, mlp(3, 64), latent_dim=3), RunningMean()
    x = marked_digits()
    with pytest.raises(NonFiniteLossError) as caught:
        fit(vae, vae.encoder, x, epochs=3, batch_size=20, estimator="score", baseline=baseline, **QUIET)
    assert encoder[0].num_batches_tracked == caught.value.step - 1
    assert encoder[0].running_mean.isfinite().all()
    assert baseline.mean.isfinite()


# Errors of the caller's own.


@pytest.mark.parametrize(
    "error", [RuntimeError("mine"), ValueError("mine"), KeyError("mine"), FloatingPointError("mine")]
)
@pytest.mark.parametrize("place", ["transform", "loader", "encoder", "scheduler", "callback", "kl_weight"])
def test_an_error_of_the_callers_own_comes_through_at_once(place, error):
    """Once in the second epoch: no epoch is made again, so nothing is called a second time at the same step."""
    calls = {"count": 0, "armed": False}

    def fail():
        if calls["armed"]:
            calls["count"] += 1
            raise error

    def arm(history):
        calls["armed"] = True
        if place == "callback":
            fail()

    def transform(x):
        if place == "transform" and torch.is_grad_enabled():
            fail()
        return x

    class Encoder(nn.Linear):
        def forward(self, x):
            if place == "encoder":
                fail()
            return super().forward(x)

    def collate(rows):
        if place == "loader":
            fail()
        return torch.stack(rows)

    class Scheduler(torch.optim.lr_scheduler.StepLR):
        def step(self, *arguments):
            if place == "scheduler":
                fail()
            super().step(*arguments)

    def weight(step):
        if place == "kl_weight":
            fail()
        return 1.0

    vae = VAE(Encoder(64, 6), mlp(3, 64), latent_dim=3)
    loader = DataLoader(list(binary_digits(40)), batch_size=20, collate_fn=collate)
    with pytest.raises(type(error)) as caught:
        fit(
            vae, vae.encoder, loader, epochs=3, transform=transform, kl_weight=weight, callback=arm,
            scheduler=lambda optimizer: Scheduler(optimizer, 10), **QUIET,
        )  # fmt: skip
    assert caught.value is error
    assert calls["count"] == 1


def test_a_stopped_run_leaves_the_process_as_it_was():
    """An interrupt in the middle of a step restores the random state, the modes of modules and torch's checks."""
    vae, before = small_vae(), torch.get_rng_state()
    checks = torch.distributions.Distribution._validate_args
    seen = []

    def interrupt(x):
        seen.append(torch.is_grad_enabled())
        if sum(seen) == 3:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        fit(vae, vae.encoder, binary_digits(), epochs=5, transform=interrupt, **QUIET)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.distributions.Distribution._validate_args == checks
    assert vae.training


def test_runs_in_two_threads_are_those_of_one():
    def train(vae):
        fit(vae, vae.encoder, binary_digits(), epochs=2, batch_size=None, estimator="score", **QUIET)

    checks = torch.distributions.Distribution._validate_args
    vaes = [small_vae(), small_vae()]
    threads = [threading.Thread(target=train, args=(vae,)) for vae in vaes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.distributions.Distribution._validate_args == checks
    assert all(p.isfinite().all() for vae in vaes for p in vae.parameters())
