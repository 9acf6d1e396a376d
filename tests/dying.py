"""A run in a process that dies, or whose disk fails, at the n-th call that changes the disk. Run as a script by tests.

    python dying.py FOLDER N HOW      HOW: count | kill | kill-half | full | gone

Prints the number of calls; a killed process prints nothing and ends with status 9, a failed one with the message.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

from quiet import measured

from energybench.errors import RunFolderError

TINY = """
name: tiny
baseline: a
variants:
  a: {layer: GroupConv2d, args: {channels: 8, kernel_size: 3, groups: 2}}
  b: {layer: GroupConv2d, args: {channels: 8, kernel_size: 3, groups: 8}}
input: [4, 8, 8, 8]
method: {windows: 6, precision: 50%, window_s: 1s}
"""
DEAD = 9
CALLS = ("write", "fsync", "replace", "truncate", "unlink", "mkdir")
made = 0


def interposed(name: str, at: int, how: str, folder: Path) -> None:
    """Let every call of ``os.name`` be counted, and the ``at``-th one meet its fate."""
    real = getattr(os, name)

    def call(*args, **kwargs):
        global made  # noqa: PLW0603
        made += 1
        if made == at and how.startswith("kill"):
            if how == "kill-half" and name == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            os._exit(DEAD)
        if made >= at and how == "full" and name == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if made == at and how == "gone":
            shutil.rmtree(folder / "results", ignore_errors=True)
        return real(*args, **kwargs)

    setattr(os, name, call)


def main(folder: Path, at: int, how: str) -> int:
    for name in CALLS:
        interposed(name, at, how, folder)
    try:
        measured(folder, text=TINY)
    except RunFolderError as error:
        return said(error, 2)
    return said(made, 0)


def said(what: object, status: int) -> int:
    """Say one thing at once: a fork that leaves by ``os._exit`` flushes nothing."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    if "--each" in sys.argv:  # torch is imported once, and every fate is met by a fork
        parent, count, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
        measured(parent / "first", text=TINY)  # all that is lazy happens once
        for n in range(1, count + 1, int(sys.argv[-1])):
            child = os.fork()
            if child == 0:
                os._exit(main(parent / str(n), n, how))
            os.waitpid(child, 0)
    else:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
