"""Checkpoints: a run goes on after a kill as if nothing had been, and no file is believed that fit did not write."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import models
import pytest
import safetensors
import safetensors.torch
import torch
from runs import QUIET, binary_digits, learnable, parameters, same, settings, small_vae
from torch import nn
from torch.utils.data import DataLoader

from lvmlib import VAE, AmortizedGuide, LinearGaussian, MeanFieldGuide, RunningMean, fit, mlp
from lvmlib.training import checkpoints, load
from lvmlib.training.checkpoints import Checkpoint, pack, read, unpack


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
        assert len(rest["checksum"]) == 64
        assert torch.equal(file.get_tensor("model.encoder.encoder.0.weight"), vae.encoder.encoder[0].weight.cpu())
    assert {"random.cpu", "optimizer.0.exp_avg", "optimizer.0.step"} <= names
    assert (rest["format"], rest["epoch"], rest["step"]) == (2, 2, 4)
    assert len(rest["history"]["validation"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_checkpoints_come_at_their_distance_and_at_the_end(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(Checkpoint, "write", lambda self, state: written.append(state.rest["epoch"]))
    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(50), epochs=7, **settings(tmp_path, checkpoint_every=3))
    assert written == [3, 6, 7]
    fit(
        vae,
        vae.encoder,
        binary_digits(50),
        epochs=9,
        callback=lambda h: len(h.train) == 4,
        **settings(tmp_path, checkpoint_every=3),
    )
    assert written[3:] == [3, 4]


@pytest.mark.thorough
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


# What a checkpoint keeps.


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 3]),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 6),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.01, total_steps=40),
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o, [torch.optim.lr_scheduler.ConstantLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)], [2]
        ),
    ],
)
@pytest.mark.parametrize("optimizer", [None, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)])
def test_a_resumed_run_has_its_schedule_and_momentum_again(tmp_path, scheduler, optimizer):
    finals = []
    for parts in ([5], [1, 3, 5]):
        for epochs in parts:
            vae = small_vae()
            options = settings(tmp_path, resume=epochs != parts[0], scheduler=scheduler, optimizer=optimizer)
            fit(vae, vae.encoder, binary_digits(40), epochs=epochs, **options)
        finals.append(options["checkpoint"].read_bytes())
        options["checkpoint"].unlink()
    assert finals[0] == finals[1]


def test_a_resumed_run_has_the_order_of_a_loader_again(tmp_path):
    finals = []
    for parts in ([4], [1, 4]):
        for epochs in parts:
            vae = small_vae()
            loader = DataLoader(binary_digits(50), batch_size=20, shuffle=True, generator=models.generator(5))
            fit(vae, vae.encoder, loader, epochs=epochs, **settings(tmp_path, resume=epochs != parts[0]))
        finals.append(parameters(vae))
        (tmp_path / "run.safetensors").unlink()
    assert same(*finals)


def test_a_rate_that_is_a_tensor_is_kept(tmp_path):
    vae = small_vae()
    options = settings(tmp_path, optimizer=lambda p: torch.optim.Adam(p, lr=torch.tensor(1e-3)))
    fit(vae, vae.encoder, binary_digits(20), epochs=1, **options)
    fit(vae, vae.encoder, binary_digits(20), epochs=2, **options, resume=True)
    assert read(options["checkpoint"]).rest["epoch"] == 2


def test_patience_may_begin_when_a_run_is_resumed(tmp_path):
    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(20), epochs=5, **settings(tmp_path))
    history = fit(vae, vae.encoder, binary_digits(20), epochs=7, patience=2, **settings(tmp_path, resume=True))
    assert len(history.train) > 5
    assert history.best_epoch >= 5


def test_values_that_json_does_not_know_are_packed_and_unpacked():
    value = {1: [torch.ones(2), (1.5, None)], "inf": math.inf, (2, 3): Counter({4: 1}), "flag": True}
    tensors = {}
    packed = json.loads(json.dumps(pack(value, "all", tensors)))
    again = unpack(packed, tensors)
    assert torch.equal(again[1].pop(0), torch.ones(2))
    value[1].pop(0)
    assert again == value
    assert isinstance(again[2, 3], Counter)
    with pytest.raises(TypeError, match=r"all.f is .*expected"):
        pack({"f": print}, "all", {})


# Resuming with something else.


def changed(name):
    """A run of one epoch, and the same call with one thing changed."""
    vae, x = small_vae(), binary_digits(40)
    first = {"model": vae, "data": x, "learning_rate": 1e-3, "epochs": 1}
    shallow = VAE(mlp(64, 6), mlp(3, 64), latent_dim=3)
    tanh = VAE(nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 6)), mlp(3, 16, 64), latent_dim=3)
    frozen = small_vae().requires_grad_(False)
    frozen.encoder.requires_grad_()
    second = {
        "learning_rate": {"learning_rate": 1e-4},
        "optimizer": {"optimizer": lambda p: torch.optim.SGD(p, lr=1e-3)},
        "momentum": {"optimizer": lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.5, 0.999), fused=True)},
        "scheduler": {"scheduler": lambda o: torch.optim.lr_scheduler.StepLR(o, 3)},
        "clipping": {"clip_norm": 1.0},
        "weight": {"kl_weight": 0.5},
        "data": {"data": 1 - x},
        "fewer data": {"data": x[:30]},
        "validation": {"validation": x[:9]},
        "seed": {"seed": 1},
        "samples": {"num_samples": 2},
        "objective": {"objective": "iwae"},
        "batch size": {"batch_size": 10},
        "other layers": {"model": tanh},
        "fewer layers": {"model": shallow},
        "frozen": {"model": frozen},
    }[name]
    return first, {**first, **second, "epochs": 2}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("learning_rate", r"optimizer's lr is 0.0001 .*with 0.001: expected"),
        ("optimizer", r"optimizer's class is torch.optim.sgd.SGD .*Adam"),
        ("momentum", r"optimizer's betas is \(0.5, 0.999\)"),
        ("scheduler", r"scheduler.*StepLR"),
        ("clipping", r"clip_norm is 1.0 .*nothing"),
        ("weight", r"kl_weight is 0.5 .*1.0"),
        ("data", r"data is .*expected the same"),
        ("fewer data", r"data is \(30, 64\).*\(40, 64\)"),
        ("validation", r"validation is .*expected"),
        ("seed", r"seed is 1 .*with 0"),
        ("samples", r"num_samples is 2 .*with 1"),
        ("objective", r"is .*iwae.*elbo|is iwae .*reparameterized"),
        ("batch size", r"batch_size is 10 .*with 100"),
        ("other layers", r"checkpoint is .*Tanh"),
        ("fewer layers", r"checkpoint is .*expected"),
        ("frozen", r"checkpoint is .*learns.*expected"),
    ],
)
def test_another_run_is_not_taken_for_this_one(tmp_path, name, words):
    first, second = changed(name)
    file = tmp_path / "run.safetensors"
    for index, call in enumerate((first, second)):
        call = dict(call)
        model, data = call.pop("model"), call.pop("data")
        options = QUIET | call | {"checkpoint": file, "resume": index == 1}
        if index == 0:
            fit(model, model.encoder, data, **options)
            before, content = parameters(second["model"]), file.read_bytes()
            continue
        with pytest.raises(ValueError, match=words):
            fit(model, model.encoder, data, **options)
        assert same(before, parameters(model))
        assert file.read_bytes() == content


def test_a_model_with_other_parameters_of_the_same_names_is_refused(tmp_path):
    parameter = nn.Parameter
    x, q = torch.randn(50, 3), AmortizedGuide(nn.Linear(3, 2))
    options = QUIET | {"checkpoint": tmp_path / "run.safetensors"}
    fit(LinearGaussian(parameter(torch.ones(3, 1)), torch.zeros(3), torch.tensor(1.0)), q, x, epochs=1, **options)
    for shape, dtype in (((), torch.float64), ((3,), torch.float32)):
        noise = torch.ones(shape)
        model = LinearGaussian(parameter(torch.ones(3, 1)), torch.zeros(3), noise).to(dtype)
        with pytest.raises(ValueError, match=r"checkpoint is .*expected|data"):
            fit(model, AmortizedGuide(nn.Linear(3, 2)).to(dtype), x.to(dtype), epochs=2, resume=True, **options)


# Files that fit did not write, or not like that: headers in which somebody else uses the same key.
THEIRS = ("0.1", "", "no json", "[1]", "{}", "null", '{"version": 3}', '{"format": "pt"}', '{"format": 2}', "[" * 10**5)


@pytest.fixture
def written(tmp_path):
    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(20), epochs=1, **settings(tmp_path))
    return tmp_path / "run.safetensors"


def resumed(tmp_path, *, resume=True):
    vae = small_vae()
    return fit(vae, vae.encoder, binary_digits(20), epochs=2, **settings(tmp_path, resume=resume))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, written, share):
    content = written.read_bytes()
    written.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"checkpoint is .*expected a file that fit wrote"):
        resumed(tmp_path)


def test_a_bit_that_flipped_anywhere_is_noticed(tmp_path, written):
    """One bit in each of two hundred places, in the header and in the numbers."""
    content = written.read_bytes()
    for place in range(8, len(content), len(content) // 200):
        changed = bytearray(content)
        changed[place] ^= 0x04
        written.write_bytes(changed)
        with pytest.raises(ValueError, match="expected"):
            read(written)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"epoch,loss\n1,2\n", "cannot be read"),
        (b"PK\x03\x04 a zip", "torch.save"),
        (b"\x80\x04 a pickle", "pickle"),
        (b"\xff" * 64, "cannot be read"),
        (safetensors.torch.save({"a": torch.ones(2)}), "fit did not write"),
        *((safetensors.torch.save({"a": torch.ones(2)}, {"lvmlib": theirs}), "fit did not write") for theirs in THEIRS),
        (safetensors.torch.save({"a": torch.ones(2)}, {"lvmlib": '{"format": 99, "checksum": ""}'}), "format 99"),
        (safetensors.torch.save({"a": torch.ones(2)}, {"lvmlib": '{"format": 2, "checksum": ""}'}), "checksum"),
    ],
)
def test_foreign_files_get_a_sentence_and_are_not_written_over(tmp_path, content, words):
    file = tmp_path / "run.safetensors"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"checkpoint is .*{words}"):
        resumed(tmp_path)
    if words not in ("format 99", "checksum"):
        with pytest.raises(ValueError, match=r"fit did not write what stands there: expected"):
            resumed(tmp_path, resume=False)
    assert file.read_bytes() == content


def test_an_empty_file_is_a_place_to_begin(tmp_path):
    (tmp_path / "run.safetensors").touch()
    resumed(tmp_path, resume=False)
    assert read(tmp_path / "run.safetensors").rest["epoch"] == 2


# Places where nothing can be written.


def refused(checkpoint, **options):
    """A run that must not begin: the parameters are as before."""
    vae = small_vae()
    before = parameters(vae)
    with pytest.raises(ValueError, match=r"checkpoint is .*expected") as caught:
        fit(vae, vae.encoder, binary_digits(20), epochs=2, checkpoint=checkpoint, **options, **QUIET)
    assert same(before, parameters(vae))
    return str(caught.value)


def test_a_bad_place_is_found_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    assert "a directory" in refused(tmp_path)
    assert "a directory" in refused(tmp_path, resume=True)
    assert "folder cannot be made" in refused(tmp_path / "file" / "run.safetensors")
    assert "no regular file" in refused(Path(os.devnull))
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        assert "cannot be written" in refused(tmp_path / "locked" / "run.safetensors")


def test_folders_are_made_and_a_link_keeps_pointing(tmp_path):
    vae, file = small_vae(), tmp_path / "a" / "b" / "run.safetensors"
    fit(vae, vae.encoder, binary_digits(20), epochs=1, checkpoint=file, **QUIET)
    link = tmp_path / "link.safetensors"
    link.symlink_to(file)
    fit(vae, vae.encoder, binary_digits(20), epochs=2, checkpoint=link, resume=True, **QUIET)
    assert link.is_symlink()
    assert read(file).rest["epoch"] == 2


def test_a_full_disk_is_found_before_the_first_step(tmp_path, monkeypatch):
    def full(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert "No space left" in refused(tmp_path / "run.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_later_leaves_the_old_checkpoint_and_no_litter(tmp_path, written, monkeypatch):
    content = written.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match=r"checkpoint .*could not be written .*No space left.*whole") as caught:
        resumed(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert written.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_limit_on_the_size_of_files_is_found_before_the_first_step(tmp_path, written):
    resource = pytest.importorskip("resource")
    content = written.read_bytes()
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
    try:
        with pytest.raises(ValueError, match="cannot be written"):
            resumed(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert written.read_bytes() == content


def test_two_runs_on_one_file_each_write_it_whole_and_the_loser_is_told(tmp_path):
    one, two = Checkpoint(tmp_path / "run.safetensors"), Checkpoint(tmp_path / "run.safetensors")
    state = checkpoints.State({"a": torch.ones(3)}, {"epoch": 1})
    one.write(state)
    two.write(state)
    with pytest.warns(UserWarning, match="Another run has written"):
        one.write(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.write(state)
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_what_a_killed_run_left_unfinished_is_removed(tmp_path, written):
    child = os.fork() if hasattr(os, "fork") else 0
    if not child and hasattr(os, "fork"):
        os._exit(0)
    os.waitpid(child, 0)
    name = checkpoints.Checkpoint(written)._unfinished_name().name
    dead, alive = tmp_path / name.replace(f"-{os.getpid()}-", f"-{child}-"), tmp_path / name
    dead.touch()
    alive.touch()
    Checkpoint(written)
    assert not dead.exists()
    assert alive.exists()


# Models from files.


def test_a_model_comes_back_from_its_checkpoint_alone(tmp_path, written):
    model, q = load(written)
    vae = small_vae()
    fit(vae, vae.encoder, binary_digits(20), epochs=1, **QUIET, validation=binary_digits(30))
    assert same(parameters(vae), parameters(model))
    assert q is model.encoder


def test_early_stopping_gives_the_best_parameters_back(tmp_path):
    vae, file = small_vae(), tmp_path / "run.safetensors"
    fit(
        vae, vae.encoder, binary_digits(40), epochs=60, validation=binary_digits(100)[40:], patience=3,
        learning_rate=0.03, checkpoint=file, **QUIET,
    )  # fmt: skip
    assert same(parameters(vae), parameters(load(file)[0]))


def convolutional():
    return VAE(
        nn.Sequential(nn.Unflatten(-1, (1, 8, 8)), nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.SiLU(),
                      nn.Flatten(), nn.Linear(36, 6, bias=False)),
        nn.Sequential(nn.Linear(3, 64), nn.Unflatten(-1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 2, stride=2),
                      nn.Flatten(), nn.Dropout(0.1), nn.LayerNorm(64), nn.Linear(64, 64)),
        latent_dim=3,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_of_many_kinds_come_back(tmp_path, dtype):
    vae, file = convolutional().to(dtype), tmp_path / "run.safetensors"
    x = binary_digits(20).to(dtype)
    fit(vae, vae.encoder, x, epochs=1, checkpoint=file, **QUIET)
    model, q = load(file)
    assert str(model) == str(vae)
    vae.eval()
    q.eval()
    assert torch.equal(q(x).mean, vae.encoder(x).mean)
    assert torch.equal(model.eval().log_joint(x, q(x).mean), vae.log_joint(x, q(x).mean))


@pytest.mark.parametrize(
    "make",
    [
        lambda model: AmortizedGuide(mlp(3, 4, 2)),
        lambda model: MeanFieldGuide(1),
        lambda model: model.posterior,
    ],
)
def test_a_linear_model_and_its_guides_come_back(tmp_path, make):
    _, model, x = learnable()
    q, file = make(model), tmp_path / "run.safetensors"
    fit(model, q, x, epochs=1, checkpoint=file, **QUIET)
    again, q_again = load(file)
    assert torch.equal(again.log_evidence(x), model.log_evidence(x))
    assert [n for n, _ in again.named_parameters()] == ["weight"]
    assert torch.equal(q_again(x).mean, q(x).mean)


def test_other_models_come_back_through_a_factory(tmp_path):
    def made():
        encoder, decoder = nn.Sequential(nn.Linear(64, 6), nn.Hardtanh()), mlp(3, 64)
        vae = VAE(encoder, decoder, latent_dim=3)
        return vae, vae.encoder

    (vae, q), file = made(), tmp_path / "run.safetensors"
    fit(vae, q, binary_digits(20), epochs=1, checkpoint=file, **QUIET)
    with pytest.raises(
        ValueError, match=r"checkpoint is .*whose model is VAE, which load cannot build: expected factory"
    ):
        load(file)
    again, _ = load(file, factory=made)
    assert same(parameters(again), parameters(vae))
    with pytest.raises(TypeError, match=r"factory returned .*expected a tuple"):
        load(file, factory=small_vae)
    with pytest.raises(ValueError, match=r"checkpoint is .*expected"):
        load(file, factory=lambda: (small_vae(), None))
    with pytest.raises(ValueError, match=r"checkpoint is .*not there"):
        load(tmp_path / "none.safetensors")


def test_a_compiled_run_and_one_that_is_not_share_their_checkpoints(tmp_path):
    plain, file = small_vae(), tmp_path / "run.safetensors"
    compiled = VAE(
        torch.compile(plain.encoder.encoder, backend="eager"),
        torch.compile(plain._likelihood.network, backend="eager"),
        3,
    )
    fit(compiled, compiled.encoder, binary_digits(20), epochs=1, checkpoint=file, **QUIET)
    other = small_vae()
    fit(other, other.encoder, binary_digits(20), epochs=2, checkpoint=file, resume=True, **QUIET)
    assert same(parameters(other), parameters(load(file)[0]))


def test_a_loaded_model_takes_gaps_and_images_as_the_one_that_was_learnt(tmp_path):
    x = binary_digits(20).clone()
    x[0, 0] = math.nan
    vae = VAE(mlp(64, 4), mlp(2, 64), latent_dim=2, missing="marginalize")
    fit(vae, vae.encoder, x, epochs=1, checkpoint=tmp_path / "gaps", **QUIET)
    assert load(tmp_path / "gaps")[0].marginalizes_gaps
    _, model, _ = learnable()
    fit(
        model,
        AmortizedGuide(nn.Linear(6, 2), event_dims=1, mark_gaps=True),
        torch.zeros(9, 3),
        epochs=1,
        checkpoint=tmp_path / "q",
        **QUIET,
    )
    assert load(tmp_path / "q")[1].event_dims == 1
    assert load(tmp_path / "q")[1].mark_gaps


LATER = "scheduler's function 0 is .* at 0"


def decay(factor):
    return lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def cycle(height):
    kind = torch.optim.lr_scheduler.CyclicLR
    return lambda optimizer: kind(optimizer, 0.001, 0.01, cycle_momentum=False, scale_fn=height)


def averaged(strategy):
    return lambda optimizer: torch.optim.swa_utils.SWALR(optimizer, 0.01, anneal_epochs=4, anneal_strategy=strategy)


def chained(factor):
    def make(optimizer):
        kinds = torch.optim.lr_scheduler
        first = kinds.ConstantLR(optimizer, factor=0.5, total_iters=2)
        return kinds.SequentialLR(optimizer, [first, kinds.MultiplicativeLR(optimizer, factor)], milestones=[2])

    return make


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"objective": "iwae"}, "objective is iwae"),
        (
            {"estimator": "score", "num_samples": 2},
            {"estimator": "score", "num_samples": 2, "baseline": "leave_one_out"},
            "baseline is leave_one_out",
        ),
        ({"kl_weight": lambda step: 0.5}, {"kl_weight": lambda step: 0.1}, "kl_weight is 0.1 at 0"),
        ({"kl_weight": lambda step: 0.5}, {"kl_weight": lambda step: 0.5 if step < 7000 else 0.1}, "kl_weight is"),
        ({"scheduler": decay(lambda epoch: 0.9**epoch)}, {"scheduler": decay(lambda epoch: 0.8**epoch)}, LATER),
        ({"scheduler": decay(lambda epoch: 1)}, {"scheduler": decay(lambda epoch: 1 if epoch < 50 else 0.1)}, LATER),
        ({"scheduler": decay(lambda epoch: 1)}, {"scheduler": decay(lambda epoch: ([1] * 9)[epoch])}, LATER),
        (
            {"scheduler": chained(lambda epoch: 1.0)},
            {"scheduler": chained(lambda epoch: 0.5 + (epoch < 80) / 2)},
            LATER,
        ),
        ({"scheduler": cycle(lambda share: 1.0)}, {"scheduler": cycle(lambda share: 0.5)}, LATER),
        ({"scheduler": averaged("cos")}, {"scheduler": averaged("linear")}, "scheduler.* is linear"),
        ({"transform": lambda x: x}, {"transform": lambda x: 1 - x}, "transform is"),
        (
            {"data": DataLoader(binary_digits(), batch_size=100)},
            {"data": DataLoader(1 - binary_digits(), batch_size=100)},
            "data is DataLoader",
        ),
    ],
)
def test_a_run_goes_on_only_as_it_began(tmp_path, before, after, words):
    for options, epochs in ((before, 1), (before, 2), (after, 3)):
        vae = small_vae()
        merged = {"data": binary_digits(), **options}
        data, rest = merged.pop("data"), QUIET | merged | {"checkpoint": tmp_path / "run", "resume": True}
        if epochs == 3:
            with pytest.raises(ValueError, match=f"{words}.*expected"):
                fit(vae, vae.encoder, data, epochs=epochs, **rest)
        else:
            fit(vae, vae.encoder, data, epochs=epochs, **rest)


@pytest.mark.parametrize("place", [3, None, True, "a\0b", "/tmp/" + "x" * 300])
def test_what_is_no_place_for_a_file_gets_a_sentence(place):
    vae = small_vae()
    if place is not None:
        with pytest.raises((TypeError, ValueError), match=r"checkpoint is .*expected"):
            fit(vae, vae.encoder, binary_digits(), epochs=1, checkpoint=place, **QUIET)
    with pytest.raises((TypeError, ValueError), match=r"checkpoint is .*expected"):
        load(place)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (3, "^factory is 3 .*expected a function"),
        (lambda seed: seed, "^factory is .*cannot be called with 0 arguments"),
    ],
)
def test_a_factory_that_is_none_is_named(written, factory, words):
    with pytest.raises(TypeError, match=words):
        load(written, factory=factory)
