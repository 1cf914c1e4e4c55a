"""Estimates hold their memory: draws are streamed, however many there are."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LIMIT_MB = 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize(
    "call",
    [
        pytest.param("prior_monte_carlo(model, x, 1_000_000, seed=0)", marks=pytest.mark.thorough),
        "importance_sampling(model, q, x, 1_000_000, seed=0)",
        pytest.param(
            "self_normalized_expectation(model, q, x, model.likelihood_mean, 300_000, seed=0)",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_million_draws_of_an_image_take_less_than_200_megabytes(call):
    """All at once they would take half a gigabyte for the images alone. A process of its own, for its own peak."""
    program = f"""
        import torch
        from lvmlib import LinearGaussian, defensive_mixture, importance_sampling, prior_monte_carlo
        from lvmlib import self_normalized_expectation

        def megabytes(field):
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))

        torch.set_num_threads(1)
        model = LinearGaussian(torch.randn(64, 2), torch.zeros(64), 0.5)
        model.likelihood_mean = lambda z: z @ model.weight.T
        x, q = torch.zeros(64), defensive_mixture(model.posterior, model)
        before = megabytes("VmRSS")
        {call}
        print(megabytes("VmHWM") - before)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < LIMIT_MB
