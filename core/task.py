"""What a task brings to the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.data.datamodule import Seq2SeqDataModule
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.recurrent import RecurrentEncoder
from core.encoders.transformer import TransformerEncoder
from core.module import Seq2SeqModule
from core.predict import PredictOptions, predict


@dataclass(frozen=True)
class Task:
    """The classes of a task, imported when something runs.

    Attributes:
        module: trains and scores.
        data: makes the batches.
        options: a dataclass of the options of `predict`, beside those of all verbs.
        predict: writes targets for what the user gives: a function of the module, the datamodule and the options.
        parts: what goes by its bare name in YAML and on the command line, as in `--model.encoder RecurrentEncoder`:
            it must be imported for that.
    """

    module: type[Seq2SeqModule]
    data: type[Seq2SeqDataModule]
    options: type[Any] = PredictOptions
    predict: Callable[[Any, Any, Any], object] = predict
    parts: tuple[type, ...] = (RecurrentEncoder, TransformerEncoder, RecurrentDecoder, TransformerDecoder)
