"""Strings that no reader of derivations should trip over: random ones, and derivations with random edits."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator

from corpus import CORPUS

from proofreader import DerivationSyntaxError, check_derivation

_PIECE = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_CHARACTERS = list("{}[]()^_&\\$%|'\"#~!@<>=+-*/,;:. 0123456789abcxyzpqKNE\n\x00é∑")
_COMMANDS = [
    *(r"\begin{aligned}", r"\end{aligned}", r"\frac", r"\left", r"\right", r"\int", r"\sum", r"\nabla", r"\max_q"),
    *(r"\E", r"\KL", r"\log", r"\newcommand", r"\def", r"\input{/etc/passwd}", "__import__('os')", r"\write18{ls}"),
]


def strings(seed: int, count: int) -> Iterator[str]:
    """A quarter of random pieces, three quarters of derivations with one to five edits."""
    rng = random.Random(seed)
    texts = [entry.latex for entry in CORPUS]
    pieces = [piece for text in texts for piece in _PIECE.findall(text)] + _CHARACTERS + _COMMANDS
    for number in range(count):
        if number % 4 == 0:
            yield "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 40)))
            continue
        parts = _PIECE.findall(rng.choice(texts))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(parts) + 1)
            edit = rng.randrange(4)
            if edit == 0 and at < len(parts):
                del parts[at]
            elif edit == 1:
                parts.insert(at, rng.choice(pieces))
            elif edit == 2 and at < len(parts):
                parts[at] = rng.choice(pieces)
            elif parts:
                first, last = sorted((at, rng.randrange(len(parts))))
                parts[at:at] = parts[first:last][:30]
        yield "".join(parts)


def run(seed: int, count: int) -> tuple[Counter[str], float, str]:
    """Checks many strings: the verdicts, the longest time that one took in this thread, and which one took it."""
    verdicts: Counter[str] = Counter()
    slowest, culprit = 0.0, ""
    for text in strings(seed, count):
        start = time.thread_time()
        try:
            verdicts[check_derivation(text, num_models=8, explain=len(text) % 7 == 0).verdict] += 1
        except DerivationSyntaxError:
            verdicts["DerivationSyntaxError"] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} from {text!r}") from error
        taken = time.thread_time() - start
        if taken > slowest:
            slowest, culprit = taken, text
    return verdicts, slowest, culprit
