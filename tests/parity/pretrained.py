"""Small random models of transformers, saved with a tokenizer, to be read by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import nn

TYPES = 40
PAD, BEGIN, END, UNKNOWN = 1, 0, 2, 3  # as BART's: nowhere ours
SIZES: dict[str, Any] = {"vocab_size": TYPES, "pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
BERT: dict[str, Any] = SIZES | {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 24, "initializer_range": 0.3,
}  # fmt: skip
BART: dict[str, Any] = SIZES | {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 48,
    "init_std": 0.3, "scale_embedding": False, "decoder_start_token_id": END,
}  # fmt: skip
T5: dict[str, Any] = SIZES | {
    "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": PAD,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12,
}  # fmt: skip
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertModel", BERT),
    "roberta": ("RobertaModel", BERT | {"type_vocab_size": 1}),
    "distilbert": ("DistilBertModel", SIZES | {
        "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 24,
    }),
    "electra": ("ElectraModel", BERT | {"embedding_size": 8}),
    "deberta": ("DebertaModel", BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "deberta-v2": ("DebertaV2Model", BERT | {
        "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "share_att_key": True,
        "norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0,
    }),
}  # fmt: skip
WHOLES: dict[str, tuple[str, dict[str, Any]]] = {
    "bart": ("BartForConditionalGeneration", BART),
    "marian": ("MarianMTModel", BART | {"decoder_start_token_id": PAD, "scale_embedding": True}),
    "marian-apart": ("MarianMTModel", BART | {
        "decoder_start_token_id": PAD, "share_encoder_decoder_embeddings": False, "tie_word_embeddings": False,
        "decoder_vocab_size": TYPES,
    }),
    "mbart": ("MBartForConditionalGeneration", BART),
    "pegasus": ("PegasusForConditionalGeneration", BART | {"decoder_start_token_id": PAD}),
    "t5": ("T5ForConditionalGeneration", T5),
    "t5-gated": ("T5ForConditionalGeneration", T5 | {
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 1,
    }),
}  # fmt: skip
FORCED = {"bart": BEGIN, "mbart": 4}  # what they write first, whatever the source
# Of lively models: every beam of 4 comes to an end. The others' is 0.
SEEDS = {"marian": 7, "marian-apart": 4, "mbart": 4, "t5": 9, "t5-gated": 19}
WRAPPED = {"bert", "roberta", "distilbert", "electra", "deberta", "deberta-v2", "bart"}


def make(kind: str, lively: bool = False) -> Any:
    """A random model of transformers, by its name above.

    Lively ones have a head of their own: one that is the embeddings' says again what it has just read.
    """
    torch.manual_seed(SEEDS.get(kind, 0) if lively else 0)
    name, options = (ENCODERS | WHOLES)[kind]
    if lively:
        options = options | {"tie_word_embeddings": False}
    model_class = getattr(transformers, name)
    model = model_class(model_class.config_class(**options)).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # biases of 0 and scales of 1 would hide what becomes of them
            nn.init.normal_(parameter, 1.0 if parameter.mean() > 0.5 else 0.0, 0.2)
    if kind in FORCED:
        model.generation_config.forced_bos_token_id = FORCED[kind]
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_(0.0, 0.5)
        model.final_logits_bias[0, END] += 4.0 * lively
    if lively:
        model.lm_head.weight.data.normal_(0.0, 0.4)
        # The end is likely here and unlikely there, so that all texts come to it; T5 adds nothing to its logits.
        model.lm_head.weight.data[END] *= 3.0 if hasattr(model, "final_logits_bias") else 6.0
    return model


def save_tokenizer(folder: Path, wrapped: bool) -> None:
    """Writes a tokenizer of words, with a begin token before a text or without."""
    names = {"<s>": BEGIN, "<pad>": PAD, "</s>": END, "<unk>": UNKNOWN}
    words = {f"w{index}": index for index in range(4, TYPES)}
    tokenizer = Tokenizer(WordLevel(names | words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    single = "<s> $A </s>" if wrapped else "$A </s>"
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=[("<s>", BEGIN), ("</s>", END)])
    specials = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(folder)


def save(kind: str, folder: Path, lively: bool = False) -> str:
    """Writes a model and its tokenizer."""
    make(kind, lively).save_pretrained(folder)
    save_tokenizer(folder, kind in WRAPPED)
    return str(folder)
