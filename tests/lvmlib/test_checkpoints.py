"""Checkpoints: a run goes on after a kill as if nothing had been, and no file is believed that fit did not write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from runs import binary_digits, parameters, same, settings, small_vae

from lvmlib import RunningMean, fit


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
