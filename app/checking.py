"""The command `check`: every mistake of an experiment, the range of every knob, time and disk; touches nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.words import size_in_words
from aeqlab.protocols.check import CheckReport, Envelope, check
from aeqlab.protocols.experiment import LoadedExperiment, load_experiment
from aeqlab.protocols.notify import try_all
from aeqlab.protocols.reaction import Reaction
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.words import duration_in_words


def check_experiment(source: str, overrides: Sequence[str], *, notify: bool = False) -> int:
    """Check an experiment and print what was found, and send test messages if they are wanted; returns the exit code."""
    loaded = load_experiment(source, overrides)
    report = check(loaded)
    for problem in report.problems:
        say(str(problem))
    for warning in report.warnings:
        say(f"warning: {warning}")
    for line in in_words(loaded, report):
        print(line)
    sent = not notify or _send_tests(loaded)
    return ExitCode.OK if report.ok and sent else ExitCode.BAD_INPUT


def _send_tests(loaded: LoadedExperiment) -> bool:
    """Send a test message by every way of `notify:`, and print what became of it; returns whether all went out."""
    entries = loaded.experiment.notify
    if not entries:
        say("notify: nobody is told of anything, so nothing was sent.")
    tried = try_all(entries, f"check of {loaded.experiment.name}")
    for way, why in tried:
        if why:
            say(f"{way}: not sent: {why}")
        else:
            print(f"  {way}: a test message was sent")
    return bool(tried) and not any(why for _, why in tried)


def in_words(loaded: LoadedExperiment, report: CheckReport) -> Iterator[str]:
    """Say what an experiment would do: stages, the range of every knob, time and disk."""
    experiment = loaded.experiment
    verdict = "can run" if report.ok else "cannot run"
    warnings = f", {len(report.warnings)} warning{'s' * (len(report.warnings) > 1)}" if report.warnings else ""
    yield f"{experiment.name} {verdict}{warnings}"
    rows = {
        "device": f"{experiment.device.kind}",
        "sequence": ", ".join(map(_stage, experiment.sequence)) + f", then {experiment.then}",
        **{envelope.what: _range(envelope) for envelope in report.envelope},
        "imperfections": "; ".join(report.imperfections),
        "if it hangs": "" if report.reaction is None else _reaction(report.reaction),
        "if this computer dies now": " ".join(report.if_dies),
        "told": "; ".join(report.notified),
        "time": _time(report),
        "disk": "known only when it runs" if report.estimate is None else f"about {size_in_words(report.estimate.disk_bytes)}",
        "your code": ", ".join(report.user_code) + " (not run by this check)" if report.user_code else "",
    }
    width = max(len(name) for name, value in rows.items() if value)
    for name, value in rows.items():
        if value:
            yield f"  {name:{width}}  {value}"


def _stage(entry: StageEntry) -> str:
    marks = [words for words, there in (("off", entry.off), ("pause after", entry.pause_after)) if there]
    return entry.kind + (f" ({', '.join(marks)})" if marks else "")


def _time(report: CheckReport) -> str:
    if report.estimate is None:
        return "known only when it runs"
    steps = f"{report.estimate.steps:,} training steps"
    if report.estimate.points:
        points = f"{report.estimate.points:,} point{'s' * (report.estimate.points > 1)}"
        steps = f"{steps}, {points}" if report.estimate.steps else points
    if report.estimate.seconds is None:
        return steps
    low, high = report.estimate.seconds
    return f"{steps}, {duration_in_words(low)} to {duration_in_words(high)} on this computer"


def _reaction(reaction: Reaction) -> str:
    return (
        f"nudge off within {reaction.nudge_off_s:.2g} s of a silent run, make safe begun within {reaction.safe_s:.2g} s of a "
        f"hung session (one exchange takes up to {reaction.exchange_s:.2g} s)"
    )


def _range(envelope: Envelope) -> str:
    """Say how many knobs there are, what they may do and what is asked of them."""
    count = "" if envelope.count in (None, 1) else f"{envelope.count:,} of them, "
    unit = "" if envelope.unit == "1" else f" {envelope.unit}"
    parts = [f"{count}{_interval(envelope.low, envelope.high, envelope.unit)}"]
    if envelope.asked is not None:
        parts.append(f"asked {_interval(*envelope.asked, envelope.unit)}")
    if envelope.step:
        parts.append(f"in steps of {envelope.step:.3g}{unit}")
    if math.isfinite(envelope.slew_per_s):
        parts.append(f"at most {envelope.slew_per_s:.3g}{unit}/s" if unit else f"at most {envelope.slew_per_s:.3g} per s")
    if envelope.note:
        parts.append(envelope.note)
    return "; ".join(parts)


def _interval(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return "limits known only when it runs"
    if low == -math.inf and high == math.inf:
        return "no limits"
    return f"{low:.4g} to {high:.4g}{'' if unit == '1' else f' {unit}'}"
