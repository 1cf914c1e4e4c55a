"""What an author may write: every slip is named with the exercise, the field and what is expected."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

import tutor
from tutor.collection import Collection, folder, raw
from tutor.exercises import SLIP_NAMES, ExerciseError, read_exercise
from tutor.page import check_in_page
from tutor.quantities import SLIPS

WANTED = ("ex-jensen-1", "ex-jensen-11", "ex-jensen-2", "ex-prior-11", "ex-jensen-12")
GOOD = {one["label"]: one for listed in raw(folder()).values() for one in listed if one["label"] in WANTED}


def changed(label: str, path: str, value: Any) -> dict[str, Any]:
    """An exercise with one field changed; without it where the value is ``...``."""
    data = deepcopy(GOOD[label])
    at: Any = data
    *above, last = path.split(".")
    for name in above:
        at = at[int(name)] if name.isdigit() else at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return data


@pytest.mark.parametrize(
    ("label", "path", "value", "says"),
    [
        ("ex-jensen-1", "id", 5.1, "quote it"),
        ("ex-jensen-1", "id", "five", "expected chapter and number"),
        ("ex-jensen-1", "label", "jensen", "expected 'ex-'"),
        ("ex-jensen-1", "kind", "essay", "expected one of number, choice, derive, code"),
        ("ex-jensen-1", "stars", 4, "expected 1, 2 or 3"),
        ("ex-jensen-1", "minutes", "ten", "expected int"),
        ("ex-jensen-1", "minutes", True, "expected int"),
        ("ex-jensen-1", "prompt", ..., "prompt is missing"),
        ("ex-jensen-1", "solution", "", "solution is empty"),
        ("ex-jensen-1", "hints", [], "give one at least"),
        ("ex-jensen-1", "hints", "One.", "expected a list of texts"),
        ("ex-jensen-1", "hints", ["See {eq}`eq-x`."], "plain Markdown"),
        ("ex-jensen-1", "answers", 1, "no field is called 'answers'"),
        ("ex-jensen-1", "answer", 5, "expected fields with values"),
        ("ex-jensen-1", "answer.value", "log(", "is not a number"),
        ("ex-jensen-1", "answer.tolerance", "much", "is not a number"),
        ("ex-jensen-1", "answer.unit", "metres", "expected nats, bits or nothing"),
        ("ex-jensen-1", "answer.slips", ["sing"], "'sing'"),
        ("ex-jensen-1", "misconceptions", {}, "expected a list"),
        ("ex-jensen-1", "misconceptions.0.name", "Second Order", "write it like sum-for-mean"),
        ("ex-jensen-1", "misconceptions.0.says", "", "says is empty"),
        ("ex-jensen-1", "misconceptions.1.name", "second-order", "have one name"),
        ("ex-jensen-1", "misconceptions.0.value", "x", "is not a number"),
        ("ex-jensen-11", "answer.options.0.right", True, "expected one option"),
        ("ex-jensen-11", "answer.options.0.why", "", "says is empty"),
        ("ex-jensen-11", "misconceptions", [{"name": "a", "says": "b"}], "in its options"),
        ("ex-jensen-2", "answer.relation", "<", "expected =, >= or <="),
        ("ex-jensen-2", "misconceptions.0.turned", ..., "one of side, turned and condition"),
        ("ex-jensen-2", "misconceptions.0.answer", "", "give an answer that makes the mistake"),
        ("ex-prior-11", "answer.function", "other", "starter does not define other"),
        ("ex-prior-11", "answer.runs", "moon", "expected page or notebook"),
        ("ex-prior-11", "answer.judge", "taste", "expected exact, estimate, property"),
        ("ex-prior-11", "answer.judge", "property", "go together"),
        ("ex-prior-11", "answer.tolerance", "1e-9", "write 1.0e-9"),
        ("ex-prior-11", "misconceptions.0.code", "", "give the wrong code"),
        ("ex-jensen-12", "answer.judge", "estimate", "an estimate needs `exact`"),
    ],
)
def test_a_slip_of_the_author_is_named(label: str, path: str, value: Any, says: str) -> None:
    with pytest.raises(ExerciseError) as error:
        read_exercise(changed(label, path, value), "05.yaml")
    assert says in str(error.value)
    assert "05.yaml, exercise" in str(error.value)


def test_the_names_of_slips_are_those_that_are_recognised() -> None:
    assert set(SLIP_NAMES) == set(SLIPS)


def test_two_exercises_with_one_number_or_label_are_refused(tmp_path: Path) -> None:
    one = GOOD["ex-jensen-1"]
    for other in ({**one, "label": "ex-other"}, {**one, "id": "5.99"}):
        (tmp_path / "05.yaml").write_text(yaml.safe_dump([one, other]), encoding="utf-8")
        with pytest.raises(ExerciseError, match="two exercises are called"):
            Collection.read(tmp_path)


def test_exercises_come_in_the_order_of_the_book_and_the_clinic_behind_them(tmp_path: Path) -> None:
    listed = [
        {**GOOD["ex-jensen-1"], "id": name, "label": f"ex-{name.lower().replace('.', '-')}"}
        for name in ("C.1", "10.2", "2.10", "2.9", "C.10", "C.2")
    ]
    (tmp_path / "any.yaml").write_text(yaml.safe_dump(listed), encoding="utf-8")
    assert list(Collection.read(tmp_path)) == ["2.9", "2.10", "10.2", "C.1", "C.2", "C.10"]


def test_an_unknown_exercise_names_those_of_its_chapter() -> None:
    with pytest.raises(KeyError, match=r"'5\.99': chapter 5 has 5\.1, 5\.2"):
        tutor.check("5.99", 1)
    with pytest.raises(KeyError, match="in all"):
        tutor.hint("nothing")


def test_a_page_gets_json_and_the_same_feedback_as_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "exercises.json").write_text(json.dumps(raw(folder())), encoding="utf-8")
    said = json.loads(check_in_page(str(tmp_path), "5.1", "0.4"))
    assert said == {**tutor.check("5.1", "0.4").as_dict(), "lines": []}
    torch_only = next(one.id for one in tutor.collection().values() if not one.in_page)
    assert "notebook" in json.loads(check_in_page(str(tmp_path), torch_only, "def f(): return 1"))["message"]


def test_nothing_but_the_standard_library_is_loaded_before_it_is_needed() -> None:
    program = (
        "import sys, tutor, tutor.page, tutor.programs, tutor.derivations\n"
        "print([name for name in ('torch', 'numpy', 'yaml', 'lvmlib') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
