"""Programs: the reader's own line, bounds on time and memory, and estimates judged by their standard error."""

from __future__ import annotations

import math
import random
import signal
import sys
import threading
import time
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch

from tutor import programs
from tutor.exercises import Code, Exercise, Misconception
from tutor.programs import FALSE_ALARM, REPEATS, Estimates, check_code
from tutor.sandbox import OutOfTimeError, bounded, define


def exercise(**task: Any) -> Exercise:
    """A code exercise that asks for the double of a number, but for what is said otherwise."""
    fields: dict[str, Any] = {
        "function": "f",
        "starter": "def f(x):\n    ...",
        "right": "def f(x):\n    return 2 * x",
        "cases": "def cases(random):\n    yield (3.0,)\n    yield (10.0,)",
    }
    answer = Code(**(fields | task))
    return Exercise("1.1", "ex-test", "Test", "code", 1, 1, "Do it.", ("Think.",), answer, (), "Done.")


def test_a_function_and_its_source_are_judged_alike() -> None:
    def f(x: float) -> float:
        return x + x

    assert check_code(exercise(), f).right
    assert check_code(exercise(), "def f(x):\n    return x + x").right
    assert check_code(exercise(), "f = lambda x: x * 2").right


def test_the_program_of_a_misconception_runs_once_however_many_answers_are_compared_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half = Misconception("half", "You halved it.", code="def f(x):\n    return x / 2")
    task = replace(exercise(cases="def cases(random):\n    yield (7.0,)"), misconceptions=(half,))
    made = []
    monkeypatch.setattr(programs, "define", lambda *program: made.append(program[-1]) or define(*program))
    for answer in ("x / 2", "x - 3.5", "0.5 * x"):
        assert check_code(task, f"def f(x):\n    return {answer}").misconception == "half"
    assert made.count("<half>") == 1


@pytest.mark.parametrize("body", ["...", "pass", "'''later'''", "raise NotImplementedError", "return ..."])
def test_a_stub_is_not_attempted(body: str) -> None:
    assert check_code(exercise(), f"def f(x):\n    {body}").verdict == "not attempted"


@pytest.mark.parametrize(
    ("starter", "repaired"),
    [
        ("def f(x):\n    return 3 * x", "def f(x):\n    return 2 * x"),
        ("def f(x):\n    return sum(v * v for v in [x])", "def f(x):\n    return sum(v + v for v in [x])"),
        ("def f(x):\n    return (lambda v: v - v)(x)", "def f(x):\n    return (lambda v: v + v)(x)"),
    ],
)
def test_a_wrong_program_to_repair_is_not_attempted_until_something_in_it_changes(starter: str, repaired: str) -> None:
    assert check_code(exercise(starter=starter), starter).verdict == "not attempted"
    assert check_code(exercise(starter=starter), repaired).right


def test_a_function_in_a_notebook_that_does_nothing_is_not_attempted() -> None:
    def f(x: float) -> None: ...

    assert check_code(exercise(), f).verdict == "not attempted"


def test_the_readers_own_line_is_in_the_error() -> None:
    code = "import math\ndef g(x):\n    return math.log(x)\n\ndef f(x):\n    y = g(x - 3)\n    return y\n"
    said = check_code(exercise(), code).message
    assert "Line 3 stops with `ValueError" in said
    assert "return math.log(x)" in said
    assert "`x = 3`" in said

    def mine(x: float) -> float:
        return {}[x]

    said = check_code(exercise(), mine).message
    assert "return {}[x]" in said
    assert "KeyError" in said


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def f(x)\n    return x", "Python cannot read line 1"),
        ("def g(x):\n    return x", "Nothing here is called `f`"),
        ("f = 5", "Nothing here is called `f`"),
        ("1 / 0", "Line 1 stops with `ZeroDivisionError"),
        ("def f():\n    return 1", "TypeError"),
        ("def f(x):\n    x + x", "returns nothing: end it with `return"),
        ("def f(x):\n    return 'six'", "where a number is expected"),
        ("def f(x):\n    return f(x)", "calls itself without an end"),
        ("def f(x):\n    return 6", "For `x = 10`, your function returns 6, and the right answer is 20"),
        ("def f(x):\n    return float('nan')", "returns nan, and the right answer is 6"),
        ("def f(x):\n    raise SystemExit", "SystemExit"),
    ],
)
def test_what_is_wrong_is_said(code: str, says: str) -> None:
    feedback = check_code(exercise(), code)
    assert feedback.verdict == "wrong"
    assert says in feedback.message


def test_what_a_program_prints_is_shown_and_does_not_count() -> None:
    feedback = check_code(exercise(), "def f(x):\n    print('x is', x)\n    return 2 * x")
    assert feedback.right
    assert feedback.printed == "x is 3.0\nx is 10.0\n"


def test_a_program_that_changes_its_arguments_spoils_nothing() -> None:
    task = {
        "right": "def f(x):\n    return sum(x)",
        "cases": "def cases(random):\n    yield ([1.0, 2.0],)",
    }
    assert check_code(exercise(**task), "def f(x):\n    total = sum(x)\n    x.clear()\n    return total").right


