"""How each toolkit is told to do the same: its commands and its configuration for the recipe of the copy task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Recipe:
    """What all toolkits train: a pre-norm Transformer with one table of embeddings, and inverse square root decay.

    Attributes:
        files: train, val and test sentences by name, e.g. "train.src".
        updates: of the optimiser.
        sentences: a batch, for toolkits that count those: 870 target tokens on average, end tokens included.
        tokens: the budget of a batch, for those that count tokens, padding included: 886 of them on average are real.
        layers: of the encoder, and as many of the decoder.
        d_model: width.
        ffn_size: width within the feed-forward part.
        num_heads: of each attention.
        dropout: of sublayers, attention and activations.
        label_smoothing: share of the probability that is spread.
        learning_rate: at its highest.
        warmup: updates until then.
        beam_size: of decoding.
        decode_batch: sentences of a batch in decoding.
        longest: tokens that a translation may have.
    """

    files: dict[str, Path]
    updates: int = 800
    sentences: int = 109
    tokens: int = 900
    layers: int = 2
    d_model: int = 64
    ffn_size: int = 128
    num_heads: int = 4
    dropout: float = 0.1
    label_smoothing: float = 0.1
    learning_rate: float = 0.003
    warmup: int = 200
    beam_size: int = 5
    decode_batch: int = 64
    longest: int = 30

    @property
    def data(self) -> Path:
        """The folder of the files."""
        return self.files["train.src"].parent


@dataclass(frozen=True)
class Decoding:
    """A command that decodes the test sentences.

    Attributes:
        command: the program and its arguments.
        reads_stdin: it reads the sentences from its standard input.
        writes_stdout: it writes its hypotheses to its standard output.
    """

    command: Sequence[str]
    reads_stdin: bool = False
    writes_stdout: bool = False


@dataclass(frozen=True)
class Toolkit(ABC):
    """A toolkit with a command line.

    Attributes:
        python: the interpreter of the virtual environment that it is installed in.
    """

    python: Path | str

    @property
    @abstractmethod
    def name(self) -> str:
        """What the table calls it."""

    @abstractmethod
    def train_commands(self, recipe: Recipe, folder: Path) -> list[list[str]]:
        """What leads from the files to a trained model in an empty folder; writes the configuration there."""

    @abstractmethod
    def decode_command(self, recipe: Recipe, folder: Path, output: Path) -> Decoding:
        """What translates the test sentences, one line each."""


class Polyseq(Toolkit):
    """This repository."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return "polyseq"

    def train_commands(self, recipe: Recipe, folder: Path) -> list[list[str]]:
        """`fit`, from a configuration of what differs from the task's own."""
        part = {
            "d_model": recipe.d_model,
            "num_layers": recipe.layers,
            "num_heads": recipe.num_heads,
            "ffn_size": recipe.ffn_size,
            "dropout": recipe.dropout,
            "attention_dropout": recipe.dropout,
            "activation_dropout": recipe.dropout,
        }
        corpus = {"folder": str(recipe.data), "source": "src", "target": "tgt"}
        config = {
            "trainer": {
                "accelerator": "cpu",
                "devices": 1,
                "precision": "32-true",
                "max_steps": recipe.updates,
                "val_check_interval": recipe.updates,
                "default_root_dir": str(folder),
            },
            "data": {
                "corpus": {"class_path": "core.data.text.AlignedText", "init_args": corpus},
                "tokenizer": {"kind": "words"},
                "batch_tokens": recipe.tokens,
            },
            "model": {
                "encoder": {"class_path": "core.encoders.transformer.TransformerEncoder", "init_args": part},
                "decoder": {"class_path": "core.decoders.transformer.TransformerDecoder", "init_args": part},
                "tie_embeddings": True,
                "objective": {
                    "class_path": "core.objectives.CrossEntropy",
                    "init_args": {"label_smoothing": recipe.label_smoothing},
                },
                "optimizer": {
                    "class_path": "torch.optim.AdamW",
                    "init_args": {"lr": recipe.learning_rate, "betas": [0.9, 0.98], "weight_decay": 0.0, "fused": True},
                },
                "schedule": {"kind": "inverse_sqrt", "warmup_steps": recipe.warmup},
                "generation": {"beam_size": recipe.beam_size, "max_length": recipe.longest},
            },
        }
        path = write_yaml(config, folder)
        return [[str(self.python), "-m", "tasks.mt", "fit", "--config", path, "--run", "copy"]]

    def decode_command(self, recipe: Recipe, folder: Path, output: Path) -> Decoding:
        """`predict`, from a file to a file."""
        checkpoint, source = str(folder / "mt" / "copy" / "best.ckpt"), str(recipe.files["test.src"])
        arguments = ["--ckpt_path", checkpoint, "--input", source, "--output", str(output)]
        return Decoding([str(self.python), "-m", "tasks.mt", "predict", *arguments])


