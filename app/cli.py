"""The command line: one thin function per command; what a command needs is imported when it is called.

`aeqlab --help` must answer at once, so nothing but click, the standard library and two small files is imported here.
"""

from __future__ import annotations

import codecs
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from aeqlab.app.signals import handlers_kept, ignore_signals, interrupt_again
from aeqlab.app.streams import broken, mend_streams

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
INTERRUPTED = 130
ENDINGS = "Exit codes: 0 finished, 1 failed, 2 bad input, 3 stopped, 4 aborted, 5 diverged (docs/exit-codes.md)."

_runs = click.option(
    "--runs", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Folder that holds the run folders [default: as the experiment says, else ./runs].",
)  # fmt: skip
_quiet = click.option("--quiet", "-q", is_flag=True, help="No progress; only warnings, errors and the last line.")
_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Change one value of the experiment, such as train.epochs=1 or device.epsilon=0.05. May be given several times.",
)  # fmt: skip
_experiment = click.argument("experiment", metavar="FILE|PRESET")


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"aeqlab {version('aeqlab')}")
        context.exit()


class _InOrder(click.Group):
    """Lists the commands in the order in which they are written here, which is the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings=CONTEXT, epilog=ENDINGS)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version.")
def cli() -> None:
    """Train physical systems with Agnostic Equilibrium Propagation.

    Begin with: aeqlab run linear-regression
    """


@cli.command()
@_experiment
@_overrides
@click.option("--notify", is_flag=True, help="Also send a test message by every way of `notify:`.")
def check(experiment: str, overrides: tuple[str, ...], notify: bool) -> int:
    """Find every mistake in an experiment; touches nothing.

    Prints all errors with their lines, the range of every knob, the time and the disk it will take.
    """
    from aeqlab.app.checking import check_experiment

    return check_experiment(experiment, overrides, notify=notify)


@cli.command(short_help="Put a device through the conformance suite; moves knobs.")
@_experiment
@_overrides
def accept(experiment: str, overrides: tuple[str, ...]) -> int:
    """Put the experiment's device through the conformance suite; moves its knobs.

    Prints one line per test with its verdict and its numbers.
    """
    from aeqlab.app.accepting import accept_device

    return accept_device(experiment, overrides)


@cli.command()
@_experiment
@_overrides
@_runs
@_quiet
def run(experiment: str, overrides: tuple[str, ...], runs: Path | None, quiet: bool) -> int:
    """Run an experiment: a file, or a preset by name.

    Presets: linear-regression, linear-slow, compare-methods, xor, digits, mnist-dense, fashion-dense, scan-knob, tour,
    tour-slow, tour-engine.
    Ctrl-C stops after this sample, a second one aborts.
    """
    from aeqlab.app.running import run_new

    return run_new(experiment, overrides, runs, quiet=quiet)


@cli.command()
@click.argument("run", metavar="RUN")
@_runs
@_quiet
def resume(run: str, runs: Path | None, quiet: bool) -> int:
    """Go on with a run whose process ended, from its last checkpoint."""
    from aeqlab.app.running import run_again

    return run_again(run, runs, quiet=quiet)


@cli.command()
@_runs
@click.option("--all", "everything", is_flag=True, help="All of them, not only the last 30.")
def runs(runs: Path | None, everything: bool) -> int:
    """List the runs of a folder, newest last."""
    from aeqlab.app.looking import list_runs

    return list_runs(runs, everything=everything)


@cli.command()
@click.argument("run", metavar="[RUN]", default="last")
@_runs
def show(run: str, runs: Path | None) -> int:
    """Show what a run did: state, result, cost, homeostasis, events. RUN is a folder, its name, its last letters, or `last`."""
    from aeqlab.app.looking import show_run

    return show_run(run, runs)


@cli.command(short_help="List instruments, or ask those named who they are.")
@click.argument("addresses", metavar="[ADDRESS...]", nargs=-1)
@click.option("--visa", default="@py", show_default=True, help="VISA library: @py, @ivi (that of a vendor), or its path.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.05, 60.0), default=2.0, show_default=True, help="Longest wait, s."
)
@click.option("--baud", type=click.IntRange(min=1), default=115200, show_default=True, help="Of serial ports.")
@click.option("--wakes", "wakes_s", type=click.FloatRange(0.0, 60.0), default=0.0, help="A board resets when opened: wait, s.")
def instruments(addresses: tuple[str, ...], visa: str, timeout_s: float, baud: int, wakes_s: float) -> int:
    """List what VISA finds, or ask the instruments that are named who they are.

    ADDRESS is host:port, a serial port, or a VISA address. Only what is named is opened, and asked for its name and nothing else.
    """
    from aeqlab.app.instruments import show_instruments

    return show_instruments(addresses, visa=visa, timeout_s=timeout_s, baud_rate=baud, wakes_s=wakes_s)


@cli.group(cls=_InOrder, context_settings=CONTEXT)
def data() -> None:
    """Fetch data sets, and see that their files are whole.

    They belong in the folder that AEQLAB_DATA names, else in the user's data folder; runs look for them there.
    """


@data.command("fetch", short_help="Fetch mnist, fashion-mnist or both; goes on where it broke off.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--from", "source", metavar="URL|FOLDER", help="Where they are offered [default: public mirrors].")
def data_fetch(names: tuple[str, ...], source: str | None) -> int:
    """Fetch mnist, fashion-mnist or both; goes on where an earlier transfer broke off.

    Every file is compared with its SHA-256 before it takes its place. Ctrl-C keeps what came.
    """
    from aeqlab.app.data_files import fetch_data

    return fetch_data(names, source)


@data.command("verify", short_help="Compare files with their SHA-256.")
@click.argument("names", metavar="[NAME...]", nargs=-1)
def data_verify(names: tuple[str, ...]) -> int:
    """Compare files with their SHA-256: good, missing or damaged. Without names, those of all sets that are here."""
    from aeqlab.app.data_files import verify_data

    return verify_data(names)


@data.command("list")
def data_list() -> int:
    """List what can be fetched, and what of it is here."""
    from aeqlab.app.data_files import list_data

    return list_data()


@cli.command()
@click.argument("run", metavar="[RUN]", default="last")
@click.option(
    "--format",
    "format",
    type=click.Choice(["csv", "hdf5", "netcdf"]),
    default="csv",
    show_default=True,
    help="csv: a folder with a file per table. hdf5, netcdf: one file with a group per table (extra `export`).",
)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE|FOLDER", help="Where to [default: here, named after the run]."
)
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table. May be given several times.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@_runs
def export(run: str, format: str, to: Path | None, tables: tuple[str, ...], force: bool, runs: Path | None) -> int:
    """Write the tables of a run for other programs, with units; also while it runs, and of a damaged record what can be read."""
    from aeqlab.app.exporting import export_one

    return export_one(run, runs, format, to, tables, force=force)


@cli.command()
@click.argument("bundled", metavar="RUN...", nargs=-1, required=True)
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE.zip", help="The file [default: here, named after the run].")
@click.option("--checkpoints", is_flag=True, help="With the checkpoints.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@_runs
def bundle(bundled: tuple[str, ...], to: Path | None, checkpoints: bool, force: bool, runs: Path | None) -> int:
    """Put runs into a zip file for an archive: inputs, records, a small reader, checksums, whom to cite."""
    from aeqlab.app.exporting import bundle as write_bundle

    return write_bundle(bundled, runs, to, checkpoints=checkpoints, force=force)


def _command(name: str, short: str, text: str = "") -> None:
    """Add one of the commands that go to a run or to the session of a rig."""

    @click.argument("target", metavar="[RUN|RIG]", required=False)
    @_runs
    def send(target: str | None, runs: Path | None) -> int:
        from aeqlab.app.commanding import send_command

        return send_command(name, target, runs)

    unnamed = "to all runs and rigs that are there" if name in ("freeze", "safe") else "of the one run that is going on"
    cli.command(name, short_help=short, help=f"{short} {text}\n\nWithout a name: {unnamed}.")(send)


_command("pause", "Pause a run at the next sample boundary.", "On a rig theta is held meanwhile.")
_command("continue", "Go on with a paused run.")
_command("skip", "Leave a run's present stage at the next sample boundary.", "The run goes on with the next stage.")
_command("stop", "End a run at the next sample boundary.")
_command("abort", "End a run at the next tick.")
_command("freeze", "Nudge off, knobs frozen, loops stopped.", "Reading goes on.")
_command("safe", "Freeze, ramp knobs to rest, outputs off.", "Says line by line how each was confirmed.")


def _telling(name: str, short: str, text: str) -> None:
    """Add one of the commands that bring words to a run."""

    @click.argument("words", metavar="[RUN] TEXT...", nargs=-1, required=True)
    @_runs
    def tell(words: tuple[str, ...], runs: Path | None) -> int:
        from aeqlab.app.telling import tell_run

        return tell_run(name, words, runs)

    without = "Without a name: the one run that is going on."
    cli.command(name, short_help=short, help=f"{short} {text}\n\nThe first of several words may name the run. {without}")(tell)


_telling("note", "Write a note into the record of a run.", "It may have ended; `aeqlab show` tells its notes.")
_telling("answer", "Answer what a run asks.", "A wrong answer is refused with what may be answered.")


@cli.command(short_help="Serve a device until Ctrl-C; runs attach to it.")
@_experiment
@_overrides
def session(experiment: str, overrides: tuple[str, ...]) -> int:
    """Serve the device of an experiment until Ctrl-C or `aeqlab stop NAME`; guard it meanwhile.

    Runs and notebooks whose device and seed are the same attach to it; others say why not and get a session of their own.
    """
    from aeqlab.app.launch import run_session

    return run_session(experiment, overrides=overrides, announce=True)


@cli.command(short_help="Find out how a rig answers, and whether it is wired as it should be.")
@_experiment
@_overrides
@_runs
@_quiet
def identify(experiment: str, overrides: tuple[str, ...], runs: Path | None, quiet: bool) -> int:
    """Identify the device of an experiment: gain, lag, dead time and noise of every knob, wrong wires, softness of the outputs.

    It is an ordinary run of the one stage `identify`; a rig keeps the result in a dated file, with plots.
    """
    from aeqlab.app.running import run_new

    return run_new(experiment, (*overrides, "sequence=[identify]"), runs, quiet=quiet)


@cli.command(short_help="Serve an emulated bench until Ctrl-C.")
@click.argument("bench", metavar="FILE|BENCH")
@_overrides
@click.option("--journal", type=click.Path(path_type=Path, file_okay=False), help="Keep a journal of every knob.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of its control channel [default: any that is free].")
@click.option("--rig", type=click.Path(path_type=Path, dir_okay=False), help="Write the rig file that goes with it (bench-16).")
@click.option("--linger", type=click.FloatRange(0), metavar="SECONDS", help="End so long after the last rig has left it.")
def bench(bench: str, overrides: tuple[str, ...], journal: Path | None, port: int, rig: Path | None, linger: float | None) -> int:
    """Serve emulated instruments, wired to a physical system, on loopback.

    A rig file names their addresses, and the bench itself as `bench:`, so that the rig follows its clock.
    """
    from aeqlab.app.benching import serve_bench

    return serve_bench(bench, overrides, journal=journal, port=port, linger_s=linger, rig=rig)


@cli.command(short_help="Open the window.")
@click.argument("target", metavar="[FILE|RIG|RUN]", required=False)
@_runs
def gui(target: str | None, runs: Path | None) -> int:
    """Open the window: on an experiment file, on a rig file, on a run (its folder, its name, its last letters, or `last`).

    Without a word it offers three things to begin with. Closing it ends nothing that runs.
    """
    from aeqlab.app.window.application import run_window

    return run_window(target, runs)


@cli.command(short_help="Train an emulated bench of 16 knobs over VISA.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="For everything [default: runs/demo-DATE].")
@click.option("--samples", type=click.IntRange(1, 100_000), default=600, help="Training samples [default: 600].")
@click.option("--seed", type=click.IntRange(0), default=1, help="Of the bench, the target and the order [default: 1].")
@click.option("--window", is_flag=True, help="Show it in the window while it goes on.")
@_quiet
def demo(folder: Path | None, samples: int, seed: int, window: bool, quiet: bool) -> int:
    """Start an emulated bench, identify it, train it with centered Æqprop over TCP VISA, and draw what it learned.

    Needs no display, no torch and no hardware, and takes less than three minutes.
    """
    if window:
        from aeqlab.app.window.application import run_demo_window

        return run_demo_window(folder, samples=samples, seed=seed)
    from aeqlab.app.demo import run_demo

    return run_demo(folder, samples=samples, seed=seed, quiet=quiet)


@cli.command(short_help="Tell the alarms of the sessions that run.")
@click.argument("target", metavar="[RIG]", required=False)
def alarms(target: str | None) -> int:
    """Tell what went wrong at the sessions that run: first causes, with what hangs under each."""
    from aeqlab.app.alarms import show_alarms

    return show_alarms(target)


@cli.command(short_help="Acknowledge alarms by name.")
@click.argument("number", type=int, required=False)
@click.option("--rig", "target", metavar="RIG", help="Of which rig [default: the only one].")
@click.option("--by", metavar="NAME", help="Who has seen it [default: your user name].")
def acknowledge(number: int | None, target: str | None, by: str | None) -> int:
    """Say that somebody has seen an alarm, with what hangs under it; without a number: all of them."""
    from aeqlab.app.alarms import acknowledge as done

    return done(target, number, by)


@cli.command()
@click.option("--markdown", is_flag=True, help="The same as a table of every key, as in docs/keys.md.")
@click.option("--record", is_flag=True, help="Every table of the record instead, as in docs/record.md: columns, units, meaning.")
def schema(markdown: bool, record: bool) -> int:
    """Print the JSON Schema of experiment files, for editors, or what stands in the record of a run."""
    if record:
        from aeqlab.app.record_tables import print_tables

        return print_tables()
    from aeqlab.app.keys import print_schema

    return print_schema(markdown=markdown)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of docs/exit-codes.md; every error becomes a sentence."""
    if arguments is not None:
        with handlers_kept():  # this process goes on afterwards
            sys.exit(_guarded(list(arguments)))
    _demand_utf8()
    mend_streams()
    interrupt_again()
    words = sys.argv[1:]
    code = _guarded(words)
    ignore_signals()
    if why := broken(sys.stdout):
        click.echo(f"stdout: {why}. Not everything could be printed.", err=True)
        if words[:1] not in (["run"], ["resume"]):  # these did more than to print, and their code says how that ended
            code = code or 1
    if code == INTERRUPTED:  # Python would end as one killed where Ctrl-C fell into code made at run time, as of a dataclass
        broken(sys.stderr)
        os._exit(code)
    gc.freeze()  # the process ends: looking for cycles among all that was imported would take a tenth of a second more
    sys.exit(code)


def _demand_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale knows ASCII alone: other paths could not be written down."""
    if sys.platform != "win32" and codecs.lookup(sys.getfilesystemencoding()).name == "ascii" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _guarded(words: list[str]) -> int:
    try:
        return int(cli.main(args=words, prog_name="aeqlab", standalone_mode=False) or 0)
    except (click.Abort, KeyboardInterrupt):
        ignore_signals()
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except Exception as exc:
        from aeqlab.app.exits import explain

        return int(explain(exc))


if __name__ == "__main__":
    main()
