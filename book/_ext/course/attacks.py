"""What the tests in ``tests/claims`` do to the claims, below each claim; a claim that is not attacked fails the build.

A claim is attacked if a test tries it on every case that meets its hypotheses, and if for each hypothesis a case that
violates it alone breaks the claim, or an explanation says why there is none. The tests are imported for that: how many
cases meet the hypotheses is found by asking them.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.errors import SphinxError

from course.claims import KINDS, Claim, claims
from course.freshness import code_hash, hash_files

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

TESTS = Path("tests/claims")


class UnattackedError(SphinxError):
    """A claim stands in the book that nobody has tried to break."""

    category = "Claims"


@dataclass(frozen=True)
class Attacked:
    """How many cases a claim was tried on, and for each of its hypotheses why it is needed."""

    cases: tuple[str, ...]
    needs: dict[str, str]


def attacked(tests: Path) -> dict[str, Attacked]:
    """For each label, what the tests below a folder do to it."""
    registry = _imported(tests)
    found: dict[str, Attacked] = {}
    for attack in registry.ATTACKS.values():
        known = found.get(attack.label, Attacked((), {}))
        found[attack.label] = Attacked(tuple(dict.fromkeys(known.cases + attack.cases)), known.needs)
    for need in registry.NEEDS.values():
        known = found.get(need.label, Attacked((), {}))
        found[need.label] = Attacked(known.cases, known.needs | {need.without: need.because})
    return found


def _imported(tests: Path) -> Any:
    """The registry in ``attack.py``, after every test module beside it has been imported."""
    folders = [str(tests), str(tests.parent / "lvmlib")]
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    registry = importlib.import_module("attack")
    for path in sorted(tests.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"course_attacks_{path.stem}", path)
        assert spec is not None, path
        assert spec.loader is not None, path
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return registry


def complaints(claim: Claim, done: Attacked | None) -> list[str]:
    """What a claim lacks: one line for each thing; empty if it is attacked."""
    name = f"{claim.place}: {claim.label}"
    if done is None or not done.cases:
        return [f"{name}: no test tries it on the cases that meet its hypotheses; write one with @attack"]
    return [
        f"{name}: nothing shows that the hypothesis {hypothesis.key!r} is needed; write a test with @breaks, or drop it"
        for hypothesis in claim.hypotheses
        if hypothesis.key not in done.needs
    ]


def check(root: Path, done: dict[str, Attacked]) -> Iterator[str]:
    """One line for each thing that a claim of the book lacks."""
    for page in sorted((root / "book").glob("*.md")):
        for claim in claims(page):
            yield from complaints(claim, done.get(claim.label))


def read_attacks(app: Sphinx, config: Config) -> None:
    """As a configuration value: Sphinx reads every page again when the attacks change."""
    root = Path(app.srcdir)
    if not (root / TESTS).is_dir():
        return
    done = _remembered(root, Path(app.outdir).parent / ".attacks.json")
    config.course_attacks = {label: (len(one.cases), one.needs) for label, one in done.items()}
    if lines := list(check(root, done)):
        raise UnattackedError("\n".join(lines))


def _remembered(root: Path, cache: Path) -> dict[str, Attacked]:
    """The attacks as the last build found them, if nothing changed that they depend on: to find them takes seconds."""
    folders = [folder for folder in ("lvmlib", str(TESTS), "tests/lvmlib") if (root / folder).exists()]
    state = code_hash(root, folders) + hash_files(root, (root / "book").glob("*.md"))
    known = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    if known.get("state") == state:
        return {label: Attacked(tuple(one["cases"]), one["needs"]) for label, one in known["attacks"].items()}
    done = attacked(root / TESTS)
    cache.parent.mkdir(parents=True, exist_ok=True)
    content = {"state": state, "attacks": {label: asdict(one) for label, one in done.items()}}
    cache.write_text(json.dumps(content), encoding="utf-8")
    return done


def show_tests(app: Sphinx, doctree: nodes.document) -> None:
    """Ends every claim with why its hypotheses are needed, and with a folded line that names its tests."""
    pages = {claim.label: claim for claim in claims(Path(app.env.doc2path(app.env.docname)))}
    for node in list(doctree.findall(lambda node: isinstance(node, nodes.Element) and node.get("realtype") in KINDS)):
        label = node.get("label")
        tests = app.config.course_vouchers.get(label, [])
        count, needs = app.config.course_attacks.get(label, (0, {}))
        hypotheses = pages[label].hypotheses if label in pages else ()
        box = nodes.container("", classes=["vouched"])
        reasons = [(hypothesis.words, needs[hypothesis.key]) for hypothesis in hypotheses if hypothesis.key in needs]
        box += [_reason(words, because) for words, because in reasons]
        if tests:
            box += _folded(_summary(count, len(tests)), tests)
        if box.children:
            node.children[-1] += box


def _summary(count: int, num_tests: int) -> str:
    checked = f"checked by {num_tests} test{'s' * (num_tests > 1)}"
    return f"✓ attacked with {count} model{'s' * (count > 1)}, {checked}" if count else f"✓ {checked}"


def _folded(summary: str, tests: list[tuple[str, str]]) -> list[nodes.Node]:
    paragraph = nodes.paragraph()
    for position, (test, path) in enumerate(tests):
        if position:
            paragraph += nodes.Text(" and " if position == len(tests) - 1 else ", ")
        paragraph += nodes.literal(test, test)
        if path not in [other for _, other in tests[position + 1 :]]:
            paragraph += [nodes.Text(" in "), nodes.literal(path, path)]
    paragraph += nodes.Text(".")
    opening = f'<details class="margin"><summary>{summary}</summary>'
    return [nodes.raw("", opening, format="html"), paragraph, nodes.raw("", "</details>", format="html")]


def _reason(words: str, because: str) -> nodes.paragraph:
    hypothesis = nodes.emphasis("", "", *_inline(words[:1].upper() + words[1:]))
    return nodes.paragraph("", "", hypothesis, *_inline(f": needed because {because}."))


def _inline(text: str) -> list[nodes.Node]:
    """Plain text with formulas between dollars."""
    parts = enumerate(re.split(r"\$([^$]+)\$", text))
    return [nodes.math(part, part) if position % 2 else nodes.Text(part) for position, part in parts if part]


def setup(app: Sphinx) -> None:
    app.add_config_value("course_attacks", {}, "env", [dict])
    app.connect("config-inited", read_attacks)
    app.connect("doctree-read", show_tests)
