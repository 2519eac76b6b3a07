from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, DataError
from tasks.qa.babi import BabiCorpus
from tasks.qa.builtin import BuiltInCorpus
from tasks.qa.corpus import QaExample, locate
from tasks.qa.jsonl import JsonlQa
from tasks.qa.squad import SquadCorpus

STORY = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary got the milk.
5 Mary went to the hallway.
6 What is Mary carrying? \tmilk,apple\t4
7 Is John in the hallway? \tyes\t2
"""


def write_squad(path: Path, *questions: dict[str, Any], context: str = "Ann met Bob.") -> Path:
    paragraphs = [{"context": context, "qas": list(questions)}]
    path.write_text(json.dumps({"version": "2.0", "data": [{"title": "T", "paragraphs": paragraphs}]}))
    return path


def asked(**changes: Any) -> dict[str, Any]:
    answers = [{"text": "Bob", "answer_start": 8}, {"text": "Ann", "answer_start": 0}]
    return {"id": "q7", "question": "Who?", "answers": answers} | changes


# SQuAD


def test_squad_is_read_in_both_versions(tmp_path: Path) -> None:
    impossible = asked(id="q8", is_impossible=True, answers=[], plausible_answers=[{"text": "Ann", "answer_start": 0}])
    path = write_squad(tmp_path / "train.json", asked(), impossible)
    first, second = SquadCorpus(train=path).read("train")
    assert first == QaExample(0, "q7", "Ann met Bob.", "Who?", ("Bob", "Ann"), (8, 0), False, "T")
    assert first.span == (8, 11)
    assert (second.id, second.references, second.span, second.is_impossible) == (1, ("",), None, True)


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        (asked(answers=[{"text": "Bob", "answer_start": 7}]), "question q7: at answer_start 7 the context has ' Bo'"),
        (asked(answers=[]), "question q7 has no answers, and isn't marked as is_impossible"),
        ({"question": "Who?"}, r"paragraph 1 has no field 'id'"),
        (asked(question=3), "question q7: 'question' is of type int"),
    ],
)
def test_squad_s_mistakes_are_named(tmp_path: Path, question: dict[str, Any], complaint: str) -> None:
    path = write_squad(tmp_path / "train.json", question)
    with pytest.raises(DataError, match=complaint):
        SquadCorpus(train=path).read("train")


@pytest.mark.parametrize(
    ("text", "complaint"), [("{", "not JSON"), ("[]", "no field 'data'"), ('{"data": []}', "no q")]
)
def test_what_is_not_squad_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(DataError, match=complaint):
        SquadCorpus(train=path).read("train")
    with pytest.raises(DataError, match="No such file"):
        SquadCorpus(train=tmp_path / "none.json").read("train")


# bAbI


def write_babi(folder: Path, text: str = STORY, stories: int = 1) -> Path:
    (folder / "qa3_three_train.txt").write_text(text * stories)
    return folder


def babi(folder: Path) -> list[QaExample]:
    corpus = BabiCorpus(folder, [3], 0.5)
    return corpus.read("train") + corpus.read("val")


def test_babi_s_context_is_what_was_told_before(tmp_path: Path) -> None:
    first, second, third = babi(write_babi(tmp_path))
    assert first.context == "Mary moved to the bathroom.\nJohn went to the hallway."
    assert second.context.splitlines()[2:] == ["Mary got the milk.", "Mary went to the hallway."]
    assert (first.question, first.answers, first.title) == ("Where is Mary?", ("bathroom",), "qa3")
    assert first.span is not None
    assert first.context[slice(*first.span)] == "bathroom"
    assert second.span is None  # a list is no span
    assert (third.answers, third.span) == (("yes",), None)


def test_babi_s_answer_stands_where_it_follows_from(tmp_path: Path) -> None:
    text = "1 Ann is in the hall.\n2 The hall is big.\n3 Where is Ann?\thall\t1\n"
    (only,) = babi(write_babi(tmp_path, text))
    assert only.answer_starts == (text.index("hall") - 2,)


def test_equal_stories_are_on_one_side_and_all_are_there(tmp_path: Path) -> None:
    stories = [f"1 Ann is in room{n % 40}.\n2 Where is Ann?\troom{n % 40}\t1\n" for n in range(80)]
    write_babi(tmp_path, "".join(stories))
    corpus = BabiCorpus(tmp_path, [3], 0.3)
    train, val = corpus.read("train"), corpus.read("val")
    assert len(train) + len(val) == 80
    assert 8 <= len(val) <= 40
    assert not {each.context for each in train} & {each.context for each in val}
    assert [each.id for each in val] == list(range(len(val)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("1 Ann is here.\nhello\n", r"txt:2: not a line of bAbI"), ("1 Who?\t\t1\n", r"txt:1: a question without an ans")],
)
def test_babi_s_mistakes_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        babi(write_babi(tmp_path, text))


def test_babi_s_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from 1 to 20, got 21"):
        BabiCorpus(tmp_path, [21])
    with pytest.raises(ConfigError, match="above 0"):
        BabiCorpus(tmp_path, held_out=0.0)
    with pytest.raises(DataError, match=r"no qa3_\*_test.txt"):
        BabiCorpus(write_babi(tmp_path), [3]).read("test")


# JSON lines


def jsonl(path: Path, *rows: object) -> JsonlQa:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return JsonlQa(train=path)


def test_json_lines(tmp_path: Path) -> None:
    rows = (
        {"context": "Bob saw Bob.", "question": "Who?", "answers": "bob"},
        {"context": "Bob saw Bob.", "question": "Who?", "answers": ["Bob"], "answer_starts": [0], "id": "x"},
        {"context": "Bob saw Bob.", "question": "When?", "answers": []},
    )
    first, second, third = jsonl(tmp_path / "a.jsonl", *rows).read("train")
    assert first.answer_starts == (8,)  # the last place
    assert (second.answer_starts, second.name) == ((0,), "x")
    assert third.is_impossible


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"context": "a", "question": "b"}, "answers"),
        ({"context": "a", "question": "b", "answers": [1]}, "'answers' must be text, got int"),
        ({"context": "a", "question": "b", "answers": "a", "answer_starts": [0, 1]}, "a list of 1 numbers"),
        ({"context": "abc", "question": "b", "answers": "a", "answer_starts": [1]}, "at 1 the context doesn't have"),
    ],
)
def test_json_lines_mistakes_are_named(tmp_path: Path, row: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        jsonl(tmp_path / "a.jsonl", row).read("train")
    assert caught.value.line == 1


def test_answers_are_found_as_whole_words() -> None:
    assert locate("art", "The party of art, arty") == 13
    assert locate("art", "party") == -1
    assert locate("", "party") == -1
    assert locate("a+b", "so a+b.") == 3


def test_texts_are_held_out_whole(tmp_path: Path) -> None:
    rows = [{"context": f"text {n % 30}", "question": f"{n}?", "answers": "text"} for n in range(90)]
    jsonl(tmp_path / "a.jsonl", *rows)
    corpus = JsonlQa(train=tmp_path / "a.jsonl", held_out=0.4)
    train, val = corpus.read("train"), corpus.read("val")
    assert len(train) + len(val) == 90
    assert min(len(train), len(val)) >= 15
    assert not {each.context for each in train} & {each.context for each in val}


# The built-in world


def replay(example: QaExample) -> str:
    """Answers a question by reading the story sentence by sentence: written from the questions' words alone."""
    where: dict[str, list[str]] = {}
    things: dict[str, list[str]] = {}
    lying: dict[str, str] = {}
    for sentence in example.context.rstrip(".").split(".\n"):
        who, *rest = sentence.split()
        if "to" in rest:
            where.setdefault(who, []).append(rest[-1])
        elif rest[0] in ("took", "picked", "got"):
            things.setdefault(who, []).append(rest[-1])
            lying.pop(rest[-1], None)
        else:
            thing = rest[-2] if rest[-1] == "there" else rest[-1]
            things[who].remove(thing)
            lying[thing] = where[who][-1]
    words = example.question.rstrip("?").split()
    if example.title == "person":
        return where[words[-1]][-1]
    if example.title == "before":
        return where[words[2]][-2]
    if example.title == "count":
        return ("none", "one", "two", "three")[len(things.get(words[-2], []))]
    holder = next((who for who, held in things.items() if words[-1] in held), None)
    if example.title == "carrier":
        assert holder is not None
        return holder
    return where[holder][-1] if holder else lying[words[-1]]