class Sockeye(Toolkit):
    """Sockeye 3 (Hieber et al. 2022)."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return "Sockeye"

    def train_commands(self, recipe: Recipe, folder: Path) -> list[list[str]]:
        """Preparing the data is part of training: it makes the vocabulary."""
        files = {name: str(path) for name, path in recipe.files.items()}
        prepare = ["-s", files["train.src"], "-t", files["train.tgt"], "--shared-vocab", "-o", str(folder / "data")]
        size = ["--num-layers", f"{recipe.layers}:{recipe.layers}", "--transformer-model-size", str(recipe.d_model)]
        size += ["--transformer-attention-heads", str(recipe.num_heads)]
        size += ["--transformer-feed-forward-num-hidden", str(recipe.ffn_size)]
        dropout = [f"--transformer-dropout-{part}={recipe.dropout}" for part in ("prepost", "attention", "act")]
        # Sockeye's schedule is rate / sqrt(max(update, warm-up)): this makes its highest value the recipe's.
        rate = recipe.learning_rate * recipe.warmup**0.5
        schedule = ["--learning-rate-scheduler-type", "inv-sqrt-decay", "--initial-learning-rate", str(rate)]
        schedule += ["--learning-rate-warmup", str(recipe.warmup)]
        batches = ["--batch-type", "sentence", "--batch-size", str(recipe.sentences), "--max-seq-len", "20"]
        length = ["--max-updates", str(recipe.updates), "--checkpoint-interval", str(recipe.updates)]
        paths = ["-d", str(folder / "data"), "-vs", files["val.src"], "-vt", files["val.tgt"]]
        others = ["--shared-vocab", "--weight-tying-type", "src_trg_softmax", "--use-cpu", "--seed", "1"]
        others += ["--label-smoothing", str(recipe.label_smoothing), "-o", str(folder / "model")]
        train = [*paths, *size, *dropout, *schedule, *batches, *length, *others]
        return [
            [self._program("prepare-data"), *prepare, "--max-seq-len", "20"],
            [self._program("train"), *train],
        ]

    def decode_command(self, recipe: Recipe, folder: Path, output: Path) -> Decoding:
        """`sockeye-translate`, from a file to a file."""
        arguments = ["-m", str(folder / "model"), "-i", str(recipe.files["test.src"]), "-o", str(output), "--use-cpu"]
        arguments += ["-b", str(recipe.beam_size), "--batch-size", str(recipe.decode_batch)]
        return Decoding([self._program("translate"), *arguments])

    def _program(self, name: str) -> str:
        return str(Path(self.python).parent / f"sockeye-{name}")


class JoeyNMT(Toolkit):
    """JoeyNMT 2 (Kreutzer et al. 2019)."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return "JoeyNMT"

    def train_commands(self, recipe: Recipe, folder: Path) -> list[list[str]]:
        """One command; it makes the vocabulary itself."""
        path = write_yaml(self._config(recipe, folder), folder)
        return [[str(self.python), "-m", "joeynmt", "train", path, "--skip-test"]]

    def decode_command(self, recipe: Recipe, folder: Path, output: Path) -> Decoding:
        """`translate`, from its standard input to its standard output."""
        config = str(folder / "model" / "config.yaml")
        return Decoding([str(self.python), "-m", "joeynmt", "translate", config], reads_stdin=True, writes_stdout=True)

    def _config(self, recipe: Recipe, folder: Path) -> dict[str, object]:
        side = {"level": "word", "lowercase": False, "max_length": 100}
        specials = {"unk": "<unk>", "pad": "<pad>", "bos": "<s>", "eos": "</s>"}
        symbols = {f"{name}_token": token for name, token in specials.items()}
        return {
            "name": "copy",
            "joeynmt_version": "2.3.0",
            "model_dir": str(folder / "model"),
            "use_cuda": False,
            "fp16": False,
            "random_seed": 1,
            "data": {
                **{split: str(recipe.data / name) for split, name in JOEY_SPLITS.items()},
                "dataset_type": "plain",
                "src": {"lang": "src", **side},
                "trg": {"lang": "tgt", **side},
                "special_symbols": {**symbols, **{f"{name}_id": index for index, name in enumerate(specials)}},
            },
            "testing": {
                "beam_size": recipe.beam_size,
                "beam_alpha": 1.0,
                "batch_size": recipe.decode_batch,
                "batch_type": "sentence",
                "max_output_length": recipe.longest,
                "eval_metrics": ["bleu"],
                "sacrebleu_cfg": {"tokenize": "none"},
            },
            "training": self._training(recipe),
            "model": {
                "initializer": "xavier_uniform",
                "embed_initializer": "xavier_uniform",
                "tied_embeddings": True,
                "tied_softmax": True,
                "encoder": self._part(recipe),
                "decoder": self._part(recipe),
            },
        }

    def _training(self, recipe: Recipe) -> dict[str, object]:
        return {
            "optimizer": "adamw",
            "adam_betas": [0.9, 0.98],
            "weight_decay": 0.0,
            "learning_rate": recipe.learning_rate,
            "scheduling": "warmupinversesquareroot",  # its plateau is broken under torch >= 2.7
            "learning_rate_warmup": recipe.warmup,
            "loss": "crossentropy",
            "label_smoothing": recipe.label_smoothing,
            "clip_grad_norm": 1.0,
            "normalization": "tokens",
            "batch_size": recipe.sentences,
            "batch_type": "sentence",
            "early_stopping_metric": "bleu",
            "epochs": 10**6,
            "updates": recipe.updates,
            "validation_freq": recipe.updates,
            "logging_freq": 100,
            "shuffle": True,
            "print_valid_sents": [0],
            "keep_best_ckpts": 1,
        }

    def _part(self, recipe: Recipe) -> dict[str, object]:
        return {
            "type": "transformer",
            "num_layers": recipe.layers,
            "num_heads": recipe.num_heads,
            "embeddings": {"embedding_dim": recipe.d_model, "scale": True, "dropout": recipe.dropout},
            "hidden_size": recipe.d_model,
            "ff_size": recipe.ffn_size,
            "dropout": recipe.dropout,
            "layer_norm": "pre",
        }


JOEY_SPLITS = {"train": "train", "dev": "val", "test": "test"}


def write_yaml(config: object, folder: Path) -> str:
    """Writes a configuration to `config.yaml` in a folder and returns the file's path."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return str(path)
