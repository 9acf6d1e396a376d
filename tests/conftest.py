"""What every test can use."""

import os

import pytest
from fakenvml.build import fake_nvml  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True, scope="session")
def locks_of_this_worker(tmp_path_factory):
    """Device locks are held in a folder of this worker's: workers, and a run of the user's, may use the CPU at once."""
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("runtime"))
