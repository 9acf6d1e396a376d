"""What does each column mean, in what unit, from where? The one dictionary of every table the project writes.

The README's table, the CSV header, the report's hover texts and the docs are generated from it. A column may be
added; a column never changes its meaning.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column: its name (the unit is the last word of it), unit, meaning and usual provenance."""

    name: str
    unit: str
    meaning: str
    provenance: str


SCHEMA_VERSION = 1

RESULTS: tuple[Column, ...] = (
    Column("row", "", "`case`, or `total`: a variant summed over the stages of a network, weighted by `repeat`", ""),
    Column("case", "", "readable, stable identifier", ""),
    Column("variant", "", "one way to do the job", ""),
    Column("layer", "", "the class that was measured", ""),
    Column("comparison", "", "the point of the axes at which variants were compared, measured interleaved", ""),
    Column("work", "", "identity of the work; cases with the same one share a measurement", "counted"),
    Column("batch", "inferences", "samples of one iteration", ""),
    Column("dtype", "", "number format (float32 is strict, tf32 is its own value)", ""),
    Column("repeat", "", "how often the network has this layer", ""),
    Column("macs", "per iteration", "multiply-accumulates of convolutions and matrix products", "counted"),
    Column("flops", "per iteration", "2 x macs", "counted"),
    Column(
        "compulsory_bytes", "bytes per iteration", "inputs, parameters, buffers, outputs, each moved once", "counted"
    ),
    Column("eager_bytes", "bytes per iteration", "sum over the operators of what each must move", "counted"),
    Column("params", "", "parameters", "counted"),
    Column("peak_memory_bytes", "bytes", "most device memory held while measuring; an estimate where not measured", ""),
    Column("compile_s", "s", "time to build, warm up and capture or compile, once", "measured"),
    Column("latency_s", "s per iteration", "median of the latency pass", "measured"),
    Column(
        "latency_iterations_per_sample",
        "",
        "iterations behind one of its samples",
        "measured",
    ),
    Column(
        "latency_p5_s",
        "s per iteration",
        "5th percentile; empty where samples are groups",
        "measured",
    ),
    Column("latency_p95_s", "s per iteration", "95th percentile; empty where samples are groups", "measured"),
    Column(
        "loop_latency_s",
        "s per iteration",
        "sustained, over the windows; the one that goes with the joules",
        "measured",
    ),
    Column("loop_latency_low_s", "s per iteration", "lower end of its 95 % interval", "measured"),
    Column("loop_latency_high_s", "s per iteration", "upper end of its 95 % interval", "measured"),
    Column("energy_per_iteration_j", "J per iteration", "power_w x loop_latency_s of the same windows", "measured"),
    Column("energy_per_inference_j", "J per inference", "energy_per_iteration_j / batch", "measured"),
    Column("energy_per_inference_low_j", "J per inference", "lower end of its 95 % interval (random part)", "measured"),
    Column(
        "energy_per_inference_high_j", "J per inference", "upper end of its 95 % interval (random part)", "measured"
    ),
    Column(
        "energy_gain_uncertainty", "", "relative half-width of the sensor's gain; systematic, not in the interval", ""
    ),
    Column("dynamic_energy_per_inference_j", "J per inference", "the same above active idle", "measured"),
    Column("power_w", "W", "mean board power while looping", "measured"),
    Column("idle_w", "W", "active idle: context open, weights resident, clocks up", "measured"),
    Column("energy_ratio", "", "energy per inference over the baseline's, from mirrored pairs", "measured"),
    Column("energy_ratio_low", "", "lower end of its 95 % interval", "measured"),
    Column("energy_ratio_high", "", "upper end of its 95 % interval", "measured"),
    Column("latency_ratio", "", "loop latency over the baseline's, from mirrored pairs", "measured"),
    Column("latency_ratio_low", "", "lower end of its 95 % interval", "measured"),
    Column("latency_ratio_high", "", "upper end of its 95 % interval", "measured"),
    Column("energy_per_mac_j", "J per MAC", "energy_per_iteration_j / macs", "measured"),
    Column("inferences_per_j", "inferences per J", "1 / energy_per_inference_j", "measured"),
    Column("ideal_latency_s", "s per iteration", "flops / peak: what arithmetic alone would take", "modelled"),
    Column(
        "attainable_latency_s",
        "s per iteration",
        "sum over operators of max(arithmetic, memory, joules at the power limit) time",
        "modelled",
    ),
    Column("predicted_latency_s", "s per iteration", "attainable plus launches, from the machine sheet", "modelled"),
    Column("predicted_energy_per_inference_j", "J per inference", "operations + bytes + static x time", "modelled"),
    Column("efficiency", "", "ideal_latency_s / loop_latency_s (computational efficiency)", "measured"),
    Column(
        "attainable_efficiency", "", "ETA: ideal_latency_s / attainable_latency_s, operators one by one", "modelled"
    ),
    Column(
        "roofline_efficiency", "", "ETA_roof: what one roofline on the totals would promise, never less", "modelled"
    ),
    Column(
        "kernel_quality", "", "attainable_latency_s over the sum of the operators' own times (--operators)", "measured"
    ),
    Column("busy_fraction", "", "that sum over loop_latency_s; efficiency is the product of the three", "measured"),
    Column("above_roof", "", "why it, or an operator of it, beats its roofline; empty where none does", ""),
    Column("windows", "", "windows that count", "measured"),
    Column("relative_halfwidth", "", "half-width of the energy interval over the estimate", "measured"),
    Column("smallest_difference", "", "smallest energy ratio - 1 this design shows with 80 % power at 5 %", "measured"),
    Column("stopped", "", "why measuring ended: converged, windows, budget, failed", ""),
    Column("temperature_start_c", "degC", "median of the windows' start temperatures", "measured"),
    Column("temperature_c", "degC", "median of the windows' end temperatures", "measured"),
    Column("sm_clock_hz", "Hz", "median SM clock over the windows", "measured"),
    Column("memory_clock_hz", "Hz", "median memory clock over the windows", "measured"),
    Column("throttle_share", "", "share of the windows' time slowed by heat or hardware", "measured"),
    Column("power_cap_share", "", "share of the windows' time held at the power limit", "measured"),
    Column("counter_vs_integral", "", "counter joules over integrated power readings - 1", "measured"),
    Column("drift", "", "second half of a window over its first - 1, power or time, the larger; median", "measured"),
    Column("repeated_windows", "", "windows that were measured again (drift, a jump); count in nothing", "measured"),
    Column("repeat_shift", "", "mean with the windows that were measured again over the mean without - 1", "measured"),
    Column("excluded_windows", "", "windows whose joules are left out because the counter jumped in them", "measured"),
    Column("excluded_shift", "", "mean joules with the windows left out over the mean without - 1", "measured"),
    Column("event_vs_host", "", "loop time by the device's events over the host's clock - 1; median", "measured"),
    Column("recompilations", "", "graphs that torch.compile made during the windows", "counted"),
    Column(
        "host_bound_share",
        "",
        "1 - time as a CUDA graph / time launched by the host; empty without a graph, and on the CPU",
        "measured",
    ),
    Column(
        "stale_share", "", "share of the time in which the source of the joules had stood still too long", "measured"
    ),
    Column("impossible_share", "", "share of the readings that were impossible and dropped", "measured"),
    Column("alias_bound", "", "most that joules can be off because the sensor sees only part of the time", "measured"),
    Column("observer_effect", "", "loop time polled as usual over hardly polled - 1", "measured"),
    Column(
        "edge_halfwidth", "", "relative 95 % half-width of a window: its ends' timing, or readings' noise", "measured"
    ),
    Column("unaligned_error", "", "what one window would err by, were the counter read at the loop's ends", "measured"),
    Column(
        "model_error", "", "expected relative error of predicted joules; only where provenance is modelled", "modelled"
    ),
    Column("status", "", "ok, failed, or skipped", ""),
    Column("reason", "", "why a number is missing or a case failed, and what would help", ""),
    Column("flags", "", "space-separated words that bear on quality; the report explains each", ""),
    Column("provenance", "", "measured, simulated, or modelled", ""),
)

