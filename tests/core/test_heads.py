"""The vocabulary head: its scores, its tie with the embeddings, its refusals."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from core.errors import ConfigError
from core.heads import VocabularyHead


def test_scores_are_products_with_the_types_plus_bias() -> None:
    head = VocabularyHead(2, 3)
    with torch.no_grad():
        head.projection.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        head.projection.bias.copy_(torch.tensor([0.0, 0.5, -1.0]))
    assert head(torch.tensor([[2.0, 3.0]])).tolist() == [[2.0, 3.5, 4.0]]


def test_tied_weights_are_one_parameter_also_after_a_copy() -> None:
    table = nn.Embedding(5, 4)
    both = copy.deepcopy(nn.ModuleList([table, VocabularyHead(4, 5, tied=table, bias=False)]))
    assert len(list(both.parameters())) == 1
    both[1](torch.ones(1, 4)).sum().backward()
    assert torch.equal(both[0].weight.grad, torch.ones(5, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(("types", "width", "named"), [(5, 6, "4.*6"), (7, 4, "5.*7")])
def test_a_table_that_does_not_fit_is_refused_with_both_sizes(types: int, width: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        VocabularyHead(4, 5, tied=nn.Embedding(types, width))