def test_an_endless_loop_ends_in_time_and_a_broad_except_does_not_keep_it() -> None:
    for body in ("pass", "try:\n            g()\n        except Exception:\n            pass"):
        began = time.process_time()
        feedback = check_code(exercise(seconds=0.3), f"def f(x):\n    while True:\n        {body}")
        assert feedback.verdict == "wrong"
        assert "stopped after 0.3 seconds" in feedback.message
        assert time.process_time() - began < 5
    assert check_code(exercise(seconds=0.3), "while True:\n    pass").verdict == "wrong"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_loop_ends_in_time_in_another_thread_too() -> None:
    ended = []

    def run() -> None:
        try:
            with bounded(0.3, 100):
                while True:
                    pass
        except OutOfTimeError:
            ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert ended == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process")
def test_a_program_that_takes_too_much_memory_is_refused_it_and_the_process_lives_on() -> None:
    for code in ("return len(bytearray(10**10))", "import torch\n    return torch.zeros(10**10).sum()"):
        feedback = check_code(exercise(megabytes=200), f"def f(x):\n    {code}")
        assert feedback.verdict == "wrong"
        assert "emory" in feedback.message
    assert torch.zeros(10**6).sum() == 0


def test_the_readers_random_numbers_are_left_alone_and_each_check_sees_the_same() -> None:
    noisy = (
        "import random\nimport torch\ndef f(x):\n    print(random.random(), torch.rand(()).item())\n    return 2 * x"
    )
    random.seed(3)
    torch.manual_seed(3)
    printed = {check_code(exercise(), noisy).printed for _ in range(2)}
    assert len(printed) == 1
    after = random.random(), torch.rand(())
    random.seed(3)
    torch.manual_seed(3)
    assert after == (random.random(), torch.rand(()))


TENSOR = {
    "right": "def f(x):\n    return x.sum(-1)",
    "cases": "import torch\ndef cases(random):\n    yield (torch.arange(6.0).reshape(2, 3),)",
}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("return x.sum()", "one value for each x of the batch"),
        ("return x.sum(-1, keepdim=True)", "an axis is left over"),
        ("return x.sum(0)", "returns shape (3,), where (2,) is expected"),
        ("return x.sum(-1).double()", "returns torch.float64, and its input was torch.float32"),
        ("return x.sum(-1).to('meta')", "returns a tensor on meta"),
        ("return x.sum(-1).tolist()", "where a tensor of shape (2,) is expected"),
        ("return x.mean(-1)", "returns [1, 4], and the right answer is [3, 12]"),
        ("x.sum(-1)", "returns nothing"),
    ],
)
def test_shape_dtype_device_and_values_of_a_tensor_are_checked(code: str, says: str) -> None:
    feedback = check_code(exercise(**TENSOR), f"def f(x):\n    {code}")
    assert feedback.verdict == "wrong"
    assert says in feedback.message
    assert check_code(exercise(**TENSOR), "def f(x):\n    return x @ x.new_ones(3)").right


COIN = {
    "judge": "estimate",
    "right": "import random\ndef f(x):\n    return float(random.random() < x)",
    "cases": "def cases(random):\n    yield (0.3,)\n    yield (0.5,)",
    "exact": "def exact(x):\n    return x, (x * (1 - x)) ** 0.5",
}


def test_an_estimate_is_judged_by_its_standard_error() -> None:
    assert check_code(exercise(**COIN), COIN["right"]).right
    assert check_code(exercise(**COIN), "def f(x):\n    return x").right
    biased = "import random\ndef f(x):\n    return float(random.random() < x + 0.3)"
    said = check_code(exercise(**COIN), biased).message
    assert f"on average over {REPEATS} runs" in said
    assert "standard error" in said


def test_a_right_estimate_is_refused_less_than_once_in_a_million_times() -> None:
    """Exactly, for coins: the probability that the number of heads falls outside of what is accepted."""
    for chance in (0.5, 0.3, 0.7, 0.1, 0.9):
        mean, deviation = chance, math.sqrt(chance * (1 - chance))
        total = 0.0
        for heads in range(REPEATS + 1):
            found = Estimates(0.0, (heads / REPEATS,), (0.0,))
            if found.complaint(mean, deviation, 0.0, comparisons=1):
                ways = math.lgamma(REPEATS + 1) - math.lgamma(heads + 1) - math.lgamma(REPEATS - heads + 1)
                total += math.exp(ways + heads * math.log(chance) + (REPEATS - heads) * math.log(1 - chance))
        assert total < FALSE_ALARM, chance


def test_more_numbers_compared_are_judged_more_leniently_together() -> None:
    def accepted(comparisons: int) -> float:
        steps = accumulate([0.01] * 1000)
        return next(s for s in steps if Estimates(0.0, (s,), (0.0,)).complaint(0.0, 1.0, 0.0, comparisons))

    assert accepted(1) < accepted(20) < accepted(1000)
