"""Exercises that answer, in a browser: a reader types an answer on a page from a file and is told what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from books import pages
from given import mistaken_answer, right_answer
from playwright.sync_api import Browser, Locator, Page, expect
from visits import PATIENCE, Visit

from tutor import Exercise, collection

EXERCISES = collection()
KINDS = ("number", "choice", "derive", "code")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUN_AXE = (Path(__file__).parent / "axe.js").read_text(encoding="utf-8")
STORE = "latent-variable-models"
ENDLESS = "def {name}(*arguments):\n    while True:\n        pass"


def chapters() -> list[str]:
    return list(dict.fromkeys(one.chapter for one in EXERCISES.values()))


def one_of_each_kind(chapter: str) -> list[Exercise]:
    """The first exercise of each kind that the page of a chapter can check."""
    members = [one for one in EXERCISES.values() if one.chapter == chapter and one.in_page]
    return [found[0] for kind in KINDS if (found := [one for one in members if one.kind == kind])]


class Reader:
    """Someone at a page with exercises, with a keyboard."""

    def __init__(self, visit: Visit) -> None:
        self.page: Page = visit.page

    def section(self, exercise: Exercise) -> Locator:
        return self.page.locator(f"section.answer[data-exercise='{exercise.id}']")

    def enter(self, exercise: Exercise, answer: str) -> None:
        section = self.section(exercise)
        if exercise.kind == "choice":
            section.locator(f"input[value={answer}]").check()
        else:
            section.locator("input[type=text], textarea").fill(answer)

    def check(self, exercise: Exercise, answer: str) -> tuple[str, str, float]:
        """Answer and press *Check*: the verdict, what the page says, and the seconds that it took."""
        section = self.section(exercise)
        section.evaluate("(section) => delete section.dataset.milliseconds")
        self.enter(exercise, answer)
        section.get_by_role("button", name="Check").click()
        self.settled(exercise)
        seconds = int(section.get_attribute("data-milliseconds")) / 1000
        return section.get_attribute("data-verdict"), section.get_by_role("status").inner_text(), seconds

    def settled(self, exercise: Exercise) -> None:
        expect(self.section(exercise)).to_have_attribute("data-milliseconds", re.compile(r"\d"), timeout=PATIENCE)


def plain(text: str) -> str:
    """The words of a message, without formulas and marks, up to the first formula."""
    return re.split(r"[$`*]", text)[0].strip()


def page_of(build: Path, chapter: str) -> Path:
    """The page that has the exercises of a chapter."""
    label = next(one.label for one in EXERCISES.values() if one.chapter == chapter)
    found = [path for path in pages(build) if f'data-label="{label}"' in path.read_text(encoding="utf-8")]
    assert len(found) == 1, f"exercise {label} stands on {len(found)} pages"
    return found[0]


@pytest.fixture(scope="module")
def visit(browser: Browser, build: Path) -> Iterator[Visit]:
    """Chapter 3, with the runtime started once for all tests that use it."""
    with Visit(browser, page_of(build, "3")) as visit:
        yield visit


# Each starts Python anew, which takes most of the time.
LEFT_OUT = [chapter for chapter in chapters() if chapter != "1"]


@pytest.mark.parametrize(
    "chapter",
    [pytest.param(one, marks=[pytest.mark.thorough] if one in LEFT_OUT else []) for one in chapters()],
)
def test_an_exercise_of_each_kind_answers(
    browser: Browser, build: Path, chapter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    times, starts = {}, []
    with Visit(browser, page_of(build, chapter)) as visit:
        visit.page.on("worker", lambda worker: starts.append(worker.url))
        reader = Reader(visit)
        for exercise in one_of_each_kind(chapter):
            misconception = exercise.misconceptions[0]
            verdict, said, first = reader.check(exercise, mistaken_answer(exercise, misconception))
            assert verdict == "wrong", said
            assert plain(misconception.says) in said
            verdict, said, later = reader.check(exercise, right_answer(exercise))
            assert verdict == "right", said
            times[exercise.kind] = (first, later)
        assert visit.outside == []
        assert visit.complaints == []
    with capsys.disabled():
        shown = ", ".join(f"{kind} {first:.1f} and {later:.2f}" for kind, (first, later) in times.items())
        print(f"\nchapter {chapter}: seconds of the first and a later check: {shown}")
    # The first check that needs Python waits for it to start; later ones find it running.
    assert len(starts) == 1


def seconds_of_the_processor(browser: Browser) -> float:
    """What all processes of a browser have used."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(process["cpuTime"] for process in processes)


