"""The shipped suites of weight formats: the shapes of the papers, every variant at each, MACs as they are done."""

import pytest
from layer_plans import CPU

from energybench.errors import UnsupportedError
from energybench.suite import load_suite
from energybench.suite.cases import expand
from energybench.workload import build, plan_workload

SUITES = ["sparse_pointwise", "pointwise_formats", "int8_convolutions"]
NEVER_ON_A_CPU = {"2:4", "fp8", "fp8 alone"}


def cases_of(name, **options):
    return expand(load_suite(name), **options)[0]


def test_the_dense_layers_are_all_pointwise_layers_of_mobilenet_v1():
    cases = [
        c for c in cases_of("sparse_pointwise", settings={"batch": [1], "sparsity": [0.9]}) if c.variant == "dense"
    ]
    plans = [(c.repeat, plan_workload(c)) for c in cases]
    # Zoo entry 4: 539.5 of 568.7 MMAC and 3,139,584 of 4,231,976 parameters.
    assert sum(repeat * p.macs for repeat, p in plans) == 539_492_352
    assert sum(repeat * p.params for repeat, p in plans) == 3_139_584


def test_sparse_variants_do_the_share_of_the_dense_macs_that_is_left():
    cases = cases_of("sparse_pointwise", settings={"batch": [1], "in_channels": [1024]})
    plans = {(c.variant, c.point["sparsity"]): plan_workload(c) for c in cases}
    dense = 1024 * 1024 * 49
    for sparsity in (0.5, 0.8, 0.9, 0.95):
        assert plans["dense", sparsity].macs == plans["dense with zeros", sparsity].macs == dense
        for variant in ("CSR", "BSR 16x16", "4x1 gathered", "16x1 gathered"):
            assert plans[variant, sparsity].macs == pytest.approx((1 - sparsity) * dense, rel=5e-3)  # whole channels
        # The narrower network is cut in steps of 8 channels on both sides.
        assert plans["narrower dense", sparsity].macs == pytest.approx((1 - sparsity) * dense, rel=0.05)
    assert plans["2:4", 0.5].macs == 1024 * 1024 * 56 // 2  # 49 pixels padded to 56
    assert ("2:4", 0.9) not in plans


@pytest.mark.parametrize("name", SUITES)
def test_every_case_is_counted_without_an_unknown_operator(name):
    for case in cases_of(name, settings={"batch": [1]}):
        plan = plan_workload(case)
        assert plan.unknown == ()
        assert plan.macs > 0


def test_formats_multiply_in_their_own_number_format():
    cases = cases_of("pointwise_formats", settings={"batch": [1], "in_channels": [512]})
    multiplied_in = {c.variant: {op.dtype for op in plan_workload(c).operators if op.macs} for c in cases}
    assert all(len(formats) == 1 for formats in multiplied_in.values())
    integers = {v for v, formats in multiplied_in.items() if formats == {"int8"}}
    assert integers == {"int8", "int8 compiled", "int8 alone", "ternary", "ternary 2-bit", "ternary add"}
    assert {v for v, formats in multiplied_in.items() if formats == {"float8"}} == {"fp8", "fp8 alone"}
    assert multiplied_in["int4 weight-only"] == {"float16"}


@pytest.mark.parametrize("name", SUITES)
def test_the_quick_part_runs_on_a_cpu_or_says_why_not(name):
    for case in cases_of(name, quick=True):
        if case.compile:
            continue  # compiling takes seconds, and computes the same
        plan = plan_workload(case)
        if case.variant in NEVER_ON_A_CPU:
            with pytest.raises(UnsupportedError):
                build(plan, CPU, seed=0)
            continue
        built = build(plan, CPU, seed=0)
        built.step(0)
        assert built.module(*built.input_sets[0]).shape == plan.output_shapes[0]


def test_weight_scales_by_channel_and_by_tensor_are_different_work():
    cases = cases_of("int8_convolutions", settings={"batch": [1], "in_channels": [512], "kernel_size": [3]})
    by_variant = {c.variant: plan_workload(c) for c in cases}
    assert by_variant["int8 per channel"].work != by_variant["int8 per tensor"].work
    saved = by_variant["int8 per channel"].compulsory_bytes - by_variant["int8 per tensor"].compulsory_bytes
    assert saved == 4 * (512 - 1)
