from __future__ import annotations

import logging
from functools import partial
from typing import get_args

import pytest
import torch

from core.data.collate import Example, collate, pad_tokens
from core.data.corpus import TextPair, numbered, spread_references
from core.data.dropout import drop_merges
from core.data.encode import End, Limits, Overlong, TokenTable, encode_pairs
from core.data.loader import text_loader
from core.data.report import SplitReport, count_seen, report_table
from core.errors import ConfigError
from core.tokenization import TokenizerOptions, TrainedTokenizer, train_tokenizer


def characters() -> TrainedTokenizer:
    return train_tokenizer(["abc"], TokenizerOptions(kind="characters", min_frequency=1))  # a 4, b 5, c 6


PAIRS = numbered(["ab", "", "a", "abcabc", "b"], ["a", "b", "", "c", "abcab"])


def test_sources_and_targets_end_with_the_end_token() -> None:
    dataset, _ = encode_pairs(PAIRS[:1], characters(), characters(), Limits(), training=True)
    example = dataset[0]
    assert example.source.tolist() == [4, 5, 2]
    assert example.target is not None
    assert example.target.tolist() == [4, 2]
    assert (example.id, example.source_text, example.references) == (0, "ab", ("a",))


def test_the_sources_end_token_is_an_option_but_nothing_is_ever_empty() -> None:
    limits = Limits(append_eos=False)
    dataset, _ = encode_pairs(PAIRS[:2], characters(), characters(), limits, training=False)
    assert [dataset[row].source.tolist() for row in range(2)] == [[4, 5], [2]]


@pytest.mark.parametrize(("overlong", "kept"), [("drop", [0]), ("truncate", [0, 3, 4])])
def test_training_leaves_out_what_it_counts(overlong: Overlong, kept: list[int]) -> None:
    limits = Limits(source=3, target=4, overlong=overlong)
    dataset, report = encode_pairs(PAIRS, characters(), characters(), limits, training=True)
    assert [dataset[row].id for row in range(len(dataset))] == kept
    assert report == SplitReport(
        pairs=5,
        empty_sources=1,
        empty_targets=1,
        overlong_sources=1,
        overlong_targets=1,
        dropped=5 - len(kept),
        source_tokens=3 if overlong == "drop" else 3 + 4 + 2,
        target_tokens=2 if overlong == "drop" else 2 + 2 + 5,
    )


def test_evaluation_truncates_and_leaves_nothing_out() -> None:
    dataset, report = encode_pairs(PAIRS, characters(), characters(), Limits(3, 4), training=False)
    assert len(dataset) == 5
    assert report.dropped == 0
    assert dataset[3].source.tolist() == [4, 5, 6, 2]
    assert dataset[3].source_text == "abcabc"
    target = dataset[4].target
    assert target is not None
    assert target.tolist() == [4, 5, 6, 4, 2]
    assert dataset[4].references == ("abcab",)


def test_each_reference_is_a_training_pair() -> None:
    pairs = [TextPair(0, "a", ("b", "c")), TextPair(1, "b", ("a",))]
    assert list(spread_references(pairs)) == numbered(["a", "a", "b"], ["b", "c", "a"])


def test_a_table_gives_its_rows_back() -> None:
    rows = [[1, 2, 3], [], [70000], [5, 6]]
    table = TokenTable(rows)
    assert [table[row].tolist() for row in range(4)] == rows
    assert table.lengths.tolist() == [3, 0, 1, 2]
    assert len(TokenTable([])) == 0
    assert table.tensor(0, epoch=3).dtype == torch.int64


def test_limits_must_leave_something() -> None:
    with pytest.raises(ConfigError, match="max_target_length must be at least 1, got 0"):
        Limits(target=0)


class TestCollate:
    def test_rows_are_padded_to_the_longest(self) -> None:
        batch = pad_tokens([torch.tensor([5, 6, 2]), torch.tensor([2])], pad=9)
        assert batch.values.tolist() == [[5, 6, 2], [2, 9, 9]]
        assert batch.lengths.tolist() == [3, 1]

    def test_a_batch_of_examples(self) -> None:
        first = Example(7, torch.tensor([4, 2]), torch.tensor([5, 5, 2]), "a", ("bb", "c"))
        second = Example(3, torch.tensor([2]), torch.tensor([2]), "", ("",))
        batch = collate([first, second], partial(pad_tokens, pad=0), pad=0)
        assert batch.ids == (7, 3)
        assert batch.source.values.tolist() == [[4, 2], [2, 0]]
        assert batch.target is not None
        assert batch.target.values.tolist() == [[5, 5, 2], [2, 0, 0]]
        assert batch.source_texts == ("a", "")
        assert batch.references == (("bb", "c"), ("",))

    def test_prediction_has_no_target(self) -> None:
        batch = collate([Example(0, torch.tensor([4, 2]), None, "a")], partial(pad_tokens, pad=0), pad=0)
        assert batch.target is None
        assert batch.references == ()