@pytest.mark.thorough
def test_python_starts_within_ten_seconds_of_the_processor(browser: Browser, build: Path) -> None:
    number = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "number")
    with Visit(browser, page_of(build, "3")) as visit:
        before = seconds_of_the_processor(browser)
        Reader(visit).check(number, "0")
        assert 0.5 < seconds_of_the_processor(browser) - before < 10


@pytest.mark.thorough
def test_an_endless_loop_ends_after_five_seconds_and_the_page_lives_on(visit: Visit) -> None:
    reader = Reader(visit)
    exercise = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "code" and one.in_page)
    reader.check(exercise, right_answer(exercise))  # so that Python runs
    verdict, said, seconds = reader.check(exercise, ENDLESS.format(name=exercise.answer.function))
    assert verdict == "wrong"
    assert "Stopped after 5 seconds" in said
    assert seconds >= 5
    assert reader.check(exercise, right_answer(exercise))[0] == "right"


@pytest.mark.thorough
def test_a_reader_stops_a_check_by_the_same_button(visit: Visit) -> None:
    reader = Reader(visit)
    exercise = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "code" and one.in_page)
    reader.check(exercise, right_answer(exercise))
    section = reader.section(exercise)
    section.evaluate("(section) => delete section.dataset.milliseconds")
    reader.enter(exercise, ENDLESS.format(name=exercise.answer.function))
    section.get_by_role("button", name="Check").click()
    section.get_by_role("button", name="Stop").click()
    reader.settled(exercise)
    assert section.get_by_role("status").inner_text() == "Stopped."
    expect(section.get_by_role("button", name="Check")).to_be_visible()


@pytest.mark.thorough
def test_the_error_of_a_program_shows_the_readers_own_line_and_what_it_printed(visit: Visit) -> None:
    reader = Reader(visit)
    exercise = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "code" and one.in_page)
    name = exercise.answer.function
    code = f"def {name}(*arguments):\n    print('<b>so far</b>')\n    return undefined_name + 1"
    verdict, said, _ = reader.check(exercise, code)
    assert verdict == "wrong"
    assert "Line 3" in said
    assert "return undefined_name + 1" in said
    assert "<b>so far</b>" in said, "what a program prints is text, and no HTML"


@pytest.mark.thorough
def test_a_false_line_is_marked_with_its_counterexample(visit: Visit) -> None:
    reader = Reader(visit)
    exercise = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "derive")
    verdict, said, _ = reader.check(exercise, f"{exercise.answer.first} = 17 = {exercise.answer.last}")
    assert verdict == "wrong"
    assert "Line 1 is false" in said
    assert "the left side is" in said
    lines = reader.section(exercise).locator(".answer-lines li")
    # The second row would follow from the first side: it holds if the row above is put right.
    assert [line.get_attribute("data-verdict") for line in lines.all()] == ["false", "holds_if"]
    assert lines.first.locator("math").count() > 0
    assert reader.section(exercise).locator(".answer-preview math").count() == 1


def test_the_keyboard_reaches_the_field_and_checks(visit: Visit) -> None:
    reader = Reader(visit)
    exercise = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "number")
    section = reader.section(exercise)
    section.evaluate("(section) => delete section.dataset.milliseconds")
    field = section.get_by_label(re.compile(re.escape(plain(exercise.answer.asks))))
    field.fill("")
    field.type(right_answer(exercise))
    reader.page.keyboard.press("Enter")
    reader.settled(exercise)
    assert section.get_attribute("data-verdict") == "right"
    reader.page.keyboard.press("Tab")
    assert section.get_by_role("button", name="Check").evaluate("(button) => button === document.activeElement")
    code = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "code" and one.in_page)
    area = reader.section(code).locator("textarea")
    area.fill("")
    area.type("def f(x):\nif x:\nreturn 1")
    assert area.input_value() == "def f(x):\n    if x:\n        return 1"
    reader.page.keyboard.press("Tab")
    assert not area.evaluate("(area) => area === document.activeElement")
    area.focus()
    reader.section(code).evaluate("(section) => delete section.dataset.milliseconds")
    reader.page.keyboard.press("Control+Enter")
    reader.settled(code)


@pytest.mark.thorough
def test_axe_finds_nothing_serious_in_what_the_page_says(visit: Visit) -> None:
    reader = Reader(visit)
    for exercise in one_of_each_kind("3"):
        reader.check(exercise, mistaken_answer(exercise, exercise.misconceptions[0]))
    visit.page.evaluate(AXE)
    for width, scheme in ((1280, "light"), (390, "dark")):
        visit.turn_to(width, scheme)
        assert visit.page.evaluate(RUN_AXE) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.thorough
