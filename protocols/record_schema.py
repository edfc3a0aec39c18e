"""Schema of the record: every table and column with type, unit, shape and meaning, from which SQL and `columns` are made.

The same list makes the tables, fills the table `columns` inside each record, and writes the end of docs/record.md.
Array columns are blobs of little-endian numbers in C order; `columns` says which, in what unit and shape.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 4  #: PRAGMA user_version of a record
APPLICATION_ID = 0x41455131  #: PRAGMA application_id, "AEQ1"
THETA_LIMIT = 4096  #: up to so many parameters a step stores its theta


@dataclass(frozen=True, slots=True)
class Column:
    """One column: SQL type, and what stands in it. `array` is the number type of a blob, such as "<f8"."""

    name: str
    sql: str
    text: str
    unit: str = ""
    array: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table; rows that a resume may supersede carry an attempt and are shown by a view `current_...`."""

    name: str
    text: str
    columns: tuple[Column, ...]
    superseded: bool = False

    def column(self, name: str) -> Column:
        """Get a column by its name."""
        return next(column for column in self.columns if column.name == name)


_ID = Column("id", "INTEGER PRIMARY KEY", "number of the row, never used twice")
_ATTEMPT = Column("attempt", "INTEGER NOT NULL", "attempt that wrote the row, from 1; each resume begins another")
_AT = Column("at", "REAL NOT NULL", "time of day", "s since 1970 UTC")
_STEP = Column("step", "INTEGER NOT NULL", "training step of the run, from 1 (elsewhere than in steps: the last one before)")
_STAGE = Column("stage", "INTEGER", "row in stages")
_EPOCH = Column("epoch", "INTEGER", "pass through the training set, from 0")
_READS = Column(
    "reads",
    "INTEGER",
    "readouts of the run so far, evaluations included: ticks of its phases, without those left in their middle",
)

