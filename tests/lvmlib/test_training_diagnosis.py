"""Numbers that go bad in training are named and do no harm, and errors of the caller's own come through."""

from __future__ import annotations

import math

import pytest
import torch
from runs import QUIET, binary_digits
from torch import nn
from torch.distributions import Normal

from lvmlib import VAE, LatentVariableModel, NonFiniteLossError, elbo, fit, mlp

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
