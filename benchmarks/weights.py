"""Copies the weights of our Transformer into transformers' own encoder-decoder of the same architecture.

Post-norm models become a Marian model, pre-norm ones a Pegasus model: with sinusoidal positions and scaled embeddings
those two are what we build, so that both must give the same logits and write the same translations.

Letters: D model width, V vocabulary, P positions.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.batch import TextBatch
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.heads import VocabularyHead
from core.layers.attention import CrossAttention, SelfAttention
from core.layers.feed_forward import ACTIVATIONS
from core.layers.positions import SinusoidalPositions, sinusoids
from core.layers.transformer import DecoderLayer, EncoderLayer
from core.masks import length_mask
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

AttentionKind = Literal["sdpa", "eager"]


def transformers_twin(
    model: EncoderDecoder, specials: Specials, attention: AttentionKind = "sdpa", max_positions: int = 1024
) -> Any:
    """Makes transformers' model of the same shape, the same rates of dropout and the same weights.

    Args:
        model: a `TransformerEncoder` with a `TransformerDecoder`; what is tied there is tied here.
        specials: the ids that `generate` needs.
        attention: transformers' implementation of attention.
        max_positions: P, the longest text.

    Returns:
        a `MarianMTModel` or `PegasusForConditionalGeneration`, in the mode (train or eval) of the model.

    Raises:
        ConfigError: the model has a part that those two don't know.
    """
    from transformers import MarianConfig, MarianMTModel, PegasusConfig, PegasusForConditionalGeneration

    encoder, decoder = _known_parts(model)
    first = encoder.layers[0]
    assert isinstance(first, EncoderLayer)
    pre_norm = first.attention_residual.pre
    shape = {
        **_sizes("encoder", encoder),
        **_sizes("decoder", decoder),
        "vocab_size": decoder.embedding.num_embeddings,
        "d_model": decoder.d_model,
        "dropout": first.attention_residual.dropout.p,
        "attention_dropout": first.attention.dropout.p,
        "activation_dropout": first.feed_forward.dropout.p,
        "activation_function": _activation(first),
        "scale_embedding": encoder.embed.scale != 1.0,
        "max_position_embeddings": max_positions,
        "pad_token_id": specials.pad,
        "bos_token_id": specials.bos,
        "eos_token_id": specials.eos,
        "decoder_start_token_id": specials.bos,
        "forced_eos_token_id": None,
        "tie_word_embeddings": False,  # `_copy_tables` ties what is tied in our model
        "attn_implementation": attention,
    }
    config = PegasusConfig(**shape) if pre_norm else MarianConfig(**shape)
    theirs = PegasusForConditionalGeneration(config) if pre_norm else MarianMTModel(config)
    _copy_tables(encoder, decoder, theirs, max_positions)
    for ours, layer in zip(encoder.layers, theirs.model.encoder.layers, strict=True):
        _copy_layer(ours, layer)
    for ours, layer in zip(decoder.layers, theirs.model.decoder.layers, strict=True):
        _copy_layer(ours, layer)
    if pre_norm:
        _copy(encoder.norm, theirs.model.encoder.layer_norm)
        _copy(decoder.norm, theirs.model.decoder.layer_norm)
    return theirs.train(model.training)


def _known_parts(model: EncoderDecoder) -> tuple[TransformerEncoder, TransformerDecoder]:
    """The model's parts, if transformers has their like."""
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(encoder, TransformerEncoder) or not isinstance(decoder, TransformerDecoder):
        raise ConfigError(
            f"only a TransformerEncoder with a TransformerDecoder has a twin in transformers, not a "
            f"{type(encoder).__name__} with a {type(decoder).__name__}"
        )
    for part in (encoder, decoder):
        if not isinstance(part.embed.positions, SinusoidalPositions):
            raise ConfigError(
                f"{type(part).__name__}: its twin has sinusoidal positions, not {type(part.embed.positions).__name__}"
            )
    return encoder, decoder


