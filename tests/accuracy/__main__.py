"""How wrong is each tool? Measure, or go on measuring, and write docs/accuracy.md, .csv, .svg and .png."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from fakenvml.build import build

from accuracy.grid import Site, jobs, measure

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m accuracy", description=__doc__)
    parser.add_argument("--only", default="*", help="jobs to measure, as a pattern: 'Zeus on *'")
    parser.add_argument("--for", dest="budget_s", type=float, default=float("inf"), help="begin no job after S seconds")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="environments and rows")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page goes")
    chosen = parser.parse_args()
    build_folder = chosen.build.resolve()
    rows = build_folder / "accuracy"
    if chosen.fresh:
        shutil.rmtree(rows, ignore_errors=True)
    rows.mkdir(parents=True, exist_ok=True)
    site = Site(build(rows), build_folder / "peers", rows / "loops.csv")
    left = measure(site, jobs(chosen.only), budget_s=chosen.budget_s)
    if left:
        print(f"{left} jobs are left; run the same command again")  # noqa: T201
        return
    from accuracy.page import write

    write(site.rows, chosen.docs)
    print(f"written: {chosen.docs / 'accuracy.md'}")  # noqa: T201


if __name__ == "__main__":
    main()
