"""Which run does a command go on with? The newest it left unfinished, unless something that matters has changed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from energybench.errors import RunFolderError
from energybench.journal import RUN_FILE, Journal, Run, RunRecord, WindowRecord, load, runs_in
from energybench.session.record import operator_records
from energybench.session.study import RunOptions, Study

HOW_TO_RUN = {"--fresh", "--force-resume", "--retry-failed", "--wait", "--quiet", "--json", "--isolate"}
"""Words of a command that change how it runs, not what it measures."""

_DEVICE = {"short", "pci_bus_id", "memory_bytes", "l2_bytes"}
"""What ``run.json`` says of a device beyond its identity."""


def journal_for(study: Study, record: RunRecord, options: RunOptions, tell: Callable[[str], None]) -> Journal:
    """The journal of a run that is about to begin or to go on.

    Raises:
        RunFolderError: the folder cannot be used, or holds a run measured under other conditions.
    """
    run = None if options.fresh else _unfinished(record, options)
    operators = operator_records(study.cases)
    if run is None:
        folder = options.output or _new_folder(options.results, record)
        if options.fresh and (folder / RUN_FILE).exists():
            raise RunFolderError(
                "already holds a run, and --fresh never writes over one",
                where=str(folder),
                remedy="choose another --output, or remove the folder yourself",
            )
        return Journal.create(folder, record, operators)
    tell(f"resuming {run.folder}")
    if run.record.identity == record.identity:
        return Journal.resume(run)
    changed = differences(run.record, record)
    tell(f"forced to go on although these changed: {'; '.join(changed)}; every row says so")
    forced = record.model_copy(
        update={
            "created_utc": run.record.created_utc,
            "sessions": run.record.sessions,
            "notes": [*run.record.notes, *record.notes],
            "forced": [*run.record.forced, *changed],
        }
    )
    return Journal.resume(run, forced, operators)


def given_up(windows: Iterable[WindowRecord]) -> dict[tuple[str, str], str]:
    """(comparison, work) of what failed or cannot run here, and was not measured since: ``failed`` or ``skipped``."""
    found: dict[tuple[str, str], str] = {}
    for window in windows:
        key = (window.comparison, window.work)
        if window.kind in ("failed", "skipped"):
            found[key] = window.kind
        elif window.kind == "window":
            found.pop(key, None)
    return found


def differences(old: RunRecord, new: RunRecord) -> list[str]:
    """What changed between two records, of all that decides whether their windows may be mixed."""
    found = [] if old.suite_text == new.suite_text else ["the suite's text"]
    found += _changed("option", old.options, new.options)
    found += _changed("device", *({k: v for k, v in r.device.items() if k not in _DEVICE} for r in (old, new)))
    found += _changed("meter", *({k: r.meter.get(k) for k in ("name", "driver", "power_limit_w")} for r in (old, new)))
    found += _changed("version of", old.versions, new.versions)
    if _said(old.sensor) != _said(new.sensor):
        found.append("what is known of the sensor (it was calibrated in between)")
    return found or ["the source of a plugin"]


def _unfinished(record: RunRecord, options: RunOptions) -> Run | None:
    """The run to go on with; None where a new one is to begin."""
    for run in _candidates(record, options):
        if run.record.identity == record.identity:
            unfinished = not run.record.complete or (
                options.retry_failed and "failed" in given_up(run.windows).values()
            )
            if unfinished:
                return run
            if options.output is not None:
                raise RunFolderError(
                    "already holds this run, and it is complete",
                    where=str(options.output),
                    remedy=f"energybench report {options.output} shows it; another --output measures again",
                )
        elif options.force_resume and run.record.name == record.name:
            return run
        else:
            raise RunFolderError(
                f"cannot be gone on with, these changed: {'; '.join(differences(run.record, record))}",
                where=str(run.folder),
                why="windows of two different measurements must not be mixed",
                remedy=("choose another --output" if options.output else "--fresh starts anew")
                + "; --force-resume goes on all the same, and every row says so",
            )
    return None


def _candidates(record: RunRecord, options: RunOptions) -> Iterator[Run]:
    """Runs this command may mean: the one in --output, else those of its identity, else those of the same words."""
    if options.output is not None:
        if (options.output / RUN_FILE).exists():
            yield load(options.output)
        return
    alike = list(runs_in(options.results, lambda head: head.get("name") == record.name))
    same = [run for run in alike if run.record.identity == record.identity]
    newest = sorted(same, key=lambda run: (run.record.created_utc, run.folder.name), reverse=True)
    yield from (run for run in newest if not run.record.complete or options.retry_failed)
    other = [run for run in alike if run.record.identity != record.identity and not run.record.complete]
    other = [run for run in other if _same_words(run.record, record)]
    yield from sorted(other, key=lambda run: (run.record.created_utc, run.folder.name), reverse=True)


def _same_words(old: RunRecord, new: RunRecord) -> bool:
    """Whether two runs were asked for by the same command."""
    words = [[word for word in record.command if word not in HOW_TO_RUN] for record in (old, new)]
    return _said(old.options) == _said(new.options) and words[0] == words[1]


def _changed(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**old, **new} if _said(old.get(name)) != _said(new.get(name))]
    return [f"{what} {name} {old.get(name)!r} -> {new.get(name)!r}" for name in names]


def _said(value: Any) -> str:
    """A value as it stands in ``run.json``: there a tuple is a list."""
    return json.dumps(value, sort_keys=True)


def _new_folder(results: Path, record: RunRecord) -> Path:
    device = re.sub(r"[^a-z0-9]+", "-", str(record.device.get("short", "device")).lower()).strip("-")
    stem = f"{record.name}-{device}-{record.created_utc}"
    folder = results / stem
    for number in itertools.count(2):
        if not folder.exists():
            break
        folder = results / f"{stem}-{number}"
    return folder