def _sizes(side: str, part: TransformerEncoder | TransformerDecoder) -> dict[str, int]:
    """The configuration's entries of one side."""
    layer = part.layers[0]
    assert isinstance(layer, EncoderLayer | DecoderLayer)
    return {
        f"{side}_layers": len(part.layers),
        f"{side}_attention_heads": layer.attention.num_heads,
        f"{side}_ffn_dim": layer.feed_forward.inner.out_features,
    }


def _activation(layer: EncoderLayer) -> str:
    """The activation's name, which is the same in transformers."""
    if layer.feed_forward.gated:
        raise ConfigError("activation: its twin has no gated activation, choose relu, gelu or silu")
    return next(name for name, function in ACTIVATIONS.items() if function is layer.feed_forward.activation)


def _copy_tables(encoder: TransformerEncoder, decoder: TransformerDecoder, theirs: Any, max_positions: int) -> None:
    """Gives embeddings, positions and head to the twin, with one parameter where we have one."""
    copies: dict[int, nn.Parameter] = {}

    def copy_of(weight: Tensor) -> nn.Parameter:
        return copies.setdefault(id(weight), nn.Parameter(weight.detach().clone()))

    for ours, part in ((encoder.embedding, theirs.model.encoder), (decoder.embedding, theirs.model.decoder)):
        part.embed_tokens = nn.Embedding(ours.num_embeddings, ours.embedding_dim)
        part.embed_tokens.weight = copy_of(ours.weight)
    theirs.model.shared = theirs.model.decoder.embed_tokens
    head = decoder.head
    assert isinstance(head, VocabularyHead)
    theirs.lm_head.weight = copy_of(head.projection.weight)
    if head.projection.bias is not None:
        theirs.final_logits_bias.copy_(head.projection.bias.detach().unsqueeze(0))
    for part in (theirs.model.encoder, theirs.model.decoder):
        part.embed_positions.weight.data.copy_(sinusoids(max_positions, decoder.d_model))


@torch.no_grad()
def _copy_layer(ours: nn.Module, theirs: Any) -> None:
    """Copies a layer of either side."""
    assert isinstance(ours, EncoderLayer | DecoderLayer)
    _copy_attention(ours.attention, theirs.self_attn)
    _copy(ours.attention_residual.norm, theirs.self_attn_layer_norm)
    if isinstance(ours, DecoderLayer):
        _copy_attention(ours.cross_attention, theirs.encoder_attn)
        _copy(ours.cross_residual.norm, theirs.encoder_attn_layer_norm)
    _copy(ours.feed_forward.inner, theirs.fc1)
    _copy(ours.feed_forward.outer, theirs.fc2)
    _copy(ours.feed_forward_residual.norm, theirs.final_layer_norm)


def _copy_attention(ours: SelfAttention | CrossAttention, theirs: Any) -> None:
    """Takes our joint projections apart: queries, keys and values, or a memory's keys and values."""
    names = ["q_proj", "k_proj", "v_proj"]
    if isinstance(ours, CrossAttention):
        _copy(ours.query, theirs.q_proj)
        names = names[1:]
    weights, biases = ours.projection.weight.chunk(len(names)), ours.projection.bias.chunk(len(names))
    for name, weight, bias in zip(names, weights, biases, strict=True):
        getattr(theirs, name).weight.copy_(weight)
        getattr(theirs, name).bias.copy_(bias)
    _copy(ours.output, theirs.out_proj)


def _copy(ours: nn.Module, theirs: nn.Module) -> None:
    """Copies a linear map or a normalisation."""
    theirs.load_state_dict(ours.state_dict())


def shake(model: nn.Module, seed: int = 1) -> None:
    """Moves biases and normalisations away from zero and one: fresh ones would hide that a copy forgot them."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def largest_difference(ours: EncoderDecoder, theirs: Any, source: TextBatch, tokens: Tensor) -> float:
    """How far apart the two models' logits (B, T, V) are for input tokens (B, T), at most."""
    mask = length_mask(source.lengths, source.values.size(1)).long()
    logits = theirs(input_ids=source.values, attention_mask=mask, decoder_input_ids=tokens, use_cache=False).logits
    return float((ours(source, tokens) - logits).abs().max())
