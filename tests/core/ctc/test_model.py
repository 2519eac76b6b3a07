from __future__ import annotations

import pytest
import torch

from core.ctc import CtcEncoderDecoder
from core.errors import ConfigError
from core.heads import CtcHead
from tests.core.ctc.toys import ctc_model
from tests.core.generation.toys import WIDTH, ToyDecoder, ToyEncoder, toy_source


@pytest.mark.parametrize(("head", "mend"), [(CtcHead(WIDTH + 1, 7), "d_model=8"), (CtcHead(WIDTH, 6), "vocab_size=7")])
def test_a_head_that_does_not_fit_is_refused(head: CtcHead, mend: str) -> None:
    with pytest.raises(ConfigError, match=mend):
        CtcEncoderDecoder(ToyEncoder(11), ToyDecoder(7), head)


def test_log_probs_are_the_heads_in_float32_even_under_autocast() -> None:
    model = ctc_model()
    memory = model.encode(toy_source(3))
    wanted = model.ctc.projection(memory.states).softmax(-1).log()
    with torch.autocast("cpu", torch.bfloat16):
        found = model.ctc_log_probs(memory)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.logsumexp(-1), torch.zeros(3, memory.states.size(1)))
