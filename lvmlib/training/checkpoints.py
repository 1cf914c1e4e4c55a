"""Files that hold all that a run needs to go on: tensors as safetensors, the rest as JSON in its header.

A file is replaced in one go and carries a checksum, so that whatever is found later is whole or refused with a reason.
Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import socket
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvmlib._checks import describe

__all__ = ["Checkpoint", "State", "as_path", "pack", "read", "unpack"]

FORMAT = 2
_HEADER, _CHECKSUM = "lvmlib", "checksum"
_UNFINISHED = ".unfinished"
# Room for the JSON, the random states and the names.
_OVERHEAD_BYTES = 2**16


def as_path(checkpoint: object) -> Path:
    """A place for a checkpoint, given as a text or a path."""
    if not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(
            f"checkpoint is {describe(checkpoint)}: expected the name of a file, a str or a Path; give one."
        )
    try:
        os.stat(checkpoint)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint is {describe(checkpoint)}, which is no name of a file ({error}): expected one; correct it."
        ) from error
    return Path(checkpoint)


@dataclass(frozen=True)
class State:
    """Tensors by name, and everything else as JSON can hold it."""

    tensors: dict[str, Tensor]
    rest: dict[str, Any]


@dataclass
class Checkpoint:
    """A place for checkpoints.

    Args:
        path: Where they are written.

    Raises:
        ValueError: If the path cannot hold one; nothing that stands there was touched.
    """

    path: Path
    _written: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        shown, self.path = str(self.path), Path(os.path.realpath(Path(self.path).expanduser()))
        if self.path.exists() and not self.path.is_file():
            what = "a directory" if self.path.is_dir() else "no regular file"
            raise ValueError(
                f"checkpoint is {shown!r}, which is {what}: expected the name of a file; name one, for instance "
                f"{str(self.path / 'run.safetensors')!r}."
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint is {shown!r}, and its folder cannot be made ({error.strerror}): expected a place where "
                f"files can be written; name another."
            ) from error
        self._remove_leftovers()

    def check_replaceable(self) -> None:
        """Refuse to write over a file that ``fit`` did not write.

        Raises:
            ValueError: If there is such a file.
        """
        if self.path.exists() and self.path.stat().st_size and not _looks_like_ours(self.path):
            raise ValueError(
                f"checkpoint is {str(self.path)!r}, and fit did not write what stands there: expected a new name or an "
                f"old checkpoint, as the file will be replaced; name another, or remove this one."
            )

    def check_room(self, num_bytes: int) -> None:
        """Refuse a place where a file of this size cannot be written.

        Raises:
            ValueError: If there are no rights, or there is no room.
        """
        trial = self._unfinished_name()
        try:
            with open(trial, "xb") as file:
                _reserve(file.fileno(), num_bytes + _OVERHEAD_BYTES)
        except OSError as error:
            raise ValueError(
                f"checkpoint is {str(self.path)!r}, and a file of {num_bytes / 1e6:.3g} MB cannot be written there "
                f"({error.strerror}): expected a place with rights and room for it; free some, or name another."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                trial.unlink(missing_ok=True)

    def write(self, state: State) -> None:
        """Replace the file in one go: a run that is stopped at any moment leaves the old one whole, or the new one.

        Raises:
            OSError: If it cannot be written. The old file is as it was.
        """
        self._warn_of_others()
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.tensors.items()}
        rest = {"format": FORMAT, **state.rest}
        # One entry, as safetensors writes several in a random order, and the same run should give the same bytes.
        header = json.dumps({_CHECKSUM: _checksum(tensors, rest), **rest})
        content = _library().torch.save(tensors, {_HEADER: header})
        unfinished = self._unfinished_name()
        try:
            with open(unfinished, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"checkpoint {str(self.path)!r} could not be written ({error.strerror}); the file there is the one "
                f"before, whole, and the parameters are those of the last epoch; make room and resume",
            ) from error
        self._written = self._identity()

    def _unfinished_name(self) -> Path:
        owner = f"{socket.gethostname()}-{os.getpid()}"
        return self.path.with_name(f"{self.path.name}.{owner}-{secrets.token_hex(4)}{_UNFINISHED}")

    def _remove_leftovers(self) -> None:
        """Files that a killed process of this machine did not finish."""
        start = f"{self.path.name}.{socket.gethostname()}-"
        for other in self.path.parent.glob(f"*{_UNFINISHED}"):
            process = other.name.removeprefix(start).partition("-")[0]
            if other.name.startswith(start) and process.isdigit() and not _is_alive(int(process)):
                with contextlib.suppress(OSError):
                    other.unlink()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _warn_of_others(self) -> None:
        if self._written is not None and self._identity() not in (None, self._written):
            warnings.warn(
                f"Another run has written to {str(self.path)!r} since this one did. Each file is whole, but the last "
                f"one wins; give every run a checkpoint of its own.",
                stacklevel=2,
            )


def read(path: Path) -> State:
    """A checkpoint, checked to the last bit.

    Raises:
        ValueError: If the file is none, is damaged, or was written by another version.
    """
    what = f"checkpoint is {str(path)!r}"
    if not path.is_file():
        found = "a directory" if path.is_dir() else "not there"
        raise ValueError(f"{what}, which is {found}: expected a file that fit wrote; correct the name.")
    library = _library()
    try:
        with library.safe_open(path, framework="pt") as file:
            rest = _header_of(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except Exception as error:
        raise ValueError(
            f"{what}, which cannot be read ({_reason(path, error)}): expected a file that fit wrote, whole; take an "
            f"older copy, or remove it and start again."
        ) from error
    if rest is None:
        raise ValueError(
            f"{what}, which holds tensors that fit did not write: expected a checkpoint of fit; correct the name."
        )
    written, version = rest.pop(_CHECKSUM), rest["format"]
    if version != FORMAT:
        raise ValueError(
            f"{what} of format {version}: expected format {FORMAT}; read it with the version of lvmlib that wrote it, "
            f"or start again."
        )
    if written != _checksum(tensors, rest):
        raise ValueError(
            f"{what}, and its checksum does not fit its content: expected the bytes that fit wrote, of which some have "
            f"changed; take an older copy, or remove it and start again."
        )
    return State(tensors, rest)


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON can hold it; its tensors go to ``tensors`` under names that begin with ``name``.

    Raises:
        TypeError: If something in it is neither a number, a text, a tensor, nor made of these.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[pack(key, name, tensors), pack(v, f"{name}.{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [pack(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item") and callable(value.item):
        return value.item()
    raise TypeError(
        f"{name} is {describe(value)}, which a checkpoint cannot hold: expected numbers, texts and tensors; take "
        f"another optimizer or scheduler, or leave checkpoint out."
    )


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What :func:`pack` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, items),) = value.items()
    if kind == "tensor":
        return tensors[items]
    if kind in ("dict", "counter"):
        made = {unpack(key, tensors): unpack(item, tensors) for key, item in items}
        return Counter(made) if kind == "counter" else made
    made_list = [unpack(item, tensors) for item in items]
    return tuple(made_list) if kind == "tuple" else made_list


def _checksum(tensors: dict[str, Tensor], rest: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(rest).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _library() -> Any:
    """safetensors, which ``import lvmlib`` does not load."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "Checkpoints are files of safetensors, which is not installed: run `pip install safetensors`, or leave "
            "checkpoint out."
        ) from error
    return safetensors


def _looks_like_ours(path: Path) -> bool:
    library = _library()
    try:
        with library.safe_open(path, framework="pt") as file:
            return _header_of(file.metadata()) is not None
    except Exception:
        return False


def _header_of(metadata: dict[str, str] | None) -> dict[str, Any] | None:
    """What fit wrote into the header of a file; others may use its key for something of their own."""
    try:
        header = json.loads((metadata or {})[_HEADER])
    except (KeyError, ValueError, RecursionError):
        return None
    ours = isinstance(header, dict) and isinstance(header.get("format"), int) and _CHECKSUM in header
    return header if ours else None


def _reason(path: Path, error: Exception) -> str:
    with open(path, "rb") as file:
        start = file.read(4)
    if not start:
        return "it is empty"
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return "it is a file of torch.save or pickle"
    return str(error) or type(error).__name__


def _reserve(descriptor: int, num_bytes: int) -> None:
    """Take the room in fact: a file with holes would promise it."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, num_bytes)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    block = bytes(2**20)
    for start in range(0, num_bytes, len(block)):
        os.write(descriptor, block[: num_bytes - start])


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
