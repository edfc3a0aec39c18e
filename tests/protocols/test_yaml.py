"""Strict YAML: what is read as what, what is refused, and that every refusal has its place and a way to mend it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.yaml import MAX_BYTES, parse, read_text
from aeqlab.protocols.yaml_tree import MAX_DEPTH, MAX_NODES
from aeqlab.protocols.yaml_write import write_yaml


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        return tuple(parse(text, "f.yaml")[1])
    except FileErrors as exc:
        return exc.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("+7", 7),
        ("007", 7),
        ("0x1f", 31),
        ("0o17", 15),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("'1e-3'", "1e-3"),
        ('"true"', "true"),
        ("1:30", "1:30"),
        ("2026-11-23", "2026-11-23"),
        ("1_000", "1_000"),
        ("-.inf", float("-inf")),
        ("linear", "linear"),
        ("=", "="),
    ],
)
def test_type_of_a_word(text: str, value: Any) -> None:
    node, problems = parse(f"key: {text}\n", "f.yaml")
    found = node.plain()["key"]
    assert not problems
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_value_has_its_place() -> None:
    node, _ = parse("a: 1\nb:\n  c: [x,\n      y]\n", "f.yaml")
    assert isinstance(node.value, dict)
    inner = node.value["b"]
    assert isinstance(inner.value, dict)
    items = inner.value["c"].value
    assert isinstance(items, list)
    assert (node.places, inner.places) == ({"a": (1, 1), "b": (2, 1)}, {"c": (3, 3)})
    assert [(item.line, item.column) for item in items] == [(3, 7), (4, 7)]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "twice; the first is in line 1"),
        ("a:\n\t- b\n", 2, 1, "tab"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, 4, "!!python/object/apply:os.system"),
        ("a: !custom x\n", 1, 4, "tag"),
        ("<<: {a: 1}\n", 1, 1, "merge"),
        ("a: *nobody\n", 1, 4, "*nobody"),
        ("a: &x [1, *x]\n", 1, 11, "within"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second YAML document"),
        ("? [a, b]\n: 1\n", 1, 3, "key must be a word"),
        ("? \n: 1\n", 1, 2, "key is missing"),
        ("a: 1e999\n", 1, 4, "too large"),
        ("a: .nan\n", 1, 4, "not a number"),
        ("a: b: c\n", 1, 5, "colon"),
        ("a: 'open\n", 2, 1, "never closed"),
        ('p: "C:\\data"\n', 1, 8, "backslash"),
        ("- a\nb: 1\n", 2, 1, "indentation"),
        ("a: [1, 2\n", 2, 1, "["),
        ('a: "\\ud800"\n', 1, 4, "U+D800"),
        ('a: "\\UFFFFFFFF"\n', 1, 7, "cannot be read as text"),
        ("a: \x07\n", 1, 4, "U+0007"),
        ("", 1, 1, "empty"),
    ],
)
def test_what_is_refused_says_where_and_how_to_mend_it(text: str, line: int, column: int, words: str) -> None:
    found = problems_of(text)
    assert len(found) == 1
    problem = found[0]
    assert (problem.file, problem.line, problem.column) == ("f.yaml", line, column)
    assert words in problem.message
    assert problem.hint
    assert str(problem).startswith(f"f.yaml, line {line}, column {column}: ")


def test_all_mistakes_come_at_once() -> None:
    found = problems_of("a: 1\na: 2\nb: !x 3\nc: *no\nd: 1e999\n")
    assert [problem.line for problem in found] == [2, 3, 4, 5]


def test_all_tabs_come_at_once() -> None:
    assert [problem.line for problem in problems_of("a:\n\tb: 1\n\tc: 2\nd: 3\n\te: 4\n")] == [2, 3, 5]


def test_aliases_repeat_values() -> None:
    node, problems = parse("a: &x {k: 1}\nb: *x\n", "f.yaml")
    assert not problems
    assert node.plain() == {"a": {"k": 1}, "b": {"k": 1}}


def test_alias_bomb_is_refused_by_its_size() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert str(MAX_NODES) in problems_of(bomb)[0].message


def test_aliases_are_counted_and_their_depth_is_bounded() -> None:
    assert "aliases" in problems_of("a: &x 1\nb: [" + ", ".join(["*x"] * 101) + "]\n")[0].message
    deep = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, MAX_DEPTH + 1))
    assert "levels" in problems_of(deep)[0].message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 100_000, "[{" * 50_000])
def test_depth_is_bounded(text: str) -> None:
    assert "nested deeper" in problems_of(text)[0].message


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        ("a: ä\n".encode("utf-16"), 1, "UTF-8"),
        (b"#" * (MAX_BYTES + 1), None, "larger than"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, raw: bytes, line: int | None, words: str) -> None:
    (tmp_path / "f.yaml").write_bytes(raw)
    with pytest.raises(FileErrors, match=words) as caught:
        read_text(tmp_path / "f.yaml")
    assert caught.value.problems[0].line == line


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert parse(read_text(tmp_path / "f.yaml"), "f.yaml")[0].plain() == {"a": 1}


@pytest.mark.parametrize("name", [".", "missing.yaml", "nul\0byte.yaml", "x" * 5000])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileErrors):
        read_text(tmp_path / name)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from("\n\t"), max_size=30)
    | st.sampled_from(
        ["no", "1e-3", "0x10", "007", "1:30", "null", "~", "<<", "=", "2026-1-1", "*x", "&x", "!x", "a: b", ".nan", ""]
    )
)
KEYS = st.text("abc-1", min_size=1, max_size=4)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(TREES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_written_is_read_again(tree: Any) -> None:
    node, problems = parse(write_yaml({"tree": tree}), "f.yaml")
    assert not problems
    assert node.plain() == {"tree": tree}
    assert str(node.plain()) == str({"tree": tree})  # 1, 1.0 and True are equal, and differ here


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")
def test_a_pipe_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(FileErrors, match="not a regular file"):
        read_text(tmp_path / "pipe.yaml")
