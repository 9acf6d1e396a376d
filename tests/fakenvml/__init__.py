"""A fake libnvidia-ml.so.1 whose true joules are known, for tests through the real nvidia-ml-py."""
