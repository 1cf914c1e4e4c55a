"""Runs a reader's program: within a time and a memory, with the reader's own line in every error.

A page runs it in a worker, which the page ends; a notebook runs it in its own process, so here the bounds are the
operating system's where it has them: an alarm, and a limit on new memory.
"""

from __future__ import annotations

import ctypes
import dis
import io
import linecache
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

__all__ = ["ANSWER", "OutOfTimeError", "ProgramError", "bounded", "define", "failure", "is_stub", "printing"]

ANSWER = "<your answer>"
MOST_PRINTED = 2000
# What a function consists of that only returns a constant, in any version of Python.
NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}


class ProgramError(ValueError):
    """A program cannot be read, or fails before its function is called; the message is for the reader."""


class OutOfTimeError(BaseException):
    """A program runs for longer than it may; a broad ``except`` of the reader's does not catch it."""


def define(source: str, name: str, filename: str = ANSWER) -> Any:
    """What a program calls ``name``, after it has run.

    Raises:
        ProgramError: If it cannot be read, fails, or defines no such function.
    """
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": "answer", "__builtins__": __builtins__}
    try:
        exec(compile(source, filename, "exec"), namespace)
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        raise ProgramError(f"Python cannot read line {error.lineno}: {error.msg}.{_quoted(line)}") from None
    except (Exception, SystemExit) as error:
        raise ProgramError(failure(error, filename)) from None
    if not callable(namespace.get(name)):
        raise ProgramError(f"Nothing here is called `{name}`. Define it: `def {name}(…):`")
    return namespace[name]


def failure(error: BaseException, filename: str) -> str:
    """An error in words: its kind, what it says, and the reader's own line where it arose."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, RecursionError):
        said = "RecursionError: the function calls itself without an end"
    if not frames:
        return f"Your program stops with `{said}`."
    line = linecache.getline(filename, frames[-1].lineno or 0).strip()
    return f"Line {frames[-1].lineno} stops with `{said}`.{_quoted(line)}"


def _quoted(line: str) -> str:
    return f"\n\n```\n{line}\n```" if line.strip() else ""


def is_stub(function: Any, starter: str, name: str) -> bool:
    """Whether a function still does nothing, as the one that the reader began with."""
    if not isinstance(function, FunctionType):
        return False
    try:
        empty = define(starter, name, "<starter>")
    except ProgramError:
        return False
    mine, theirs = function.__code__, empty.__code__
    as_begun = _steps_of(mine) == _steps_of(theirs)
    steps = list(dis.get_instructions(mine))
    constants = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    idle = {step.opname for step in steps} <= NOTHING and all(value in (None, ...) for value in constants)
    return as_begun or idle


def _steps_of(code: CodeType) -> tuple[object, ...]:
    """What a program does, with the constants and the inner functions that it uses, wherever its lines stand."""
    constants = tuple(_steps_of(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts)
    return code.co_code, code.co_names, constants


@contextmanager
def printing() -> Iterator[Callable[[], str]]:
    """Catches what a program prints; the function that it gives returns the text so far."""
    stream = io.StringIO()

    def text() -> str:
        printed = stream.getvalue()
        return printed if len(printed) <= MOST_PRINTED else f"{printed[:MOST_PRINTED]}\n… and more"

    with redirect_stdout(stream):
        yield text


@contextmanager
def bounded(seconds: float, megabytes: int) -> Iterator[None]:
    """Ends what runs inside after some time, and refuses it more than some memory on top of what is in use.

    Raises:
        OutOfTimeError: After ``seconds``.
        MemoryError: Where the system bounds memory, as Linux does.
    """
    if sys.platform == "emscripten":  # in a page, which ends the worker
        yield
        return
    with _alarm(seconds), _ceiling(megabytes):
        yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():

        def ring(number: int, frame: FrameType | None) -> None:
            raise OutOfTimeError

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return
    here = ctypes.c_ulong(threading.get_ident())
    timer = threading.Timer(
        seconds, ctypes.pythonapi.PyThreadState_SetAsyncExc, (here, ctypes.py_object(OutOfTimeError))
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _ceiling(megabytes: int) -> Iterator[None]:
    in_use = Path("/proc/self/statm")
    try:
        import resource

        pages = int(in_use.read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    ceiling = pages * resource.getpagesize() + megabytes * 2**20
    if soft != resource.RLIM_INFINITY:
        ceiling = min(ceiling, soft)
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
