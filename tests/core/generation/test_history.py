from __future__ import annotations

from math import inf

import pytest
import torch

from core.batch import TextBatch
from core.generation.history import NoRepeatHistory, earlier_turns
from core.generation.processors import Written

USER, SYSTEM, KNOWLEDGE, EOS = 4, 5, 6, 2
CPU = torch.device("cpu")


def history(*rows: list[int]) -> TextBatch:
    longest = max(map(len, rows))
    values = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    return TextBatch(values, torch.tensor([len(row) for row in rows]))


def test_earlier_turns_are_those_of_the_one_who_replies() -> None:
    first = [USER, 10, 11, SYSTEM, 12, KNOWLEDGE, 13, SYSTEM, 14, 15, USER, 16, SYSTEM, EOS]
    second = [SYSTEM, 10, USER, EOS]
    found = earlier_turns(history(first, second), (USER, SYSTEM, KNOWLEDGE), EOS)
    assert found == [[(12,), (14, 15)], []]


def written(tokens: list[list[int]], sources: list[int]) -> Written:
    table = torch.tensor(tokens).view(len(tokens), -1)
    return Written(table.size(1), table, torch.tensor(sources))


def test_only_the_end_of_an_ngram_of_the_own_source_is_forbidden() -> None:
    rule = NoRepeatHistory([[(7, 8, 9)], [(7, 3)], []], 2, inf, CPU)
    scores = torch.zeros(6, 12)
    rule.apply(scores, written([[1, 7], [1, 8], [1, 7], [1, 8], [1, 7], [1, 8]], [0, 1, 2]))
    assert (scores == -inf).nonzero().tolist() == [[0, 8], [1, 9], [2, 3]]


def test_sources_that_have_ended_are_left_out() -> None:
    rule = NoRepeatHistory([[(7, 8)], [(7, 3)]], 2, inf, CPU)
    scores = torch.zeros(1, 12)
    rule.apply(scores, written([[7]], [1]))
    assert (scores == -inf).nonzero().tolist() == [[0, 3]]


def test_ngrams_do_not_cross_turns() -> None:
    rule = NoRepeatHistory([[(7,), (8,)]], 2, inf, CPU)
    scores = torch.zeros(1, 12)
    rule.apply(scores, written([[7]], [0]))
    assert (scores == 0).all()


def test_a_penalty_is_taken_off_once() -> None:
    rule = NoRepeatHistory([[(7, 8, 7, 8)]], 2, 1.5, CPU)
    scores = torch.zeros(1, 12)
    rule.apply(scores, written([[7]], [0]))
    assert scores[0, 8] == -1.5
    assert scores.sum() == -1.5


def test_single_tokens_are_forbidden_from_the_first_step_on() -> None:
    rule = NoRepeatHistory([[(7, 8)]], 1, inf, CPU)
    scores = torch.zeros(1, 12)
    rule.apply(scores, Written(0, torch.zeros(1, 0, dtype=torch.int64), torch.tensor([0])))
    assert (scores == -inf).nonzero().tolist() == [[0, 7], [0, 8]]


@pytest.mark.parametrize("size", [2, 3])
def test_what_follows_the_rule_shares_no_ngram(size: int) -> None:
    torch.manual_seed(1)
    earlier = tuple(torch.randint(3, 8, (30,)).tolist())
    rule = NoRepeatHistory([[earlier]], size, inf, CPU)
    tokens: list[int] = []
    for _ in range(12):
        scores = torch.randn(1, 40)
        scores[0, 3:8] += 2
        rule.apply(scores, written([tokens], [0]))
        tokens.append(int(scores.argmax()))
    grams = set(zip(*(earlier[start:] for start in range(size)), strict=False))
    assert not grams & set(zip(*(tokens[start:] for start in range(size)), strict=False))
