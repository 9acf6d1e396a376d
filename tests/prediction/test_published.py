"""The targets of issue 4 on published latencies, and that the committed table is the one the code gives."""

import pandas as pd
import pytest
from check import DOCS, network_rows, shipped_rows, to_frame
from data_sets import data_folder
from pages import missed_convolutions

needs_data = pytest.mark.skipif(
    not (data_folder() / "timm").is_dir(),
    reason="the published latencies are not beside the checkout (ENERGYBENCH_DATA)",
)


@pytest.fixture(scope="module")
def networks():
    return to_frame(list(network_rows()))


def overall(frame, predicted_from):
    return frame[(frame.family == "networks: all") & frame.predicted_from.str.startswith(predicted_from)]


@needs_data
def test_networks_are_predicted_from_another_cards_latencies_better_than_by_one_ratio(networks):
    rows = overall(networks, "latencies")
    assert len(rows) == 2
    assert (rows.mape < 0.095).all()
    assert (rows.spearman >= 0.97).all()


@needs_data
def test_networks_are_predicted_from_the_data_sheet_alone_within_a_third(networks):
    rows = overall(networks, "data sheet")
    assert len(rows) == 2
    assert (rows.mape <= 0.35).all()
    assert (rows.mape < 0.5 * rows.roofline_mape).all()


@needs_data
def test_the_committed_table_is_what_the_code_gives(networks):
    committed = pd.read_csv(DOCS / "prediction.csv")
    now = pd.concat([networks, to_frame(list(shipped_rows()))], ignore_index=True)
    keys = ["data", "family", "predicted_from", "judged_on"]
    both = now.merge(committed, on=keys, suffixes=("", "_committed"))
    assert len(both) == len(now)
    assert (both.mape - both.mape_committed).abs().max() <= 0.002


def test_the_committed_table_meets_the_targets_for_networks_and_says_which_convolutions_miss_theirs():
    committed = pd.read_csv(DOCS / "prediction.csv")
    asked = committed[committed.target.notna()]
    missed = asked[asked.mape > asked.target]
    assert set(missed.data) <= {"tinynas"}
    page = (DOCS / "prediction.md").read_text(encoding="utf-8")
    assert page.count(" missed |") == len(missed)
    assert f"{missed_convolutions(committed)} miss 20 %" in page
