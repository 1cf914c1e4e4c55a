"""A notebook in JupyterLab as ``make lab`` opens it, before it is trusted: what a reader sees and can do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from books import ROOT
from playwright.sync_api import Browser, Locator, Page, expect
from visits import PATIENCE

# These start JupyterLab and run a whole notebook in it.
pytestmark = pytest.mark.thorough

CHAPTER = "05_jensen.ipynb"
# The cells of a long notebook leave the page when they are scrolled out of sight, unless this setting says otherwise.
KEEP_CELLS = {"windowingMode": "none"}


@pytest.fixture(scope="module")
def served(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab that trusts nothing yet, with a notebook that another Python executed."""
    home = tmp_path_factory.mktemp("lab")
    project = home / "project"
    (project / "_build").mkdir(parents=True)
    (project / "_build" / "html").symlink_to(build / "html")
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    notebook = project / "notebooks" / CHAPTER
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["metadata"]["language_info"]["version"] = "3.0.0"
    notebook.write_text(json.dumps(content), encoding="utf-8")
    settings = home / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(KEEP_CELLS), encoding="utf-8")
    folders = {name: str(home / name) for name in ("data", "config", "runtime", "workspaces")}
    environment = os.environ | {
        "JUPYTER_DATA_DIR": folders["data"],
        "JUPYTER_CONFIG_DIR": folders["config"],
        "JUPYTER_RUNTIME_DIR": folders["runtime"],
        "JUPYTERLAB_WORKSPACES_DIR": folders["workspaces"],
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "OMP_NUM_THREADS": "1",
    }
    config = ROOT / "book" / "_ext" / "lab_config.py"
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token=course"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", f"--config={config}", *options],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield _address(server, Path(folders["runtime"]))
    finally:
        server.terminate()
        server.wait()


def _address(server: subprocess.Popen[bytes], runtime: Path) -> str:
    while server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            text = path.read_text(encoding="utf-8")
            if text.endswith("}"):
                return str(json.loads(text)["url"])
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start: exit status {server.returncode}")


@pytest.fixture(scope="module")
def lab(browser: Browser, served: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{served}lab/tree/notebooks/{CHAPTER}?token=course")
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=PATIENCE)
    expect(_running(page)).to_have_attribute("data-status", "idle", timeout=PATIENCE)
    yield page
    context.close()


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "notebooks" / CHAPTER, as_version=4)


def _running(page: Page) -> Locator:
    return page.locator(".jp-Notebook-ExecutionIndicator")


def is_marked_as_changed(page: Page) -> bool:
    return page.locator(".lm-TabBar-tab.lm-mod-current.jp-mod-dirty").count() > 0


def test_figures_and_explorers_show_before_the_notebook_is_trusted(lab: Page, notebook: nbformat.NotebookNode) -> None:
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    explorers = sum("application/vnd.vegalite.v5+json" in data for data in outputs)
    figures = sum("image/png" in data for data in outputs) - explorers
    assert figures > 0
    assert explorers > 0
    images = lab.locator(".jp-OutputArea-output[data-mime-type='image/png'] img")
    expect(images).to_have_count(figures, timeout=PATIENCE)
    assert all(image.evaluate("image => image.naturalWidth") > 100 for image in images.all())
    expect(lab.locator(".jp-OutputArea-output .vega-embed :is(canvas, svg.marks)")).to_have_count(
        explorers, timeout=PATIENCE
    )


def test_opening_a_notebook_does_not_mark_it_as_changed(lab: Page) -> None:
    assert not is_marked_as_changed(lab)


def test_nothing_asks_for_the_readers_attention(lab: Page) -> None:
    assert lab.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []


def test_every_exercise_has_a_cell_to_fill_and_a_shut_solution_also_after_all_cells_ran(
    lab: Page, notebook: nbformat.NotebookNode
) -> None:
    exercises = sum(cell.source.startswith("### Exercise") for cell in notebook.cells)
    assert exercises > 5
    answers = [cell.source for cell in notebook.cells if "answer" in cell.metadata.get("tags", [])]
    assert len(answers) == exercises
    checked = sum("tutor.check(" in source for source in answers)
    assert checked >= 10
    assert all(source == "" for source in answers if "tutor.check(" not in source)

    def check() -> None:
        expect(lab.locator("h4", has_text="Solution to Exercise")).to_have_count(exercises, timeout=PATIENCE)
        expect(lab.locator(".jp-showHiddenCellsButton:visible")).to_have_count(exercises, timeout=PATIENCE)
        assert not any(hint.evaluate("hint => hint.open") for hint in lab.locator("details").all())

    check()
    lab.get_by_role("menuitem", name="Run", exact=True).click()
    lab.get_by_text("Run All Cells", exact=True).click()
    expect(_running(lab)).to_have_attribute("data-status", "busy", timeout=PATIENCE)
    expect(_running(lab)).to_have_attribute("data-status", "idle", timeout=PATIENCE)
    assert lab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    expect(lab.locator(".jp-OutputArea-output", has_text="Not attempted yet")).to_have_count(checked, timeout=PATIENCE)
    check()


def test_a_link_to_the_chapter_leads_to_its_page(lab: Page) -> None:
    with lab.context.expect_page() as opened:
        lab.get_by_role("link", name="Read the chapter").click()
    page = opened.value
    expect(page.locator("article h1")).to_contain_text("Jensen", timeout=PATIENCE)
    # The page has its style: the heading is set in the theme's colour and size, not in the browser's.
    assert page.evaluate("[...document.styleSheets].some((sheet) => (sheet.href || '').includes('course.css'))")
    assert page.evaluate("getComputedStyle(document.querySelector('article h1')).fontFamily") != '"Times New Roman"'
    page.close()