class TestTextLoader:
    def test_empty_lines_are_in_no_batch_and_ids_are_line_numbers(self) -> None:
        loader = text_loader(["a", "", "  ", "abc", "ab"], characters(), 100, Limits())
        batches = list(loader)
        assert [index for batch in batches for index in batch.ids] == [0, 4, 3]
        assert batches[0].source.lengths.tolist() == [2, 3, 4]
        assert batches[0].source_texts == ("a", "ab", "abc")
        assert batches[0].target is None

    def test_the_longest_come_first_within_the_budget(self) -> None:
        batches = list(text_loader(["a", "abc", "ab", "b"], characters(), 6, Limits()))
        assert [batch.ids for batch in batches] == [(1,), (2,), (0, 3)] or [len(batch) for batch in batches] == [
            1,
            1,
            2,
        ]
        assert all(batch.source.values.numel() <= 6 for batch in batches)

    def test_over_long_lines_are_truncated_with_one_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            batches = list(text_loader(["abc " * 10_000, "ab", "c" * 9], characters(), 100, Limits(source=5)))
        assert sorted(length for batch in batches for length in batch.source.lengths.tolist()) == [3, 6, 6]
        assert [record.getMessage() for record in caplog.records] == [
            "2 of 3 lines are truncated to 5 tokens (data.max_source_length)"
        ]

    @pytest.mark.parametrize("lines", [[], ["", " "]])
    def test_nothing_to_do_is_no_batch(self, lines: list[str]) -> None:
        assert list(text_loader(lines, characters(), 100, Limits())) == []


class TestDropout:
    texts = ("the lower the newer", "newer and lower") * 5

    def tokenizer(self) -> TrainedTokenizer:
        return train_tokenizer(self.texts, TokenizerOptions(vocab_size=300))

    def test_epochs_differ_and_come_again_alike(self) -> None:
        tokenizer = self.tokenizer()
        plain, _ = encode_pairs(numbered(self.texts, self.texts), tokenizer, tokenizer, Limits(), training=True)
        dropped = drop_merges(plain, tokenizer, tokenizer, Limits(), 0.5, seed=1)
        again = drop_merges(plain, tokenizer, tokenizer, Limits(), 0.5, seed=1)
        again.epoch = dropped.epoch = 1
        first, second = dropped[0], again[0]
        assert first.target is not None
        assert second.target is not None
        assert first.source.tolist() == second.source.tolist()
        assert first.target.tolist() == second.target.tolist()
        assert first.source.tolist() != first.target.tolist()  # the sides are drawn apart
        dropped.epoch = 2
        assert dropped[0].source.tolist() != first.source.tolist()
        assert tokenizer.decode(dropped[0].source.tolist()) == self.texts[0]
        assert dropped[0].source.tolist()[-1] == tokenizer.specials.eos
        assert dropped.sources.lengths.tolist() == plain.sources.lengths.tolist()

    def test_kinds_without_merges_are_refused(self) -> None:
        dataset, _ = encode_pairs(PAIRS[:1], characters(), characters(), Limits(), training=True)
        with pytest.raises(ConfigError, match=r"bpe_dropout needs tokenizer\.kind bpe on both sides, got 'characters'"):
            drop_merges(dataset, characters(), characters(), Limits(), 0.1, seed=1)


class TestReport:
    def test_pairs_that_training_has_seen(self) -> None:
        assert count_seen(numbered(["a", "b", "a"], ["1", "2", "3"]), numbered(["a", "c"], ["4", "5"])) == 2

    def test_the_table_has_one_line_a_split(self) -> None:
        table = report_table({"train": SplitReport(29_000, 1, 2, 3, 4, 5, waste=0.0625), "val": SplitReport(7)})
        lines = table.splitlines()
        assert len(lines) == 3
        assert lines[1].split() == ["train", "29,000", "5", "1/2", "3/4", "0", "0", "0", "0", "6.2%"]
        assert len({len(line) for line in lines}) == 1


def test_of_a_source_that_is_too_long_either_end_may_stay() -> None:
    pairs, both = numbered(["abcabc"], ["a"]), (characters(), characters())
    rows = {
        end: encode_pairs(pairs, *both, Limits(source=2, source_end=end), training=False)[0][0].source.tolist()
        for end in get_args(End)
    }
    assert rows == {"first": [4, 5, 2], "last": [5, 6, 2]}
