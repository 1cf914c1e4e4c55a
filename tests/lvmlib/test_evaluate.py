"""The command line: one process and many give one answer, and a run that lost a process goes on where it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import QUIET, binary_digits, small_vae
from torch import nn
from torch.distributions import Categorical, Normal

from lvmlib import LatentVariableModel, data, fit, importance_sampling, mlp
from lvmlib._evaluation_files import observations
from lvmlib.evaluate import evaluate, main
from lvmlib.training import load
from lvmlib.vae import VAE

ROOT = Path(__file__).parents[2]
COLUMNS = ("log_evidence", "std_error", "ess", "pareto_k")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    vae, file = small_vae(), tmp_path_factory.mktemp("trained") / "run.safetensors"
    fit(vae, vae.encoder, binary_digits(), epochs=2, checkpoint=file, **QUIET)
    return file


def command(checkpoint, output, *words, processes):
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    line = [sys.executable, *program, "-m", "lvmlib.evaluate", str(checkpoint), "--output", str(output), *words]
    return {"args": line, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def run(checkpoint, output, *words, processes=None):
    """The result of a run to its end; by one process, in this one."""
    if processes is None:
        assert main([str(checkpoint), "--output", str(output), "--device", "cpu", *words]) == 0
        return json.loads(output.read_text())
    done = subprocess.run(**command(checkpoint, output, *words, processes=processes), check=False)
    print(done.stderr, file=sys.stderr)
    assert done.returncode == 0, done.stderr
    assert not list(output.parent.glob("*.partial"))
    return json.loads(output.read_text())


def test_it_is_importance_sampling_with_the_q_of_the_checkpoint(checkpoint, tmp_path, capsys):
    assert main([str(checkpoint), "--samples", "3000", "--limit", "50", "--output", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert json.loads(capsys.readouterr().out)["log_evidence"] == found["log_evidence"]
    model, q = load(checkpoint)
    x = data.digits("test", binarize=True).images[:50]
    estimate = importance_sampling(model, q, x, 3000, seed=1)
    error = (found["std_error"] ** 2 + (estimate.std_error.double().square().sum() / 50**2).item()) ** 0.5
    assert abs(found["log_evidence"] - estimate.log_evidence.double().mean().item()) < 5 * error
    assert found["observations"] == 50
    assert all(len(found["observations_in_order"][name]) == 50 for name in COLUMNS)


@pytest.mark.thorough
@pytest.mark.parametrize("split", ["data", "samples"])
def test_one_process_and_many_give_one_answer(checkpoint, tmp_path, split):
    words = ("--samples", "6000", "--limit", "60", "--group-size", "20")
    one = run(checkpoint, tmp_path / "one.json", *words)
    for processes in (2, 3) if split == "samples" else (2,):
        many = run(checkpoint, tmp_path / "many.json", *words, "--split", split, processes=processes)
        assert many["processes"] == processes
        for name in COLUMNS:
            assert many["observations_in_order"][name] == pytest.approx(one["observations_in_order"][name], abs=1e-6)
        assert many["log_evidence"] == pytest.approx(one["log_evidence"], abs=1e-6)


def children(process):
    """The processes that another one started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in Linux's /proc")
@pytest.mark.parametrize(("split", "processes"), [("data", None), ("samples", 2)])
def test_a_killed_worker_ends_the_run_clearly_and_any_number_goes_on(checkpoint, tmp_path, capfd, split, processes):
    words = ("--samples", "20000", "--limit", "120", "--group-size", "10", "--split", split)
    output = tmp_path / "result.json"
    with subprocess.Popen(**command(checkpoint, output, *words, processes=2)) as running:
        while running.poll() is None and not any(part.stat().st_size for part in tmp_path.glob("*.0.partial")):
            time.sleep(0.05)
        os.kill(children(running.pid)[-1], signal.SIGKILL)
        errors = running.communicate()[1]
    assert running.returncode != 0
    assert "of 12 groups are finished and kept in" in errors, errors
    assert "give the same command again to go on" in errors
    kept = sum(len(part.read_text().splitlines()) for part in tmp_path.glob("*.partial"))
    assert kept >= 1
    assert not output.exists()
    again = run(checkpoint, output, *words, processes=processes)
    assert "of 12 groups are known from before" in capfd.readouterr().err
    whole = run(checkpoint, tmp_path / "whole.json", *words)
    assert again["observations_in_order"]["log_evidence"] == pytest.approx(
        whole["observations_in_order"]["log_evidence"], abs=1e-6
    )


def test_a_line_that_was_cut_short_is_made_again(checkpoint, tmp_path, monkeypatch, capsys):
    words = [str(checkpoint), "--samples", "500", "--limit", "30", "--group-size", "10", "--output"]
    assert main([*words, str(tmp_path / "a.json")]) == 0
    expected = json.loads((tmp_path / "a.json").read_text())["observations_in_order"]
    seen = []

    def stop_after_two(self):
        seen.append(self)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("lvmlib.evaluate._Progress.step", stop_after_two)
    assert main([*words, str(tmp_path / "b.json")]) == 1
    monkeypatch.undo()
    (part,) = tmp_path.glob("*.partial")
    assert len(part.read_text().splitlines()) == 2
    part.write_text(part.read_text()[:-40])
    capsys.readouterr()
    assert main([*words, str(tmp_path / "b.json")]) == 0
    assert "1 of 3 groups are known" in capsys.readouterr().err
    assert json.loads((tmp_path / "b.json").read_text())["observations_in_order"] == expected


def make_other():
    """A model that no checkpoint can build alone."""

    class Other(VAE):
        pass

    vae = Other(mlp(64, 6), mlp(3, 64), latent_dim=3)
    return vae, vae.encoder


