"""What every test can use."""

from fakenvml.build import fake_nvml  # noqa: F401  (a fixture)
