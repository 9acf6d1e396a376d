"""``python -m energybench``: the same as the ``energybench`` command."""

from energybench.cli import main

if __name__ == "__main__":
    main()