SMALL = BuiltInCorpus(300, 100, 100)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_world_s_answers_are_right_and_where_they_are_said_to_be(split: Any) -> None:
    examples = SMALL.read(split)
    assert examples == BuiltInCorpus(300, 100, 100).read(split)
    assert {example.title for example in examples} == {"person", "thing", "before", "carrier", "count"}
    assert len({(example.context, example.question) for example in examples}) == len(examples)
    for example in examples:
        assert replay(example) == example.answers[0], example
        if example.span is not None:
            assert example.context[slice(*example.span)] == example.answers[0]
        assert (example.span is None) == (example.title == "count")


def test_what_is_asked_in_one_split_is_asked_in_no_other() -> None:
    def pairs(split: Any) -> set[tuple[str, str, str]]:
        subjects = ((each, each.question.split()) for each in SMALL.read(split) if each.title != "count")
        places = {"person": -1, "thing": -1, "carrier": -1, "before": 2}
        return {(each.title, words[places[each.title]].strip("?"), each.answers[0]) for each, words in subjects}

    train, val, test = pairs("train"), pairs("val"), pairs("test")
    assert min(len(train), len(val), len(test)) > 20
    assert not train & val
    assert not test & (train | val)


def test_the_world_s_options() -> None:
    with pytest.raises(ConfigError, match="got 'why'"):
        BuiltInCorpus(kinds=["why"])
    with pytest.raises(ConfigError, match="sentences must be at least 3, got 2"):
        BuiltInCorpus(sentences=2)
    with pytest.raises(ConfigError, match="val must be at least 1"):
        BuiltInCorpus(val=0)
