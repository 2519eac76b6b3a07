from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError, DataError
from tasks.dialogue.dialogues import Dialogue, FileDialogues, Turn, exchanges
from tasks.dialogue.readers import BabiDialogues, JsonlDialogues, ParlaiDialogues, TsvDialogues, alternating


def read(kind: type[FileDialogues], folder: Path, text: str) -> list[Dialogue]:
    path = folder / "train"
    path.write_text(text, encoding="utf-8")
    return kind(train=path).dialogues("train")


HELLO = (Turn("user", "hello"), Turn("system", "hi"))


@pytest.mark.parametrize(
    "turns",
    [
        '[["U", "hello"], ["S", "hi"]]',
        '["hello", "hi"]',
        '[{"speaker": "user", "text": "hello"}, {"text": "hi", "speaker": "system"}]',
    ],
)
def test_json_lines_have_turns_in_three_forms(turns: str, tmp_path: Path) -> None:
    text = f'{{"turns": {turns}}}\n\n{{"turns": {turns}, "knowledge": ["i cook"]}}\n'
    assert read(JsonlDialogues, tmp_path, text) == [Dialogue(HELLO), Dialogue(HELLO, ("i cook",))]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "JSON object"),
        ('{"turn": []}', "did you mean 'turn'"),
        ('{"turns": []}', "at least one turn"),
        ('{"turns": [["user", "hello"], ["sytem", "hi"]]}', "turn 2: unknown speaker 'sytem'; did you mean system"),
        ('{"turns": [["user"]]}', "turn 1 must be"),
        ('{"turns": [["user", 3]]}', "turn 1 must be"),
        ('{"turns": ["a"], "knowledge": "b"}', "'knowledge' must be a list"),
    ],
)
def test_a_wrong_line_is_named(line: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason) as error:
        read(JsonlDialogues, tmp_path, f'{{"turns": ["a", "b"]}}\n{line}\n')
    assert error.value.line == 2


def test_parlai_text(tmp_path: Path) -> None:
    text = (
        "text:your persona: i cook.\\nyour persona: i run.\\nhello\tlabels:hi|hey\n"
        "text:one\\ntwo\tlabels:a \\| b\tepisode_done:True\n"
        "\n"
        "text:bye\teval_labels:see you\tepisode_done:True\n"
        "text:last\tlabels:open\n"
    )
    first = (*HELLO, Turn("user", "one\ntwo"), Turn("system", "a | b"))
    assert read(ParlaiDialogues, tmp_path, text) == [
        Dialogue(first, ("i cook.", "i run.")),
        Dialogue((Turn("user", "bye"), Turn("system", "see you"))),
        Dialogue((Turn("user", "last"), Turn("system", "open"))),
    ]


def test_parlai_text_needs_text_and_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":2: not a line of ParlAI"):
        read(ParlaiDialogues, tmp_path, "text:a\tlabels:b\ntext:c\n")


def test_dialog_babi_text(tmp_path: Path) -> None:
    text = "1 hello\thi\n2 resto_rome R_price cheap\n3 <SILENCE>\tapi_call rome\n\n1 hello\thi\n1 hello\thi\n"
    found = Turn("knowledge", "resto_rome R_price cheap")
    assert read(BabiDialogues, tmp_path, text) == [
        Dialogue((*HELLO, found, Turn("user", "<SILENCE>"), Turn("system", "api_call rome"))),
        Dialogue(HELLO),
        Dialogue(HELLO),
    ]


@pytest.mark.parametrize(("line", "reason"), [("hello\thi", "begins with its number"), ("2 a\tb\tc", "has 3 cells")])
def test_wrong_lines_of_dialog_babi_are_named(line: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f":2: .*{reason}"):
        read(BabiDialogues, tmp_path, f"1 a\tb\n{line}\n")


def test_only_the_last_cell_of_a_table_is_a_reply(tmp_path: Path) -> None:
    dialogues = read(TsvDialogues, tmp_path, "hello\thi\nhello\thi\tbye\tsee you\n")
    assert dialogues[0].turns == HELLO
    found = exchanges(dialogues, "both")
    assert [(each.dialogue, each.reply.text, len(each.history)) for each in found] == [(0, "hi", 1), (1, "see you", 3)]
    with pytest.raises(DataError, match=":1: needs a history"):
        read(TsvDialogues, tmp_path, "hello\n")


def test_speakers_alternate_up_to_the_last() -> None:
    assert [turn.speaker for turn in alternating("abc", last="user")] == ["user", "system", "user"]
    assert [turn.speaker for turn in alternating("ab", last="user")] == ["system", "user"]


def test_held_out_dialogues_are_the_others(tmp_path: Path) -> None:
    path = tmp_path / "train"
    path.write_text("".join(f"question {number % 40}\tanswer\n" for number in range(80)), encoding="utf-8")
    corpus = TsvDialogues(train=path, held_out=0.3)
    train, val = corpus.dialogues("train"), corpus.dialogues("val")
    assert len(train) + len(val) == 80
    assert train
    assert val
    assert not set(train) & set(val)
    with pytest.raises(ConfigError, match="held_out"):
        TsvDialogues(train=path, held_out=1.0)
    with pytest.raises(ConfigError, match="no test split"):
        corpus.dialogues("test")


def test_replies_are_of_the_chosen_speakers_and_never_without_history() -> None:
    turns = (Turn("system", "a"), Turn("user", "b"), Turn("knowledge", "c"), Turn("system", "d"), Turn("user", "e"))
    dialogue = Dialogue(turns, ("known",))
    replies = {of: [each.reply.text for each in exchanges([dialogue], of)] for of in ("system", "user", "both")}
    assert replies == {"system": ["d"], "user": ["b", "e"], "both": ["b", "d", "e"]}
    last = exchanges([dialogue], "user")[-1]
    assert last.history == turns[:4]
    assert last.knowledge == (Turn("knowledge", "known"),)


def test_a_corpus_gives_pairs_too(tmp_path: Path) -> None:
    path = tmp_path / "train"
    path.write_text('{"turns": ["hello <system>", "hi"], "knowledge": ["i cook"]}\n', encoding="utf-8")
    (pair,) = JsonlDialogues(train=path).read("train")
    assert pair.source == "<knowledge> i cook <user> hello < system> <system>"
    assert pair.targets == ("hi",)
