"""What a plain function learns with: the modules and Parameters that it closes over, or names among its globals."""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["learnable_parts", "leaves_behind"]

_DEEPEST = 8
# Code of theirs reaches nothing of the user's but what it is handed.
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FAST", "LOAD_FAST_BORROW")
_LIBRARIES = ("torch", "numpy", "scipy", "math", "lvmlib", "zuko")


def learnable_parts(function: object) -> list[nn.Module | nn.Parameter]:
    """The modules and Parameters that a callable reaches, each once, in the order in which they are met.

    Looked at are: a module itself; the object of a bound method; the arguments of ``functools.partial``; default
    arguments; what a function closes over; the globals that its code reads, with the attributes that it reads of them;
    and of these, functions, lists, tuples, dicts and plain objects in turn.
    """
    found: dict[int, nn.Module | nn.Parameter] = {}
    seen: dict[int, Any] = {}
    for part in _reach(function, seen, 0):
        found.setdefault(id(part), part)
    return list(found.values())


def leaves_behind(value: Tensor) -> list[Tensor]:
    """The leaf tensors from which ``value`` was computed and which require a gradient."""
    if value.grad_fn is None:
        return [value] if value.requires_grad else []
    leaves, seen, waiting = list[Tensor](), set[Any](), list[Any]([value.grad_fn])
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        waiting += [after for after, _ in node.next_functions]
    return leaves


def _reach(value: Any, seen: dict[int, Any], depth: int) -> Iterator[nn.Module | nn.Parameter]:
    if id(value) in seen or depth > _DEEPEST:
        return
    seen[id(value)] = value  # held, so that no other object gets its number
    if isinstance(value, nn.Module | nn.Parameter):
        yield value
        return
    for part in _inside(value):
        yield from _reach(part, seen, depth + 1)


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        yield from _read_by(value.__func__, value.__self__)
    elif isinstance(value, types.FunctionType):
        if value.__module__ is None or value.__module__.partition(".")[0] not in _LIBRARIES:
            yield from _read_by(value, None)
    elif isinstance(value, list | tuple | set):
        yield from value
    elif isinstance(value, Mapping):
        yield from value.values()
    elif not isinstance(value, type | types.ModuleType | types.BuiltinFunctionType | Tensor):
        yield from getattr(value, "__dict__", {}).values()
        method = vars(type(value)).get("__call__")
        if isinstance(method, types.FunctionType):
            yield from _read_by(method, value)


def _read_by(function: Any, owner: Any) -> Iterator[Any]:
    """What the code of a function reads: closed-over values, globals, defaults, and attributes of its owner."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if hasattr(function, "__wrapped__"):
        yield function.__wrapped__
    names = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            names.pop(name, None)
    arguments = {function.__code__.co_varnames[0]: owner} if owner is not None and function.__code__.co_argcount else {}
    yield from _read_by_code(function.__code__, names, arguments)


def _read_by_code(code: types.CodeType, names: dict[str, Any], arguments: dict[str, Any]) -> Iterator[Any]:
    missing = object()
    value: Any = missing
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            if value is not missing:
                yield value
            value = (arguments if "FAST" in step.opname else names).get(step.argval, missing)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and value is not missing:
            # The narrowest part: `self.decoder`, not all that belongs to `self`.
            value = _attribute(value, step.argval, missing)
        elif step.opname not in ("CACHE", "PRECALL", "EXTENDED_ARG", "PUSH_NULL", "COPY_FREE_VARS", "RESUME"):
            if value is not missing:
                yield value
            value = missing
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _read_by_code(constant, {**names, **arguments}, {})


def _attribute(value: Any, name: str, missing: Any) -> Any:
    if isinstance(value, nn.Parameter):
        return value
    if isinstance(value, types.ModuleType):
        return vars(value).get(name, missing)
    is_module = isinstance(value, nn.Module)
    for held in (value._modules, value._parameters) if is_module else (getattr(value, "__dict__", {}),):
        if held.get(name) is not None:
            return held[name]
    method = getattr(type(value), name, None)
    if isinstance(method, types.FunctionType) and not (is_module and hasattr(nn.Module, name)):
        return types.MethodType(method, value)
    return value
