"""The advice repeats what was typed, so that it can be copied."""

from dataclasses import replace

from quiet import measured

from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.report.next_step import next_step, without


def advice(tmp_path, *words, **options):
    folder, _ = measured(tmp_path, quick=True, command=("energybench", *words), **options)
    return next_step(summarize(load(folder)))


def test_a_simulated_run_is_advised_on_a_gpu_with_the_users_own_words(tmp_path):
    words = (
        "run",
        "my suite.yaml",
        "--device",
        "sim:h200",
        "--only",
        "E2GC*",
        "--fresh",
        "--output=x",
        "--export-csv",
        "x.csv",
    )
    found = advice(tmp_path, *words)
    assert found == ("energybench run 'my suite.yaml' --only 'E2GC*' --gpu 0", "on a real GPU")


def test_a_quick_look_is_advised_without_quick(tmp_path):
    words = ("run", "small.yaml", "--quick", "--device", "cpu", "--meter", "none", "--output", "look")
    found = advice(tmp_path, *words, device="cpu", meter="none")
    assert found[0] == "energybench run small.yaml --device cpu --meter none"
    assert found[1].startswith("without --quick")


def test_a_run_without_a_command_is_advised_by_its_suites_name(tmp_path):
    assert advice(tmp_path) == ("energybench run small --gpu 0", "on a real GPU")


def test_an_unfinished_run_is_advised_to_go_on_where_it_is(tmp_path):
    words = ("energybench", "run", "small.yaml", "--device", "sim:h200", "--budget", "1min", "--output", "here")
    folder, _ = measured(tmp_path, quick=True, command=words)
    summary = summarize(load(folder))
    record = summary.run.record.model_copy(update={"complete": False})
    unfinished = replace(summary, run=replace(summary.run, record=record))
    assert next_step(unfinished) == (" ".join(words), "goes on where it stopped")


def test_options_go_with_their_values_and_nothing_else_goes():
    words = ["run", "--gpu", "1", "s", "--gpu=1", "--set", "batch=1", "--gpus", "--fresh"]
    assert without(words, ("--gpu",), ("--fresh",)) == ["run", "s", "--set", "batch=1", "--gpus"]
