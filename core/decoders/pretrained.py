"""Pretrained decoders of text: those of T5, BART, Marian, Pegasus and mBART.

Letters: B sources, K rows a source, N = B * K rows, P ids that are read before the begin token, S memory length,
T target length, D width, V vocabulary, L layers, H heads, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.decoders.base import Decoder, DecoderState
from core.encoders.base import Encoder, Memory
from core.encoders.freezing import Freezable
from core.encoders.pretrained import Architecture, Descriptions, make_model, note_weights, read_config
from core.encoders.pretrained_text import (
    PretrainedTextEncoder,
    fit_vocabulary,
    plain_config,
    positions_of,
    seq2seq_classes,
)
from core.errors import CheckpointError, ConfigError
from core.heads import VocabularyHead
from core.masks import causal_mask
from core.pretrained_files import target_begin

ATTENTION = "polyseq_rows_by_source"
CROSS_ATTENTION = ("encoder_attn", "EncDecAttention")


@dataclass(frozen=True)
class PretrainedState(DecoderState):
    """Keys and values of what was written, once a row, and of what is read, once a source.

    Attributes:
        cache: transformers' EncoderDecoderCache; changed in place.
        states: the memory's states, (B, S, D).
        mask: True where a state is its source's own, (B, 1, 1, S).
    """

    cache: Any
    states: Tensor
    mask: Tensor

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> PretrainedState:
        """Copies rows of what was written, and where sources are dropped what is read."""
        reorder_layers(self.cache.self_attention_cache, rows)
        if sources is None:
            return self
        reorder_layers(self.cache.cross_attention_cache, sources)
        return replace(self, states=self.states[sources], mask=self.mask[sources])


class PretrainedSeq2SeqDecoder(Decoder):
    """The decoder of a pretrained T5 (Raffel et al. 2020), BART (Lewis et al. 2020), Marian, Pegasus or mBART.

    The target is cut by the pretrained tokenizer (`data.tokenizer.path`), whose begin token is the one that the
    pretrained decoder begins with. BART reads its end token before that: this is done here.

    Beside a `PretrainedSeq2SeqEncoder` of the same model whose embeddings it shares, both keep one table. Under
    another encoder, of sound, images or text, it reads the memory through a new linear map where the widths differ.

    A tokenizer may have a few types more than the model, such as `data.tokenizer.symbols`: they get new embeddings.

    Args:
        vocab_size: the tokenizer's number of types; V is the model's, which may be larger.
        memory_size: width of the memory's states.
        path: a folder that `save_pretrained` wrote, an id on the Hugging Face hub, or package:NAME/FOLDER.
        architecture: set by checkpoints, which bring the weights themselves; the path isn't read then.

    Raises:
        ConfigError: neither path nor architecture, or another tokenizer's size.
        CheckpointError: nothing to be read at the path, or a model of another kind.
    """

    def __init__(
        self,
        vocab_size: int,
        memory_size: int,
        path: str | None = None,
        architecture: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        classes = seq2seq_classes()
        self.architecture = Architecture.of(path, architecture, classes, "decoder", describe_target)
        config_class, model_class = classes[self.architecture.model_type]
        config = plain_config(config_class.from_dict(self.architecture.config))
        whole = make_model(model_class, config, self.architecture)
        own = whole.get_output_embeddings().out_features
        fit_vocabulary(whole, own, vocab_size, "target", self.architecture)
        stack, head = whole.get_decoder(), with_bias(whole)
        use_own_attention(stack)
        self.pretrained = Freezable(nn.ModuleDict({"stack": stack, "head": head}), freeze=False, unfreeze_at=None)
        self.head = PretrainedHead(head)
        self.d_model: int = config.hidden_size
        self.memory_size = memory_size
        self.bridge = nn.Identity() if memory_size == self.d_model else nn.Linear(memory_size, self.d_model)
        self.scale = self.d_model**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0
        self.start_ids: list[int] = list(self.architecture.feature_extractor["start"])
        self.most_positions = positions_of(config)
        self.shares_table: bool = whole.get_encoder().get_input_embeddings().weight is self.embedding.weight
        self.has_weights = architecture is None
        self.register_load_state_dict_post_hook(note_weights)  # type: ignore[no-untyped-call]

    @property
    def stack(self) -> Any:
        """Transformers' decoder, without its head."""
        return self.pretrained.model["stack"]

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]  # the base declares it writable; a module may own it
        """The target's token embeddings (V, D)."""
        table: nn.Embedding = self.stack.get_input_embeddings()
        return table

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint beside those that were given, so that it loads where the path isn't."""
        return {"architecture": self.architecture.plain()}

    def share(self, encoder: Encoder) -> None:
        """Keeps one table of embeddings with the encoder of the same pretrained model, if that does so."""
        related = isinstance(encoder, PretrainedTextEncoder) and encoder.architecture.config == self.architecture.config
        if related and self.shares_table and encoder.embedding is not None:
            encoder.embedding.weight = self.embedding.weight

    def features(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Reads input tokens (B, T) at once: (B, T, D).

        Raises:
            ConfigError: the target is longer than the model has positions for.
            CheckpointError: the pretrained weights were never loaded.
        """
        return self._read(tokens, memory, None)

    def attention(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Where the decoder looks while it reads: tokens (B, T) to weights (B, L, T, S) by layer, heads averaged."""
        looks: dict[nn.Module, Tensor] = {}
        self._read(tokens, memory, looks)
        cross = [module for name, module in self.stack.named_modules() if name.endswith(CROSS_ATTENTION)]
        return torch.stack([looks[module] for module in cross], 1)[:, :, len(self.start_ids) :, : memory.states.size(1)]

    def _read(self, tokens: Tensor, memory: Memory, looks: dict[nn.Module, Tensor] | None) -> Tensor:
        tokens = torch.cat([tokens.new_tensor(self.start_ids).expand(len(tokens), -1), tokens], 1)  # (B, P + T)
        self._check(tokens.size(1))
        states, mask = self._readable(memory)
        found = self.stack(
            input_ids=tokens,
            attention_mask=causal_mask(tokens.size(1), tokens.device)[None, None],
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
            looks=looks,
        )
        features: Tensor = found.last_hidden_state[:, len(self.start_ids) :]
        return features * self.scale

    def _readable(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """A memory's states in the decoder's width and their mask; one masked state where there is none at all."""
        states, mask = memory.states, memory.mask
        if not states.size(1):
            states, mask = F.pad(states, (0, 0, 0, 1)), F.pad(mask, (0, 1))
        return self.bridge(states), mask[:, None, None]

    def start(self, memory: Memory) -> PretrainedState:
        """Reads what comes before the begin token."""
        from transformers import DynamicCache, EncoderDecoderCache

        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        state = PretrainedState(cache, *self._readable(memory))
        for index in self.start_ids:
            _, state = self.step(memory.lengths.new_full((len(memory.lengths),), index), state)
        return state

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, PretrainedState]:
        """Reads one token a row: tokens (N,) to logits (N, V)."""
        assert isinstance(state, PretrainedState)
        self._check(state.cache.get_seq_length() + 1)
        found = self.stack(
            input_ids=tokens.unsqueeze(1),
            encoder_hidden_states=state.states,
            encoder_attention_mask=state.mask,
            past_key_values=state.cache,
            use_cache=True,
        )
        logits: Tensor = self.head(found.last_hidden_state[:, 0] * self.scale)
        return logits, state

    def _check(self, size: int) -> None:
        if not self.has_weights:
            raise CheckpointError(
                "model.decoder.architecture describes a pretrained model, but no weights were loaded: give --ckpt_path "
                "a checkpoint of it, or leave architecture out and give model.decoder.path"
            )
        if self.most_positions is not None and size > self.most_positions:
            raise ConfigError(
                f"the pretrained {self.architecture.model_type} has {self.most_positions} positions, and a target has "
                "more tokens: set data.max_target_length and model.generation.max_length to at most "
                f"{self.most_positions - len(self.start_ids) - 1}"
            )


class PretrainedHead(VocabularyHead):
    """A head that another module owns."""

    def __init__(self, projection: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.projection = projection


def describe_target(path: str) -> Descriptions:
    """Reads the configuration, and what stands before the begin token."""
    config = read_config(path)
    return config, {"start": target_begin(path, config)[0]}


def with_bias(model: Any) -> nn.Linear:
    """The head of a model of transformers; what some of them add to the logits, untrained, is its bias."""
    head: nn.Linear = model.get_output_embeddings()
    bias = getattr(model, "final_logits_bias", None)
    if bias is not None:
        head.bias = nn.Parameter(bias.detach().flatten().clone(), requires_grad=False)
    return head


def reorder_layers(cache: Any, rows: Tensor) -> None:
    """Exchanges the rows of the keys and values that have been cached."""
    for layer in cache.layers:
        if layer.is_initialized:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]


def use_own_attention(stack: Any) -> None:
    """Lets a decoder of transformers attend by `rows_by_source`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, rows_by_source)
    stack.config._attn_implementation = ATTENTION


def rows_by_source(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    looks: dict[nn.Module, Tensor] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attends as transformers asks for it, but rows of one source share its keys and values.

    Args:
        module: whose attention it is.
        query: (N, H, T, E); T is 1 where N isn't B.
        key: (B, H, S, E).
        value: (B, H, S, E).
        attention_mask: True where a query may look, broadcast to (B, 1, T, S).
        dropout: of the weights.
        scaling: of the products of queries and keys; None for E ** -0.5.
        position_bias: is added to them, broadcast to (B, H, T, S).
        looks: where the weights (B, T, S) are noted, heads averaged.
        _: what other implementations are given.

    Returns:
        (N, T, H, E), and no weights.
    """
    rows, heads, steps, width = query.shape
    batch = key.size(0)
    if rows != batch:
        query = query.view(batch, rows // batch, heads, width).transpose(1, 2)  # (B, H, K, E)
    mask = attention_mask
    if position_bias is not None:
        bias = position_bias.to(query.dtype)
        mask = bias if attention_mask is None else torch.where(attention_mask, bias, -torch.inf)
    if looks is not None:
        eye = torch.eye(key.size(2), dtype=value.dtype, device=value.device).expand(batch, heads, -1, -1)
        looks[module] = F.scaled_dot_product_attention(query, key, eye, attn_mask=mask, scale=scaling).mean(1)
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return found.transpose(1, 2).reshape(rows, steps, heads, width), None