PAIRS: tuple[Column, ...] = (
    Column("scope", "", "`case` (one point of the axes) or `total` (a network, weighted by repeat)", ""),
    Column("network", "", "text fields of the summed axis, for totals", ""),
    Column("comparison", "", "point of the axes", ""),
    Column("variant", "", "the one judged", ""),
    Column("against", "", "its partner at matched MACs, or the baseline", ""),
    Column("kind", "", "`matched` (declared pair) or `baseline`", ""),
    Column("batch", "", "samples of one iteration", ""),
    Column("dtype", "", "number format", ""),
    Column("macs_ratio", "", "MACs over the partner's", "counted"),
    Column("energy_ratio", "", "energy per inference over the partner's", "measured"),
    Column("energy_ratio_low", "", "lower end of its 95 % interval", "measured"),
    Column("energy_ratio_high", "", "upper end of its 95 % interval", "measured"),
    Column("latency_ratio", "", "loop latency over the partner's", "measured"),
    Column("latency_ratio_low", "", "lower end of its 95 % interval", "measured"),
    Column("latency_ratio_high", "", "upper end of its 95 % interval", "measured"),
    Column("energy_per_mac_ratio", "", "joules per MAC over the partner's", "measured"),
    Column("smallest_difference", "", "smallest |ratio - 1| visible with 80 % power", "measured"),
    Column("verdict", "", "less, more, same (within 1 %), cannot tell", "measured"),
)

