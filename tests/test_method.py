"""report/method.py: what a report says of how its numbers were made."""

from quiet import summary_of

from energybench.report.method import method_words


def test_joules_of_a_module_are_called_the_modules_in_the_words_and_in_every_row(tmp_path):
    summary = summary_of(tmp_path, device="sim:gh200", quick=True)
    assert "The energy is that of the whole module, GPU with CPU and memory" in " ".join(method_words(summary))
    assert all("whole-module" in flags.split() for flags in summary.cases["flags"])


def test_joules_of_a_board_are_called_the_boards(tmp_path):
    summary = summary_of(tmp_path, quick=True)
    assert "The energy is that of the whole board" in " ".join(method_words(summary))
    assert not any("whole-module" in flags.split() for flags in summary.cases["flags"])
