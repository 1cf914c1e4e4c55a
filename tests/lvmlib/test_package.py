"""The package as its users meet it: its public names, its examples, and what it needs."""

from __future__ import annotations

import doctest
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap

import pytest
import torch

import lvmlib

MODULES = [name for _, name, _ in pkgutil.walk_packages(lvmlib.__path__, "lvmlib.") if not name.endswith("__main__")]
# Optional packages that the examples of a module, or of a package, need without importing them by name.
NEEDED_BY_EXAMPLES = {"lvmlib.explorers": "altair", "lvmlib._triton_kernels": "triton"}


def test_every_public_name_exists_once_and_is_documented():
    assert len(lvmlib.__all__) == len(set(lvmlib.__all__))
    for name in lvmlib.__all__:
        assert inspect.getdoc(getattr(lvmlib, name)), f"{name} has no docstring"


def test_every_public_function_states_its_arguments_and_returns():
    for name in lvmlib.__all__:
        member = getattr(lvmlib, name)
        if inspect.isfunction(member):
            documentation = inspect.getdoc(member)
            for parameter in inspect.signature(member).parameters:
                assert f"{parameter}:" in documentation, f"{name} does not document {parameter}"
            assert "Returns:" in documentation, f"{name} does not say what it returns"


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_run(module):
    for package, needed in NEEDED_BY_EXAMPLES.items():
        if module.startswith(package):
            pytest.importorskip(needed)
    torch.set_default_device("cpu")  # what an example prints would name another one
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(importlib.import_module(module), module):
        if all(map(importlib.util.find_spec, packages_of(example))):
            runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


def packages_of(example: doctest.DocTest) -> list[str]:
    """What an example imports; without an optional package of these it is left out."""
    return re.findall(r"^(?:import|from) (\w+)", "".join(line.source for line in example.examples), re.MULTILINE)


def test_lvmlib_imports_with_only_torch_numpy_and_matplotlib():
    """Every other package of the lock is hidden from a fresh interpreter."""
    program = """
        import importlib.abc, sys

        class Hide(importlib.abc.MetaPathFinder):
            hidden = {"sklearn", "scipy", "jaxtyping", "beartype", "lark", "daft", "zuko", "arviz", "pandas",
                      "altair", "tqdm", "safetensors", "IPython"}
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in self.hidden:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Hide())
        import torch, lvmlib
        model = lvmlib.LinearGaussian(torch.ones(2, 1), torch.zeros(2), 0.5)
        x, _ = model.sample(3, seed=0)
        print(lvmlib.prior_monte_carlo(model, x, 10, seed=0))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "EvidenceEstimate" in run.stdout


def test_importing_lvmlib_loads_torch_and_numpy_alone_and_the_rest_when_it_is_asked_for():
    program = """
        import sys, torch, numpy
        before = set(sys.modules)
        import lvmlib
        heavy = {"matplotlib", "altair", "pandas", "sklearn", "scipy", "IPython", "safetensors", "jaxtyping"} - before
        loaded = heavy & set(sys.modules) - {"jaxtyping"}
        assert not loaded, loaded
        assert "lvmlib.plots" not in sys.modules and "lvmlib.training" not in sys.modules
        from lvmlib import plots
        assert plots is sys.modules["lvmlib.plots"]
        assert callable(lvmlib.fit) and set(lvmlib.__all__) <= set(dir(lvmlib))
        print(lvmlib.__version__)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == importlib.metadata.version("lvmlib")


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'evidence_lower_bound'"):
        _ = lvmlib.evidence_lower_bound


def test_digits_without_scikit_learn_says_what_to_install():
    program = "import sys; sys.modules['sklearn'] = None; import lvmlib; lvmlib.data.digits()"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "pip install" in run.stderr
    assert "scikit-learn" in run.stderr


SIGNATURES = {
    "LatentVariableModel": "prior, likelihood",
    "FiniteModel": "prior, likelihood",
    "LinearGaussian": "weight, bias, noise_variance",
    "LinearGaussian.fit": "x, latent_dim",
    "GaussianMixture": "weights, means, covariances",
    "BetaBernoulli": "a, b",
    "bind": "model, q, x",
    "log_weights": "model, q, x, num_samples",
    "summarize_weights": "model, q, x, num_samples, *, chunk_size=None, seed=None",
    "prior_monte_carlo": "model, x, num_samples, *, chunk_size=None, seed=None",
    "importance_sampling": "model, q, x, num_samples, *, chunk_size=None, seed=None",
    "compare": "a, b",
    "sample_posterior": "model, q, x, num_samples, *, seed=None",
    "elbo": "model, q, x, num_samples=1, *, form='joint'",
    "iwae_bound": "model, q, x, num_samples, *, num_groups=1",
    "renyi_bound": "model, q, x, num_samples, *, alpha",
    "cubo": "model, q, x, num_samples, *, order=2",
    "eubo": "model, q, x, posterior_samples",
    "jackknife_bound": "model, q, x, num_samples, *, order=1",
    "annealed_importance_sampling": "model, x, *, num_chains, num_steps, initial=None, seed=None",
    "bidirectional_monte_carlo": "model, *, num_chains, num_steps, seed=None",
    "surrogate": "model, q, x, num_samples, *, estimator='reparameterized'",
    "fit": "model, q, data, *, objective='elbo', num_samples=1, epochs",
    "WeightSummary.update": "self, log_w",
    "WeightSummary.merge": "self, other",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_names_order_and_defaults_of_arguments_are_a_contract(name):
    function = functools.reduce(getattr, name.split("."), lvmlib)
    parameters = inspect.signature(function).parameters
    promised, separator, by_name = SIGNATURES[name].partition(", *, ")
    assert list(parameters)[: promised.count(",") + 1] == [part.partition("=")[0] for part in promised.split(", ")]
    for part in [*promised.split(", "), *(by_name.split(", ") if separator else [])]:
        argument, has_default, default = part.partition("=")
        assert not has_default or repr(parameters[argument].default) == default
    for part in by_name.split(", ") if separator else []:
        assert parameters[part.partition("=")[0]].kind is inspect.Parameter.KEYWORD_ONLY
