"""How do bytes reach a disk, and come back, when the disk is full, the folder gone or the file a trap?"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from errno import ENOENT
from pathlib import Path

from energybench.errors import RunFolderError

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe of a stranger must not be waited for
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class AppendedFile:
    """A file that only grows, every piece on the disk before the next. A resource: close it.

    Nothing is buffered here: after a failed write there is nothing left that closing could fail to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, _APPEND, 0o644)

    def is_mine(self) -> bool:
        """Whether no other process writes here too; from now on none can until this one closes the file or dies."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: two writers cannot be told apart there
            return True
        return True

    def append(self, data: bytes) -> int:
        """Write ``data`` at the end and wait for the disk; returns where it begins.

        Raises:
            OSError: it could not be written; what a failed write left behind is cut off again where possible.
        """
        if os.fstat(self._file).st_nlink == 0:
            raise FileNotFoundError(ENOENT, "the folder has gone", str(self._path))
        offset = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write(self._file, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, offset)
            raise
        return offset

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def replace_file(path: Path, text: str) -> None:
    """Write a whole file so that at every instant the old one or the new one is there; links are not followed.

    Raises:
        OSError: it could not be written; the old file is untouched.
    """
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    file = os.open(draft, _NEW, 0o644)
    try:
        _write(file, text.encode())
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    finally:
        os.close(file)
    os.replace(draft, path)  # noqa: PTH105  (beside the other calls of the system)


def read_plain(path: Path, *, start: int = 0, length: int | None = None, most_bytes: int) -> bytes:
    """Bytes of a plain file; fewer than ``length`` where it ends before.

    Raises:
        FileNotFoundError: there is none.
        RunFolderError: it is a link, a pipe or a device, or larger than any run makes it.
        OSError: it cannot be read.
    """
    file = os.open(path, _READ)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise RunFolderError("is not a plain file", where=str(path))
        wanted = min(length if length is not None else found.st_size, max(found.st_size - start, 0))
        if wanted > most_bytes:
            raise RunFolderError(f"is larger ({wanted} bytes) than any run makes it", where=str(path))
        pieces = []
        while wanted > 0 and (piece := os.pread(file, wanted, start)):
            pieces.append(piece)
            start, wanted = start + len(piece), wanted - len(piece)
        return b"".join(pieces)
    finally:
        os.close(file)


def cut_off(path: Path, length: int) -> None:
    """Shorten a file to ``length`` bytes; one that is missing or shorter is left alone."""
    if path.exists() and path.stat().st_size > length:
        os.truncate(path, length)


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)
