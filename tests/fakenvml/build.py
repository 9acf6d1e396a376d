"""How does a test get the fake library? Compiled once a session, and loaded in a process of its own.

The process is needed because ``LD_LIBRARY_PATH`` must be set before it starts, and because torch opens
libnvidia-ml.so.1 too: the fake has no business in a process that uses CUDA.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SOURCES = ("sensor.c", "config.c", "nvml.c")
SONAME = "libnvidia-ml.so.1"
_INSIDE = (
    "import json, runpy, sys\n"
    "path, name, arguments, answer = sys.argv[1:]\n"
    "result = runpy.run_path(path)[name](**json.loads(arguments))\n"
    "open(answer, 'w').write(json.dumps(result))\n"
)


class NoCompilerError(Exception):
    """There is no C compiler on this machine."""


def build(folder: Path) -> Path:
    """Compile the fake into ``folder`` and return the library's path.

    Raises:
        NoCompilerError: there is no ``cc``.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError("no C compiler (cc, gcc or clang) to build the fake libnvidia-ml.so.1 with")
    library = folder / SONAME
    flags = ["-shared", "-fPIC", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    sources = [str(HERE / source) for source in SOURCES]
    command = [compiler, *flags, f"-Wl,-soname,{SONAME}", "-o", str(library), *sources, "-lm", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


class FakeNvml:
    """The compiled library, and processes in which it is the only NVML.

    Args:
        library: where it was built.
        folder: for configurations and answers.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self.library = library
        self._folder = folder
        self._runs = 0

    def run(
        self, function: Callable[..., Any], config: str, *, environment: dict[str, str] | None = None, **arguments: Any
    ) -> Any:
        """Call a top-level function of a test module in a process of its own, on boards of this configuration.

        Args:
            function: takes and returns JSON-able values.
            config: what the fake is to be; see README.md.
            environment: variables on top of this process's.
            **arguments: of the function.

        Raises:
            AssertionError: it failed there; the message holds its traceback.
        """
        self._runs += 1
        config_file = self._folder / f"{self._runs}.conf"
        answer_file = self._folder / f"{self._runs}.json"
        config_file.write_text(config)
        paths = [str(HERE.parents[1]), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.library.parent),
            "FAKE_NVML_CONFIG": str(config_file),
            "PYTHONPATH": os.pathsep.join(paths),
            **(environment or {}),
        }
        command = [sys.executable, "-c", _INSIDE, inspect.getfile(function), function.__name__]
        command += [json.dumps(arguments), str(answer_file)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(answer_file.read_text())


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory) -> FakeNvml:
    """The fake libnvidia-ml.so.1; the test is skipped where it cannot be built."""
    folder = tmp_path_factory.mktemp("fakenvml")
    try:
        return FakeNvml(build(folder), folder)
    except NoCompilerError as error:
        pytest.skip(str(error))