OPERATORS: tuple[Column, ...] = (
    Column("case", "", "case the operator belongs to", ""),
    Column("variant", "", "variant of that case", ""),
    Column("index", "", "place in execution order", "counted"),
    Column("path", "", "module path", "counted"),
    Column("name", "", "operator", "counted"),
    Column("family", "", "conv_dense, conv_grouped, ..., elementwise", "counted"),
    Column("macs", "per iteration", "multiply-accumulates", "counted"),
    Column("flops", "per iteration", "2 x macs", "counted"),
    Column("bytes", "bytes per iteration", "own inputs, weights and outputs, each once", "counted"),
    Column("read_bytes", "bytes per iteration", "inputs and weights of it", "counted"),
    Column("write_bytes", "bytes per iteration", "outputs of it", "counted"),
    Column("weight_bytes", "bytes per iteration", "parameters and buffers among what is read", "counted"),
    Column("groups", "", "groups of a convolution", "counted"),
    Column("group_size", "", "input channels per group, 0 where meaningless", "counted"),
    Column("kernel_size", "", "longer side of the filter, 0 where meaningless", "counted"),
    Column("out_channels", "", "output channels or columns, 0 where meaningless", "counted"),
    Column("stride", "", "longer step of the filter, 0 where meaningless", "counted"),
    Column("input_side", "", "longer side of a convolution's input, 0 where meaningless", "counted"),
    Column("known", "", "False where no closed form knows it: its MACs are missing", "counted"),
    Column("dtype", "", "number format", "counted"),
    Column("measured_s", "s per iteration", "device time; empty where not measured per operator", "measured"),
    Column("kernel", "", "kernel name, where a profiler saw it", "measured"),
)

GROUP_SIZE: tuple[Column, ...] = (
    Column("comparison", "", "point of the axes", ""),
    Column("network", "", "text fields of the summed axis", ""),
    Column("channels", "", "C", ""),
    Column("size", "", "output side", ""),
    Column("batch", "", "samples of one iteration", ""),
    Column("dtype", "", "number format", ""),
    Column("group_sizes", "", "group sizes that were measured, ascending, space-separated", "counted"),
    Column("measured_optimum", "", "group size with the least joules per inference", "measured"),
    Column("measured_set", "", "group sizes not distinguishable from it, space-separated", "measured"),
    Column("measured_optimum_per_mac", "", "group size with the least joules per MAC", "measured"),
    Column("predicted_optimum", "", "group size with the least predicted joules, in a run of `predict`", "modelled"),
    Column("thesis_optimum", "", "the paper's thesis as reconstructed, divisor rule applied", "modelled"),
    Column("physical_optimum", "", "physical model on the machine sheet, divisor rule applied", "modelled"),
    Column("knee", "", "largest divisor below the roofline knee", "modelled"),
    Column("residual", "", "measured joules over the physical model's at the measured optimum - 1", "modelled"),
)

WINDOWS: tuple[Column, ...] = (
    Column("window", "", "number in windows.jsonl", ""),
    Column("work", "", "identity of the work", ""),
    Column("comparison", "", "comparison it was measured in", ""),
    Column("block", "", "block: every variant once, in random order; the next block mirrored", ""),
    Column("start_s", "s", "start of the loop on the run's clock", "measured"),
    Column("stop_s", "s", "end of the loop", "measured"),
    Column("iterations", "", "iterations of the loop", "measured"),
    Column("power_w", "W", "mean power over the interior", "measured"),
    Column("loop_latency_s", "s per iteration", "loop time per iteration over the interior", "measured"),
    Column("energy_per_iteration_j", "J per iteration", "power_w x loop_latency_s", "measured"),
    Column("interior_s", "s", "time between the two ticks that were used", "measured"),
    Column("edge_halfwidth", "", "relative 95 % half-width that its ends' timing or readings' noise leave", "measured"),
    Column("unaligned_power_w", "W", "power had the counter been read at the loop's ends, not its ticks", "measured"),
    Column("estimator", "", "counter, readings, or none", ""),
    Column("temperature_c", "degC", "at the end", "measured"),
    Column("sm_clock_hz", "Hz", "at the end", "measured"),
    Column("flags", "", "space-separated", ""),
    Column("reason", "", "why there are no joules", ""),
)


def names(columns: tuple[Column, ...]) -> list[str]:
    """The names of ``columns`` in order."""
    return [column.name for column in columns]


def markdown_table(columns: tuple[Column, ...]) -> str:
    """The dictionary as a Markdown table, for the README and the docs."""
    lines = ["| column | unit | meaning | provenance |", "|---|---|---|---|"]
    lines += [f"| `{c.name}` | {c.unit} | {c.meaning} | {c.provenance} |" for c in columns]
    return "\n".join(lines)


START, END = "<!-- columns: written by `python -m energybench.columns` -->", "<!-- end of columns -->"


def with_table(text: str) -> str:
    """``text`` with the table of results.csv's columns between its two markers."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{markdown_table(RESULTS)}\n\n{END}{after}"


if __name__ == "__main__":
    from pathlib import Path

    README = Path("README.md")
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