def test_draft_result_and_progress_stay_and_can_be_saved_loaded_and_forgotten(
    browser: Browser, build: Path, tmp_path: Path
) -> None:
    chapter = page_of(build, "3")
    choice, number = (
        next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == kind)
        for kind in ("choice", "number")
    )
    with Visit(browser, chapter) as visit:
        page, reader = visit.page, Reader(visit)
        # Chromium may lose all that a page from a file stored, most often the first page of a window.
        for _ in range(5):
            page.evaluate("localStorage.setItem('kept', 'by this browser')")
            assert reader.check(choice, right_answer(choice))[0] == "right"
            reader.enter(number, "1/3 + ")
            page.reload()
            if page.evaluate("localStorage.getItem('kept')"):
                break
        else:
            pytest.skip("this Chromium keeps nothing that a page from a file stores")
        # The page fills the fields after it has loaded.
        expect(reader.section(choice).locator(f"input[value={choice.answer.right}]")).to_be_checked(timeout=PATIENCE)
        expect(reader.section(choice)).to_have_attribute("data-done", "", timeout=PATIENCE)
        expect(reader.section(number).locator("input")).to_have_value("1/3 + ", timeout=PATIENCE)
        page.goto((build / "html" / "book" / "exercises.html").as_uri())
        cell = page.locator(f"[data-progress='{choice.label}']")
        expect(cell).to_have_text("done", timeout=PATIENCE)
        expect(page.locator(f"[data-progress='{number.label}']")).to_have_text("begun", timeout=PATIENCE)
        status = page.locator(".course-progress [role=status]")
        expect(status).to_have_text(f"You have solved 1 of {len(EXERCISES)} exercises.", timeout=PATIENCE)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save my progress to a file").click()
        saved = tmp_path / "progress.json"
        download.value.save_as(saved)
        record = json.loads(saved.read_text(encoding="utf-8"))["exercises"][choice.label]
        assert (record["last"], record["attempts"]) == ("right", 1)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Forget my progress").click()
        expect(cell).to_have_text("")
        assert page.evaluate("(key) => localStorage.getItem(key)", STORE) is None
        page.locator(".course-progress input[type=file]").set_input_files(saved)
        expect(cell).to_have_text("done")
        wrong = tmp_path / "other.json"
        wrong.write_text("{}", encoding="utf-8")
        page.locator(".course-progress input[type=file]").set_input_files(wrong)
        expect(status).to_have_text("That file holds no progress of this course, so nothing was changed.")
        expect(cell).to_have_text("done")


@pytest.mark.thorough
def test_damaged_progress_in_the_browser_is_as_if_new(browser: Browser, build: Path) -> None:
    choice = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "choice")
    with Visit(browser, page_of(build, "3")) as visit:
        for damage in ("{", "null", "5", '{"format": "x"}'):
            visit.page.evaluate("([key, value]) => localStorage.setItem(key, value)", [STORE, damage])
            visit.page.reload()
            assert Reader(visit).check(choice, right_answer(choice))[0] == "right"
        assert visit.complaints == []


def test_without_javascript_text_hints_and_solutions_read_and_no_dead_button_shows(
    browser: Browser, build: Path
) -> None:
    with Visit(browser, page_of(build, "3"), java_script_enabled=False) as visit:
        sections = visit.page.locator("section.answer")
        assert sections.count() >= 10
        for section in sections.all():
            for part in section.locator(".exercise p, .hint p, .solution p").all():
                assert part.is_visible()
            assert section.get_by_role("button").count() == 0
        assert visit.page.locator("section.answer noscript").first.is_visible()


def test_the_runtime_is_small_shared_and_loaded_by_no_page_before_a_check(build: Path) -> None:
    static = build / "html" / "_static"
    shared = [*static.glob("python-*.js"), static / "tutor.js", static / "temml.min.js"]
    assert len(shared) == 3
    assert sum(path.stat().st_size for path in shared) < 10_000_000
    for path in pages(build):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'<script[^>]*src="[^"]*(?:python-|tutor|temml)', text), path.name
        assert ("answers.js" in text) == ("data-exercise=" in text or "course-progress" in text), path.name


def test_a_missing_script_is_said_and_breaks_nothing(browser: Browser, build: Path, tmp_path: Path) -> None:
    """The page alone, as someone might pass it on."""
    page = page_of(build, "3")
    (tmp_path / "book").mkdir()
    (tmp_path / "_static").mkdir()
    alone = tmp_path / "book" / page.name
    alone.write_text(page.read_text(encoding="utf-8").replace('class="explorer"', ""), encoding="utf-8")
    source = build / "html" / "_static"
    (tmp_path / "_static" / "answers.js").write_bytes((source / "answers.js").read_bytes())
    number = next(one for one in EXERCISES.values() if one.chapter == "3" and one.kind == "number")
    with Visit(browser, alone) as visit:
        _, said, _ = Reader(visit).check(number, "0.2")
        assert "is missing beside this page" in said
