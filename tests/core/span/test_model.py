from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.batch import TextBatch
from core.encoders.base import Encoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.heads import SpanHead
from core.objectives import Objective
from core.span.batch import SpanBatch
from core.span.model import SpanModel, SpanObjective
from core.span.search import best_spans
from core.tokenization import Specials


def encoder() -> Encoder:
    torch.manual_seed(0)
    return TransformerEncoder(20, d_model=8, num_layers=1, num_heads=2, ffn_size=8, dropout=0.0, num_segments=2)


def source() -> TextBatch:
    values = torch.tensor([[1, 5, 2, 6, 7, 8, 2], [1, 5, 2, 9, 2, 0, 0]])
    segments = torch.tensor([[0, 0, 0, 1, 1, 2, 0], [0, 0, 0, 1, 0, 0, 0]])
    return TextBatch(values, torch.tensor([7, 5]), segments)


def test_only_the_context_and_nothing_can_be_pointed_at() -> None:
    model = SpanModel(encoder(), SpanHead(8)).eval()
    for scores in model.score(source()):
        assert scores.isfinite().tolist() == [
            [True, False, False, True, True, True, False],
            [True, False, False, True, False, False, False],
        ]


def test_half_precision_leaves_scores_apart() -> None:
    head = SpanHead(8)
    states = 30 + torch.randn(1, 200, 8, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        start, end = head(states)
    assert start.dtype == end.dtype == torch.float32
    assert len(set(start[0].tolist())) > 190, "as bfloat16 they would be a few numbers"
    halved = SpanHead(8).bfloat16()(states.bfloat16())
    assert halved[0].dtype == torch.float32


def test_a_window_is_scored_as_if_it_were_alone() -> None:
    model = SpanModel(encoder(), SpanHead(8)).eval()
    alone = source().select(torch.tensor([1]))
    assert alone.values.size(1) == alone.segments.size(1) == 5  # type: ignore[union-attr]
    for both, one in zip(model.score(source()), model.score(alone), strict=True):
        torch.testing.assert_close(both[1, :5], one[0])


def test_segments_matter_to_the_encoder() -> None:
    model = SpanModel(encoder(), SpanHead(8)).eval()
    other = TextBatch(source().values, source().lengths, source().segments.clamp(max=1))  # type: ignore[union-attr]
    torch.testing.assert_close(model.score(source())[0], model.score(other)[0])  # beyond the last one: the last one's
    flat = TextBatch(source().values, source().lengths, torch.ones_like(source().values))
    assert not torch.allclose(model.encode(source()).states, model.encode(flat).states)
    with pytest.raises(ConfigError, match="num_segments"):
        model.encode(TextBatch(source().values, source().lengths))


def test_the_loss_by_hand() -> None:
    model = SpanModel(encoder(), SpanHead(8)).eval()
    spans = torch.tensor([[3, 5], [0, 0]])
    objective: Objective = SpanObjective()
    loss = objective(model, SpanBatch(source(), None, (0, 1), spans=spans), Specials(), 0)
    start, end = (scores.detach().softmax(1) for scores in model.score(source()))
    by_hand = -sum(math.log(float(p)) for p in (start[0, 3], end[0, 5], start[1, 0], end[1, 0]))
    assert float(loss.total.detach()) == pytest.approx(by_hand, rel=1e-5)
    assert int(loss.tokens) == 4
    loss.total.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in model.head.parameters())


def test_a_source_without_parts_is_refused() -> None:
    model = SpanModel(TransformerEncoder(20, d_model=8, num_layers=1, num_heads=2, ffn_size=8), SpanHead(8))
    with pytest.raises(ConfigError, match="parts are marked"):
        model.score(TextBatch(source().values, source().lengths))


def test_batches_move_whole() -> None:
    batch = SpanBatch(source(), None, (0, 1), spans=torch.zeros(2, 2, dtype=torch.int64)).to("meta")
    assert batch.spans is not None
    assert isinstance(batch.source, TextBatch)
    assert batch.source.segments is not None
    assert batch.spans.is_meta
    assert batch.source.segments.is_meta


# The search


def all_spans(start: Tensor, end: Tensor, longest: int) -> list[tuple[float, int, int]]:
    """Every span but the null's place, scored one by one."""
    size = len(start)
    pairs = [(i, j) for i in range(1, size) for j in range(i, min(i + longest, size))]
    return sorted(((float(start[i] + end[j]), i, j) for i, j in pairs), reverse=True)


@pytest.mark.parametrize("longest", [1, 3, 50])
def test_the_search_is_exhaustive(longest: int) -> None:
    torch.manual_seed(1)
    start, end = torch.randn(4, 9, dtype=torch.float64).float(), torch.randn(4, 9)
    found = best_spans(start, end, longest, 5)
    for row in range(4):
        every = all_spans(start[row], end[row], longest)
        expected = every[:5]
        assert found.starts[row].tolist() == [i for _, i, _ in expected]
        assert found.ends[row].tolist() == [j for _, _, j in expected]
        assert found.scores[row].tolist() == pytest.approx([score for score, _, _ in expected], rel=1e-5)
        total = math.log(sum(math.exp(score) for score, _, _ in every))
        assert float(found.total[row]) == pytest.approx(total, rel=1e-4)
        assert float(found.null[row]) == pytest.approx(float(start[row, 0] + end[row, 0]), rel=1e-5)


def test_a_window_of_nothing_has_no_span() -> None:
    scores = torch.full((1, 4), -math.inf)
    scores[0, 0] = 1.0
    found = best_spans(scores, scores, 3, 2)
    assert found.scores.tolist() == [[-math.inf, -math.inf]]
    assert float(found.total) == -math.inf
    assert float(found.null) == 2.0
