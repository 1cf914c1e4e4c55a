"""The pages of *Your own model*: what each must have, and code to copy that runs as it stands."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from books import ROOT
from torch.distributions import Independent, Normal

PAGES = sorted((ROOT / "book").glob("own_*.md"))
JOBS = [page for page in PAGES if page.stem != "own_which"]
CELL = re.compile(r"^```\{code-cell\} ipython3\n(?::[^\n]*\n)*(.*?)^```$", re.MULTILINE | re.DOTALL)
LISTING = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = ("The job and its data", "What goes wrong", "Copy me", "Where the theory is", "Exercises")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def definitions(page: Path, *, cells: slice = slice(None)) -> dict[str, Any]:
    """The names that a page imports and defines, and its plain constants, without what it computes."""
    kept = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
    names: dict[str, Any] = {"__name__": page.stem}
    for cell in CELL.findall(text_of(page))[cells]:
        body = [node for node in ast.parse(cell).body if isinstance(node, kept) or _is_constant(node)]
        exec(compile(ast.Module(body, []), page.name, "exec"), names)
    return names


def _is_constant(node: ast.stmt) -> bool:
    named = isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets)
    return named and isinstance(node.value, ast.Constant)


def section(page: Path, title: str) -> str:
    match = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    assert match is not None, f"{page.name} has no section {title!r}"
    return match[1]


def test_there_are_ten_jobs_and_a_table_of_estimators_all_in_the_table_of_contents() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    (part,) = [part for part in toc["parts"] if part["caption"] == "Your own model"]
    assert {entry["file"] for entry in part["chapters"]} == {f"book/{page.stem}" for page in PAGES}
    assert len(JOBS) == 10


@pytest.mark.parametrize("page", JOBS, ids=lambda page: page.stem)
def test_a_job_has_its_sections_a_figure_and_says_what_comes_out(page: Path) -> None:
    text = text_of(page)
    assert "**At the end you have**" in text
    for title in SECTIONS:
        section(page, title)
    assert "plots.show(" in text
    assert re.search(r"^\| symptom \| cause \| what to do \|$", text, re.MULTILINE)
    assert re.search(r"\bexact\b|\bthe same bits\b", text)


@pytest.mark.parametrize("page", JOBS, ids=lambda page: page.stem)
def test_what_is_to_be_copied_runs(page: Path, tmp_path: Path) -> None:
    names = definitions(page)
    names |= {"images": None, "folder": tmp_path}
    if page.stem in ("own_save", "own_arviz", "own_compare", "own_loop"):
        names |= _data_of(page.stem)
    torch.manual_seed(0)
    (listing,) = LISTING.findall(section(page, "Copy me"))
    exec(compile(listing, page.name, "exec"), names)


def _data_of(name: str) -> dict[str, Any]:
    """What stands for "your data" on these pages is that of the page."""
    from lvmlib import LinearGaussian, data

    if name == "own_save":
        train, test = (data.digits(split, binarize=True).images for split in ("train", "test"))
        return {"images": train, "test": test}
    old, new, _ = data.cells()
    if name == "own_loop":
        return {"x": old.float()}
    return (
        {"old": old, "new": new, "model": LinearGaussian.fit(old, 3)}
        if name == "own_arviz"
        else {"old": old, "new": new}
    )


def test_the_lightning_module_of_the_page_trains() -> None:
    pytest.importorskip("pytorch_lightning")
    page = ROOT / "book" / "own_loop.md"
    names = definitions(page) | _data_of("own_loop")
    (listing,) = LISTING.findall(section(page, "Lightning"))
    torch.manual_seed(0)
    head, _, last = listing.rpartition("trainer.fit(module, loader)")
    exec(compile(head, page.name, "exec"), names)
    module, x, elbo = names["module"], names["x"], names["elbo"]

    def bound() -> float:
        torch.manual_seed(1)
        return elbo(module.model, module.q, x, 20).mean().item()

    before = bound()
    exec(compile(f"trainer.fit(module, loader){last}", page.name, "exec"), names)
    assert bound() > before + 10


def test_the_forward_algorithm_of_the_page_is_the_sum_over_all_sequences() -> None:
    names = definitions(ROOT / "book" / "own_hidden_markov.md")
    names["T"] = length = 6
    theta = torch.tensor([-0.5, 1.0, 0.7, -0.3, 1.5, 0.2]).double()
    model = names["machine"](theta)
    x, _ = model.sample(4, seed=0)
    sequences = torch.tensor(list(itertools.product((0, 1), repeat=length)))
    by_sum = model.log_joint(x, sequences[:, None]).logsumexp(0)
    torch.testing.assert_close(names["forward"](theta, x), by_sum)


def test_the_standardised_schools_have_the_same_evidence() -> None:
    """The joint densities differ by the Jacobian of gain = mu + tau eta, so the integrals over z agree."""
    names = definitions(ROOT / "book" / "own_two_levels.md")
    names["std_error"] = torch.full((8,), 10.0)
    gain = torch.linspace(-3.0, 28.0, 8)
    population = names["population_prior"]()
    from lvmlib import LatentVariableModel

    model = LatentVariableModel(
        {"population": population, "schools": names["schools_prior"]},
        lambda z: Independent(Normal(z["schools"], names["std_error"]), 1),
    )
    standardised = LatentVariableModel({"population": population, "schools": names["standard"]}, names["observed"])
    _, eta = standardised.sample(50, seed=0)
    mu, log_tau = eta[:, :1], eta[:, 1:2]
    z = torch.cat([eta[:, :2], mu + log_tau.exp() * eta[:, 2:]], 1)
    expected = model.log_joint(gain, z) + 8 * log_tau[:, 0]
    torch.testing.assert_close(standardised.log_joint(gain, eta), expected)