def test_other_models_and_data_come_by_name(tmp_path, monkeypatch):
    (model, q), file = make_other(), tmp_path / "other.safetensors"
    fit(model, q, binary_digits(40), epochs=1, checkpoint=file, **QUIET)
    np.save(tmp_path / "x.npy", binary_digits(7).cpu().numpy())
    monkeypatch.chdir(Path(__file__).parent)
    words = [str(file), "--data", str(tmp_path / "x.npy"), "--samples", "50", "--factory", "test_evaluate:make_other"]
    assert main(words) == 0
    found = json.loads((tmp_path / "other.evaluation.json").read_text())
    assert found["observations"] == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.safetensors"], "checkpoint is .*not there"),
        (["CHECKPOINT", "--data", "nothing.npy"], "nothing.npy"),
        (["CHECKPOINT", "--factory", "nonsense"], "--factory is 'nonsense'.*module:function"),
        (["CHECKPOINT", "--factory", "math:nothing"], "math has no 'nothing'"),
        (
            ["CHECKPOINT", "--factory", "nowhere:make"],
            "--factory is 'nowhere:make', and nowhere cannot be imported.*expected",
        ),
        (["CHECKPOINT", "--device", "abacus"], "--device is 'abacus'"),
        (["CHECKPOINT", "--data", "digits", "--device", "meta"], "--device is 'meta'.*expected cpu or cuda"),
        (["CHECKPOINT", "--data", "wide.npy"], r"--data is 'wide.npy' of shape \(32, 65\).*expected"),
        (["CHECKPOINT", "--data", "gaps.npy"], "x has .* NaN"),
        (["CHECKPOINT", "--data", "digits", "--output", "."], "--output is '.*directory"),
    ],
)
def test_wrong_words_get_a_sentence(checkpoint, words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.zeros((32, 65), dtype=np.float32))
    np.save("gaps.npy", np.full((2, 64), np.nan, dtype=np.float32))
    assert main([str(checkpoint) if word == "CHECKPOINT" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error


def test_a_model_whose_data_are_unknown_says_so(tmp_path, capsys):
    vae, file = VAE(mlp(5, 4), mlp(2, 5), latent_dim=2), tmp_path / "five.safetensors"
    fit(vae, vae.encoder, torch.ones(20, 5), epochs=1, checkpoint=file, **QUIET)
    assert main([str(file)]) == 2
    assert "pass --data FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(file), "--samples", "0"])
    assert "expected at least 1" in capsys.readouterr().err


def test_batch_statistics_are_those_of_the_training(tmp_path):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    vae, x = VAE(encoder, mlp(2, 5), latent_dim=2), (torch.rand(60, 5) < 0.5).float()
    fit(vae, vae.encoder, x, epochs=3, checkpoint=tmp_path / "run", **QUIET)
    model, q = load(tmp_path / "run")
    estimates = [evaluate(model, q, x, 500, group_size=size) for size in (60, 7)]
    exact = importance_sampling(vae, vae.encoder, x, 20_000, seed=1)
    for groups in estimates:
        found = torch.tensor([v for index in sorted(groups) for v in groups[index]["log_evidence"]])
        errors = torch.tensor([v for index in sorted(groups) for v in groups[index]["std_error"]])
        assert ((found - exact.log_evidence).abs() < 6 * errors + 1e-3).all()
    assert all(torch.equal(a, b) for a, b in zip(vae.buffers(), model.buffers(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "rows"}, "split is 'rows': expected one of"),
        ({"group_size": 0}, "group_size is 0: expected an integer of at least 1"),
        ({"x": [1.0]}, r"x is \[1.0\].*expected a torch.Tensor"),
        ({"x": torch.zeros(64)}, r"x has shape \(64,\): expected \(N, \*x_event\)"),
        ({"model": None}, "model is None.*expected a LatentVariableModel"),
    ],
)
def test_a_wrong_call_of_the_function_says_what_was_expected(checkpoint, change, message):
    model, q = load(checkpoint)
    with pytest.raises((TypeError, ValueError), match=message):
        evaluate(**({"model": model, "q": q, "x": binary_digits()[:4], "num_samples": 10} | change))


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [([0.7, 1.2], torch.int64), ([np.nan, 1.0], torch.int64), ([1j, 0j], torch.float32), ([1e300, 0.0], torch.float32)],
)
def test_data_that_the_model_cannot_hold_are_refused(numbers, dtype, tmp_path):
    whole = lambda z: Categorical(logits=torch.stack([z, -z], -1))  # noqa: E731
    model = LatentVariableModel(Normal(0.0, 1.0), whole if dtype == torch.int64 else lambda z: Normal(z, 1.0))
    np.save(tmp_path / "x.npy", np.array(numbers))
    with pytest.raises(ValueError, match=rf"--data is .* that {dtype}, the model's, cannot hold"):
        observations(str(tmp_path / "x.npy"), model)


def test_data_of_another_byte_order_are_read(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1.5, 2.5], dtype=">f8"))
    x = observations(str(tmp_path / "x.npy"), LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0)))
    assert x.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("place", ["run.safetensors", "x.npy", "notes.txt", "no/such/folder.json"])
def test_a_result_takes_the_place_of_an_older_result_alone(checkpoint, place, tmp_path, capsys):
    run_file, x_file = tmp_path / "run.safetensors", tmp_path / "x.npy"
    run_file.write_bytes(checkpoint.read_bytes())
    np.save(x_file, binary_digits(5).numpy())
    (tmp_path / "notes.txt").write_text("what cannot be made again")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    words = [str(run_file), "--data", str(x_file), "--samples", "5", "--device", "cpu", "--output"]
    assert main([*words, str(tmp_path / place)]) == 2
    assert re.search("--output is .*expected", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    for _ in range(2):
        assert main([*words, str(tmp_path / "result.json")]) == 0