TABLES: tuple[Table, ...] = (
    Table(
        "meta",
        "facts of the run as a whole",
        (
            Column("key", "TEXT PRIMARY KEY", "state, reason, name, seed, parameters, clock, theta_stored, summary, ..."),
            Column("value", "TEXT NOT NULL", "the fact, in JSON"),
        ),
    ),
    Table(
        "columns",
        "what stands in each column of this record",
        (
            Column("table_name", "TEXT NOT NULL", "table"),
            Column("column_name", "TEXT NOT NULL", "column"),
            Column("dtype", "TEXT NOT NULL", "number type of an array blob in numpy's notation, empty for plain values"),
            Column("shape", "TEXT NOT NULL", "shape of an array blob"),
            Column("unit", "TEXT NOT NULL", "unit, 1 for pure numbers"),
            Column("text", "TEXT NOT NULL", "meaning"),
        ),
    ),
    Table(
        "attempts",
        "one row per process that worked on the run",
        (
            Column("attempt", "INTEGER PRIMARY KEY", "number, from 1"),
            Column("started_at", "REAL NOT NULL", "begin", "s since 1970 UTC"),
            Column("ended_at", "REAL", "end, empty while it runs or if it was killed", "s since 1970 UTC"),
            Column("state", "TEXT NOT NULL", "last state: running, finished, stopped, aborted, diverged, failed, ..."),
            Column("reason", "TEXT NOT NULL", "why it is in that state"),
            Column("pid", "INTEGER NOT NULL", "process number"),
            Column("from_step", "INTEGER NOT NULL", "training steps of the checkpoint it began from, 0 for a fresh start"),
            Column("kept_steps", "INTEGER NOT NULL", "rows of steps with a greater id and an earlier attempt are superseded"),
            Column("kept_evaluations", "INTEGER NOT NULL", "the same for evaluations"),
            Column("kept_traces", "INTEGER NOT NULL", "the same for traces"),
            Column("kept_reports", "INTEGER NOT NULL", "the same for reports"),
            Column("kept_stages", "INTEGER NOT NULL", "the same for stages"),
            Column("kept_thetas", "INTEGER NOT NULL", "the same for thetas"),
            Column("kept_predictions", "INTEGER NOT NULL", "the same for predictions"),
            Column("kept_evaluated", "INTEGER NOT NULL", "the same for evaluated"),
            Column("kept_scans", "INTEGER NOT NULL", "the same for scans"),
            Column("kept_points", "INTEGER NOT NULL", "the same for points"),
        ),
    ),
    Table(
        "stages",
        "one row per stage that was begun; a stage continued by a resume has a row in each attempt",
        (
            _ID,
            _ATTEMPT,
            Column("path", "TEXT NOT NULL", "place in the sequence, such as 0 or 2.1.0 (entry 2, its round 1, entry 0 within)"),
            Column("kind", "TEXT NOT NULL", "word of the stage: train, evaluate, ..."),
            Column("options", "TEXT NOT NULL", "its options, in JSON"),
            Column("started_at", "REAL NOT NULL", "begin", "s since 1970 UTC"),
            Column("ended_at", "REAL", "end", "s since 1970 UTC"),
            Column("outcome", "TEXT", "finished, skipped, or why it ended early"),
            Column("result", "TEXT", "what it found, in JSON"),
        ),
        superseded=True,
    ),
    Table(
        "steps",
        "one row per training step, written when it is done",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            _EPOCH,
            Column("sample", "INTEGER", "index of the (first) training sample presented"),
            _AT,
            Column("t", "REAL", "time of the device at the end of the step", "s of the device"),
            Column("beta_1", "REAL", "nudge of the homeostatic phase"),
            Column("beta_2", "REAL", "nudge of the nudged phase"),
            Column("cost_1", "REAL", "C read under beta_1, theta held", "cost"),
            Column("cost_2", "REAL", "C read under beta_2, knobs clamped", "cost"),
            Column("cost_free", "REAL", "C read without a nudge, theta held; empty if not measured or not held", "cost"),
            Column(
                "wrong", "INTEGER", "wrong predictions among the samples of the step, from the free outputs; empty without labels"
            ),
            Column("used", "INTEGER NOT NULL", "1: theta moved to what the step found; 0: the step changed no target"),
            Column("sham", "INTEGER NOT NULL", "1: a sham step, both nudges equal"),
            Column("partial", "INTEGER NOT NULL", "1: ended in the middle by abort or freeze"),
            Column("cost_rose", "INTEGER NOT NULL", "1: more nudge and yet more cost (against Lemma 10)"),
            Column("tries", "INTEGER NOT NULL", "how often the sample was presented"),
            Column(
                "hold_verdict",
                "TEXT",
                "how its hold ended: settled, ticks, exact, timeout, saturated, stale, jumped",
            ),
            Column("hold_ticks", "INTEGER", "ticks of the homeostatic phase"),
            Column("hold_error", "REAL", "worst |theta - target| at the clamp", "tolerances"),
            Column("hold_worst", "INTEGER", "index of that parameter"),
            Column("hold_true_error", "REAL", "hold_error by the true theta, which only a simulation knows", "tolerances"),
            Column("settle_verdict", "TEXT", "how the nudged phase ended"),
            Column("settle_ticks", "INTEGER", "ticks of the nudged phase"),
            Column("moved", "REAL", "norm of the change of theta in the nudged phase", "parameter unit"),
            Column(
                "theta",
                "BLOB",
                "target of theta after the step; empty on large devices",
                "parameter unit",
                "<f8",
                "(parameters,)",
            ),
            _READS,
        ),
        superseded=True,
    ),
    Table(
        "thetas",
        "theta as a stage left it at its end, where no row before says so: after `restore`, or without a step",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            _AT,
            Column("after_row", "INTEGER NOT NULL", "last row of steps before it, 0 for none"),
            Column(
                "theta", "BLOB NOT NULL", "target of theta; no row on large devices", "parameter unit", "<f8", "(parameters,)"
            ),
        ),
        superseded=True,
    ),
    Table(
        "evaluations",
        "one row per evaluation",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            _EPOCH,
            _AT,
            Column("dataset", "TEXT NOT NULL", "test or train"),
            Column("samples", "INTEGER NOT NULL", "samples presented"),
            Column("parameters", "TEXT NOT NULL", "homeostasis, frozen or locked: what theta did meanwhile"),
            Column("start", "TEXT NOT NULL", "state the relaxation began from: zeros, or last"),
            Column(
                "cost_free", "REAL", "mean C without nudge of the presentations with theta held; empty if there are none", "cost"
            ),
            Column("error_rate", "REAL", "share of wrong predictions in the same; empty without labels, too"),
            Column("held_rate", "REAL", "share of presentations in which theta was held; empty where nothing had to be"),
            Column("seconds", "REAL NOT NULL", "how long it took", "s"),
            Column("t", "REAL", "time of the device at its end; empty if no time passed yet", "s of the device"),
            _READS,
        ),
        superseded=True,
    ),
    Table(
        "predictions",
        "one row per sample that the stage `infer` predicted",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            _AT,
            Column("dataset", "TEXT NOT NULL", "test or train, or the file of the inputs"),
            Column("sample", "INTEGER NOT NULL", "index of the sample in it, from 0"),
            Column("t", "REAL", "time of the device at the reading; empty where equations were solved", "s of the device"),
            Column("verdict", "TEXT", "how the presentation ended: settled, ticks, exact, ... as hold_verdict of steps"),
            Column("outputs", "BLOB NOT NULL", "what was read without a nudge", "output unit", "<f8", "(outputs,)"),
            Column(
                "outputs_of_data",
                "BLOB",
                "the same in the units of the data, if these are scaled",
                "data",
                "<f8",
                "(outputs,)",
            ),
            Column("target", "BLOB", "what it should be, where that is known", "output unit", "<f8", "(outputs,)"),
        ),
        superseded=True,
    ),
    Table(
        "evaluated",
        "what was read without a nudge: of the first 200 samples of an evaluation, and now and then in training",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            _AT,
            Column("evaluation", "INTEGER", "row in evaluations; empty: a training sample, read in the free phase of its step"),
            Column("sample", "INTEGER NOT NULL", "index of the sample in its set, from 0"),
            Column("held", "INTEGER NOT NULL", "1: theta was held, or nothing had to be"),
            Column("inputs", "BLOB NOT NULL", "what was presented", "input unit", "<f8", "(inputs,)"),
            Column("outputs", "BLOB NOT NULL", "what was read without a nudge", "output unit", "<f8", "(outputs,)"),
            Column("target", "BLOB NOT NULL", "what it should be", "output unit", "<f8", "(outputs,)"),
        ),
        superseded=True,
    ),
    Table(
        "traces",
        "course of one phase, thinned",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            Column("phase", "TEXT NOT NULL", "hold or settle"),
            Column("points", "INTEGER NOT NULL", "number of points"),
            Column("t", "BLOB NOT NULL", "time of each point", "s of the device", "<f8", "(points,)"),
            Column("error", "BLOB", "theta - target of the first 64 parameters", "parameter unit", "<f8", "(points, n)"),
            Column("u", "BLOB", "the first 64 control knobs", "knob unit", "<f8", "(points, n)"),
            Column(
                "tolerance",
                "BLOB",
                "tolerance of each of these parameters at the clamp; empty where there is none",
                "parameter unit",
                "<f8",
                "(n,)",
            ),
            *(
                Column(
                    name,
                    "BLOB",
                    f"what the {part} part of the law had moved these knobs since the phase began; empty where it has none",
                    "knob unit",
                    "<f8",
                    "(points, n)",
                )
                for name, part in (("p", "proportional"), ("i", "integral"), ("d", "derivative"))
            ),
        ),
        superseded=True,
    ),
    Table(
        "scans",
        "what a stage of scan, ramp, set or step-response sets and reads at its points",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            _AT,
            Column("axes", "TEXT NOT NULL", "what is set: name, unit and values of each axis, the last one the fastest, in JSON"),
            Column("shape", "TEXT NOT NULL", "length of each axis, in JSON; empty where the points follow one another in time"),
            Column("reads", "TEXT NOT NULL", "what is read: name and unit of each, in JSON"),
        ),
        superseded=True,
    ),
    Table(
        "points",
        "one row per point of a scan, written when it is read",
        (
            _ID,
            _ATTEMPT,
            _STEP,
            _STAGE,
            Column("scan", "INTEGER NOT NULL", "row in scans"),
            Column("point", "INTEGER NOT NULL", "place in the grid, from 0 in C order; without a grid a running number"),
            _AT,
            Column("t", "REAL", "time of the device when it was read", "s of the device"),
            Column(
                "setpoints",
                "BLOB NOT NULL",
                "what was asked for, in the order of the axes; of several knobs that differ their mean",
                "of each axis",
                "<f8",
                "(axes,)",
            ),
            Column(
                "readbacks",
                "BLOB NOT NULL",
                "what the device reports of it, of several knobs the mean; nan where it reports nothing",
                "of each axis",
                "<f8",
                "(axes,)",
            ),
            Column("means", "BLOB NOT NULL", "what was read, the mean over the readings", "of each reading", "<f8", "(reads,)"),
            Column(
                "deviations",
                "BLOB NOT NULL",
                "standard deviation of one reading; nan where there is one alone",
                "of each reading",
                "<f8",
                "(reads,)",
            ),
            Column("readings", "INTEGER NOT NULL", "readings that were averaged, those that were not fresh left out"),
            Column("verdict", "TEXT", "how the phase before the reading ended; not reached: a knob was still on its way"),
            Column("settled", "INTEGER NOT NULL", "1: the device had come to rest, or nobody asked it to"),
            Column("ticks", "INTEGER NOT NULL", "ticks of this point"),
            Column("direction", "INTEGER NOT NULL", "1: the fastest axis goes up here, -1: down, 0: neither"),
        ),
        superseded=True,
    ),
    Table(
        "reports",
        "what a stage reported, by name",
        (_ID, _ATTEMPT, _STEP, _STAGE, _AT, Column("report", "TEXT NOT NULL", "names and values, in JSON")),
        superseded=True,
    ),
    Table(
        "events",
        "what happened: changes of state, commands, device, warnings",
        (
            _ID,
            _ATTEMPT,
            _AT,
            _STEP,
            Column("kind", "TEXT NOT NULL", "state, command, device, session, warning, checkpoint or question"),
            Column("word", "TEXT NOT NULL", "the state, the command, or what it is about"),
            Column("text", "TEXT NOT NULL", "one sentence; lines of a safety report after it"),
        ),
    ),
    Table(
        "alarms",
        "what needs someone to look",
        (
            _ID,
            _ATTEMPT,
            Column("raised_at", "REAL NOT NULL", "when", "s since 1970 UTC"),
            Column("cleared_at", "REAL", "when it was over", "s since 1970 UTC"),
            Column("name", "TEXT NOT NULL", "what is wrong, in a word"),
            Column("text", "TEXT NOT NULL", "one sentence"),
        ),
    ),
    Table(
        "notes",
        "what people wrote down",
        (_ID, _ATTEMPT, _AT, _STEP, Column("author", "TEXT NOT NULL", "who"), Column("text", "TEXT NOT NULL", "what")),
    ),
)

BY_NAME = {table.name: table for table in TABLES}
SUPERSEDED = tuple(table.name for table in TABLES if table.superseded)


def statements() -> list[str]:
    """Make the SQL that creates an empty record."""
    made = []
    for table in TABLES:
        columns = ", ".join(f"{column.name} {column.sql}" for column in table.columns)
        made.append(f"CREATE TABLE {table.name} ({columns})")
        if table.superseded:
            made.append(
                f"CREATE VIEW current_{table.name} AS SELECT * FROM {table.name} AS r WHERE NOT EXISTS "
                f"(SELECT 1 FROM attempts AS a WHERE a.attempt > r.attempt AND r.id > a.kept_{table.name})"
            )
    return made


def insert(table: str) -> str:
    """Make the SQL that inserts one row, its id given by SQLite."""
    names = [column.name for column in BY_NAME[table].columns if column.name != "id"]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
