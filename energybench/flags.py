"""What does each flag mean, and what helps against it? The one dictionary of words that bear on a number's quality."""

from __future__ import annotations

from typing import NamedTuple


class Flag(NamedTuple):
    """One flag: its word, one character for narrow tables, what it says, and what to do about it."""

    name: str
    mark: str
    meaning: str
    remedy: str


FLAGS: dict[str, Flag] = {
    flag.name: flag
    for flag in (
        Flag("modelled", "M", "predicted from a machine sheet; nothing ran", "run on a GPU with --gpu 0"),
        Flag("simulated", "S", "the device is simulated; nothing was measured", "run on a GPU with --gpu 0"),
        Flag(
            "quick",
            "q",
            "short windows, few of them, no settling: good for a look, not for print",
            "run without --quick",
        ),
        Flag(
            "wide",
            "~",
            "the interval is wider than the wanted precision",
            "raise windows or --budget, or quiet the machine",
        ),
        Flag(
            "few-windows", "n", "fewer windows than planned", "run the same command again: it measures what is missing"
        ),
        Flag(
            "no-interval",
            "N",
            "fewer than five windows count: a mean without an interval, and no verdict",
            "run the same command again: it measures what is missing",
        ),
        Flag(
            "drift",
            "d",
            "power or speed changed by over 1 % within windows",
            "warm up longer; check cooling and other load",
        ),
        Flag(
            "repeated",
            "r",
            "over a quarter of the windows drifted or saw the counter jump, and were repeated; repeat_shift says "
            "what that changed",
            "warm up longer; check cooling and other load",
        ),
        Flag(
            "counter-jump",
            "J",
            "the energy counter jumped in some windows; their joules are left out: repeat_shift and excluded_shift say "
            "what they would have changed",
            "energybench doctor; a newer driver",
        ),
        Flag(
            "clocks-differ",
            "K",
            "the device's events and the host's clock differ by over 0.5 %: times and joules are that uncertain",
            "update the driver; quiet the host",
        ),
        Flag(
            "recompiled",
            "c",
            "torch.compile made a graph during a window: that window timed the compiler, too",
            "give the layer fixed shapes and no changing Python numbers",
        ),
        Flag(
            "unsettled",
            "u",
            "temperature or power still moved when measuring began",
            "raise the room for settling; check cooling",
        ),
        Flag(
            "forced-resume",
            "r",
            "gone on with although suite, device or software had changed",
            "run.json says what (forced); measure again with --fresh",
        ),
        Flag(
            "power-smoothing",
            "w",
            "the driver smooths power (a floor, slow ramps): idle is artificial, so there are no dynamic joules",
            "turn power smoothing off (an administrator can), or quote total joules",
        ),
        Flag("idle-unsettled", "i", "idle power did not come to rest", "dynamic joules are rough; use the total"),
        Flag("idle-once", "i", "idle was read only before, not after", "let the run finish"),
        Flag(
            "throttled",
            "T",
            "heat or hardware slowed the clocks for over 0.1 % of the time",
            "improve cooling or lower the power limit",
        ),
        Flag(
            "power-capped",
            "P",
            "the board was held at its power limit for over half the time",
            "a datum, not a fault: state the limit",
        ),
        Flag(
            "counter-disagrees",
            "C",
            "energy counter and integrated power differ by over 3 %",
            "energybench doctor; trust neither blindly",
        ),
        Flag(
            "counter-stale",
            "Z",
            "the energy counter stood still",
            "update the driver; power readings were used where possible",
        ),
        Flag(
            "meter-lost",
            "L",
            "the meter was lost while measuring; windows after that have no joules",
            "look for Xid errors in dmesg, then run the same command to go on",
        ),
        Flag(
            "alias",
            "A",
            "the sensor sees part of the time and iterations are long: joules may be off by up to alias_bound",
            "shorten iterations (a smaller batch), or measure more windows: each begins at another phase",
        ),
        Flag(
            "observer",
            "O",
            "polling the meter slows the loop by over 0.5 %",
            "leave the host alone, or give the run a CPU core of its own",
        ),
        Flag(
            "foreign-process",
            "!",
            "another process used the GPU: no joules are printed",
            "stop it (energybench doctor lists them)",
        ),
        Flag(
            "foreign-allowed",
            "!",
            "another process used the GPU, and --allow-foreign was given: its share is in the joules",
            "stop it (energybench doctor lists them), and run without --allow-foreign",
        ),
        Flag(
            "foreign-unseen",
            "!",
            "the driver lists one process unknown here; it is taken to be this run under its number on the host",
            "start the container with --pid=host to tell",
        ),
        Flag(
            "foreign-memory",
            "!",
            "the GPU's used memory changed while nothing of this run did: another process came or went",
            "stop it (energybench doctor lists them)",
        ),
        Flag(
            "idle-raised",
            "i",
            "idle power was over 10 % above that of the calibration: something else kept the GPU busy or hot",
            "look for other processes; let the GPU cool down; calibrate anew if it is so now",
        ),
        Flag("meter-faults", "F", "some readings were impossible and were dropped", "energybench doctor"),
        Flag(
            "below-floor",
            "f",
            "windows too short for the sensor: no joules are printed",
            "leave window_s to the planner",
        ),
        Flag(
            "eager",
            "e",
            "not captured as a CUDA graph: gaps between kernels are part of the joules",
            "avoid host syncs in the layer",
        ),
        Flag(
            "gap",
            "g",
            "the queue of the GPU ran dry at times: idle moments are part of the joules",
            "quiet the host, or give the run a CPU core of its own",
        ),
        Flag(
            "not-cold",
            "h",
            "inputs were found in the cache although they should not be: too small to outgrow it",
            "state it, or ask for cache: hot",
        ),
        Flag(
            "burst",
            "b",
            "sustained loop and single iterations differ by over 2 % in time",
            "quote loop_latency_s with the joules",
        ),
        Flag(
            "unknown-operators",
            "?",
            "MACs of some operators are not known, so nothing per MAC and no roof is given",
            "state their cost with energybench.cost.kernels",
        ),
        Flag(
            "compile-epilogues",
            "j",
            "compiled: epilogues counted as fused; what else torch.compile fuses is not known without running it",
            "run on a GPU with --gpu 0",
        ),
        Flag(
            "compile-uncounted",
            "c",
            "compiled, and nothing counted as fused (no epilogues, or a training pass): the operators one by one",
            "run on a GPU with --gpu 0",
        ),
        Flag(
            "above-roof",
            "R",
            "it, or an operator of it, is faster than the roofline: above_roof names the likely cause",
            "check the machine sheet where the cause is no known one",
        ),
        Flag(
            "whole-module",
            "m",
            "the meter covers a whole module, GPU with CPU and memory: so do all joules and watts",
            "keep the CPU idle, and say `module` with every number",
        ),
        Flag("foreign-device", "D", "the meter watches another device than the one that worked", "leave --meter out"),
    )
}


def marks(flags: str) -> str:
    """The one-character marks of a space-separated list of flags, in the dictionary's order."""
    present = set(flags.split())
    return "".join(flag.mark for name, flag in FLAGS.items() if name in present)
