"""From a command line to a run: one parser for all verbs, then Lightning's trainer."""

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from functools import partial, reduce
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING, Any, Literal

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from core.atomic import write_text
from core.callbacks import FitOptions, fit_callbacks
from core.callbacks.whole_files import WholeFiles
from core.checkpoint import KEY, read_checkpoint
from core.cli import option_values
from core.compilation import one_line_for_failed_compilation
from core.data.datamodule import Seq2SeqDataModule
from core.environment import environment
from core.errors import CheckpointError, ConfigError, PolyseqError, StoppedError
from core.explain import one_line_for, one_line_for_other_weights, one_line_for_too_little_memory
from core.folders import keep_old, last_or_fresh, run_folder
from core.module import Seq2SeqModule
from core.parser import Parser
from core.ranks import RollCall, make_trainer, naming_lost_ranks, prepare_strategy
from core.recipes import Recipe, overlay, overlay_arguments, read_recipe, without_option
from core.resume import check_continues
from core.scores import leave_scores, print_scores

if TYPE_CHECKING:
    from core.cli import Load
    from core.task import Task


def build_parser(name: str, task: Task, defaults: Sequence[Path]) -> Parser:
    """Makes the parser of all options, which are the same for all verbs."""
    parser = Parser(
        prog=f"python -m tasks.{name}", default_config_files=[str(path) for path in defaults], allow_abbrev=False
    )
    parser.add_argument("--config", action="config", help="a YAML of what differs from the defaults")
    parser.add_argument("--seed_everything", type=int, default=1, help="seed of weights, batches and dropout")
    parser.add_argument("--ckpt_path", type=str, help="a checkpoint to test, to predict with, or to go on from")
    parser.add_argument("--run", type=str, help="name of the run's folder, runs/<task>/<name>; default: the config's")
    parser.add_argument("--ensemble", type=list[str], default=[], help="checkpoints that vote beside --ckpt_path")
    parser.add_argument("--rank_timeout", type=float, default=1800.0, help="seconds that a rank waits for the others")
    parser.add_class_arguments(FitOptions, "fit")
    parser.add_class_arguments(task.options, None)
    parser.add_class_arguments(Trainer, "trainer", instantiate=False, fail_untyped=False, sub_configs=True)
    parser.add_class_arguments(task.data, "data", fail_untyped=False, sub_configs=True)
    parser.add_class_arguments(task.module, "model", fail_untyped=False, sub_configs=True)
    parser.link_arguments("data.source_size", "model.source_size", apply_on="instantiate")
    parser.link_arguments("data.vocabularies", "model.vocabularies", apply_on="instantiate")
    return parser


def run(name: str, verb: str, arguments: Sequence[str], load: Load) -> None:
    """Does what a verb says with the options of a command line.

    Raises:
        ConfigError: an option is unknown or doesn't fit.
        CheckpointError: `validate`, `test` and `predict` need a checkpoint, and it must be one of this task.
    """
    if verb == "fit":
        arguments = last_or_fresh(name, arguments, _recipe(name, verb, None, arguments))
    checkpoint = _checkpoint(name, verb, arguments)
    recipe = _recipe(name, verb, checkpoint, arguments)
    task = load()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(recipe, file)
        file.flush()
        parser = build_parser(name, task, [Path(file.name)])
        parser.recipe = recipe
        config = parser.parse_args(without_option(arguments, "--config"))
    if checkpoint is None and config.ckpt_path is not None:
        raise ConfigError(f"ckpt_path: {config.ckpt_path} stands in a --config file: give it on the command line")
    _silence()
    seed_everything(config.seed_everything, workers=True)
    _choose_precision(config, verb)
    _end_schedule(config)
    _check_distribution(config)
    plain = _plain_config(parser, config)  # without the tokenizers of a checkpoint, which may be gone one day
    if checkpoint is not None and verb == "fit":
        check_continues(checkpoint[KEY]["config"], plain)
    if config.data.tokenizers is None:
        config.data.tokenizers = config.ckpt_path or config.fit.weights
    init = _instances(parser, config)
    module: Seq2SeqModule = init.model
    module.config = plain
    with naming_lost_ranks():
        RUNS[verb](Run(name, task, arguments, config, init, module, init.data))


@dataclass(frozen=True)
class Run:
    """One run of a verb.

    Attributes:
        name: the task's.
        task: its classes.
        arguments: its command line.
        config: all options, as parsed.
        init: the same with the parts made, the trainer's callbacks and loggers among them.
        module: the task's module.
        data: the task's datamodule.
    """

    name: str
    task: Task
    arguments: Sequence[str]
    config: Namespace
    init: Namespace
    module: Seq2SeqModule
    data: Seq2SeqDataModule

    @property
    def shows_bar(self) -> bool:
        """Whether a progress bar is wanted: by default where a person looks on."""
        wanted = self.config.trainer.enable_progress_bar
        return sys.stdout.isatty() if wanted is None else bool(wanted)

    def trainer(self, folder: Path | None, callbacks: Sequence[Callback] = ()) -> Trainer:
        """Makes Lightning's trainer; logs go to a folder, or nowhere."""
        options = self.init.trainer.as_dict()
        given = options["callbacks"] or []
        options["callbacks"] = [RollCall(), *callbacks, *(given if isinstance(given, list) else [given])]
        if options["logger"] is None and folder is not None and not options["fast_dev_run"]:
            options["logger"] = [TensorBoardLogger(folder, name="", version=""), CSVLogger(folder, "", "")]
        elif folder is None:
            options["logger"] = False
        if options["default_root_dir"] is None:
            options["default_root_dir"] = folder
        options["enable_progress_bar"] = self.shows_bar
        trainer = make_trainer(options)
        prepare_strategy(trainer, self.module, self.config.rank_timeout)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # a user's own stays
            trainer.strategy.checkpoint_io = WholeFiles()
        return trainer


def fit(run: Run) -> None:
    """Trains, from the start or from a checkpoint."""
    config = run.config
    if run.module.language_model.path is not None:
        raise ConfigError(
            "model.language_model is for validate, test and predict, and no checkpoint remembers it: leave its path out"
        )
    folder = run_folder(run.name, config.trainer.default_root_dir, config.run, config.ckpt_path, run.arguments)
    log_every = run.config.trainer.log_every_n_steps or 50
    bar, logs = run.shows_bar, config.trainer.logger is not False
    trainer = run.trainer(folder, fit_callbacks(run.init.fit, run.module, folder, log_every, bar, logs))
    if trainer.is_global_zero and not config.trainer.fast_dev_run:
        folder.mkdir(parents=True, exist_ok=True)
        keep_old(folder / "metrics.csv")  # CSVLogger would delete it
        keep_old(folder / "config.yaml")
        keep_old(folder / "environment.json")
        write_text(folder / "config.yaml", yaml.safe_dump(run.module.config, sort_keys=False))
        about = environment(run.name, "fit", run.arguments, config.seed_everything, trainer.world_size)
        write_text(folder / "environment.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        print(f"run directory: {folder}")
    explained = one_line_for(run.data.explain)
    with one_line_for_other_weights(), _one_line_for_memory(run), explained, one_line_for_failed_compilation():
        if config.ckpt_path is None and run.init.fit.weights is not None:
            _load_weights(run, run.init.fit.weights)
        try:
            trainer.fit(run.module, run.data, ckpt_path=config.ckpt_path, weights_only=True)
        except SIGTERMException:  # before training began: nothing is lost
            raise StoppedError("stopped by SIGTERM before the first update", 128 + SIGTERM) from None


def score(run: Run, verb: Literal["validate", "test"]) -> None:
    """Scores a checkpoint on a split; leaves the scores and all that was written beside it."""
    _add_members(run)
    trainer = run.trainer(None)
    started = time.monotonic()
    with one_line_for_other_weights(), _one_line_for_memory(run), one_line_for(run.data.explain):
        getattr(trainer, verb)(run.module, run.data, ckpt_path=run.config.ckpt_path, weights_only=True, verbose=False)
    if not trainer.is_global_zero:
        return
    metric = run.module.metric
    if metric is None:
        raise ConfigError(f"trainer.strategy {run.config.trainer.strategy} scores in processes that end: set it to ddp")
    scores = {name.partition("/")[2]: float(value) for name, value in trainer.callback_metrics.items()}
    print_scores(f"{run.name}: {verb}", scores, metric.signatures())
    checkpoint = Path(run.config.ckpt_path)
    made = {
        "seconds": round(time.monotonic() - started, 1),
        "checkpoint": str(checkpoint),
        "ensemble": run.config.ensemble,
        "generation": asdict(run.module.generation),
        "language_model": asdict(run.module.language_model),
    }
    path = checkpoint.with_suffix(f".{verb}.json")
    leave_scores(path, scores, metric, made)
    if text := run.module.report():
        write_text(path.with_suffix(".txt"), text)
        print(f"report: {path.with_suffix('.txt')}")


def _predict(run: Run) -> None:
    """Writes targets for what the user gives."""
    if torch.cuda.is_available() and run.config.trainer.accelerator in ("auto", "gpu", "cuda"):
        run.module.to("cuda")
    _add_members(run)
    with one_line_for_other_weights():
        _load_weights(run, run.config.ckpt_path)
    options = run.task.options(**{option.name: getattr(run.init, option.name) for option in fields(run.task.options)})
    run.task.predict(run.module, run.data, options)


def _load_weights(run: Run, path: str | Path) -> None:
    """Puts a checkpoint's weights, and nothing else of it, into the module."""
    checkpoint = read_checkpoint(path, run.name)
    run.module.on_load_checkpoint(checkpoint)
    run.module.load_state_dict(checkpoint["state_dict"])


def _checkpoint(task: str, verb: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """Reads the checkpoint of a command line; demands one where random weights would be scored otherwise."""
    given = option_values(arguments, "--ckpt_path")
    if given:
        return read_checkpoint(given[-1], task)
    if verb != "fit":
        raise CheckpointError(f"{verb} needs --ckpt_path FILE, a checkpoint that `fit` wrote: runs/{task}/…/best.ckpt")
    return None


def _recipe(task: str, verb: str, checkpoint: dict[str, Any] | None, arguments: Sequence[str]) -> Recipe:
    """What holds where the command line is silent: the task's default.yaml, the checkpoint's options, --config files.

    The command line wins over all of it, where Lightning's own CLI puts the checkpoint above it.
    """
    folder = next((path for path in (Path("configs"), HERE / "configs") if (path / task).is_dir()), None)
    layers = [] if folder is None else [read_recipe(folder / task / "default.yaml")]
    if checkpoint is not None:
        config = checkpoint[KEY]["config"]
        wanted = set(config) if verb == "fit" else {"model", "data"}
        layers.append({key: config[key] for key in wanted if key in config})
    layers += [read_recipe(path) for path in option_values(arguments, "--config")]
    empty: Recipe = {}
    return overlay_arguments(reduce(overlay, layers, empty), arguments)


def _plain_config(parser: Parser, config: Namespace) -> dict[str, Any]:
    """All options of a training run as plain data, for the checkpoint and for config.yaml."""
    text = parser.dump(config, skip_link_targets=True, skip_unset=True)
    plain: dict[str, Any] = yaml.safe_load(text)
    return {key: plain[key] for key in ("seed_everything", "fit", "trainer", "data", "model") if key in plain}


def _instances(parser: ArgumentParser, config: Namespace) -> Namespace:
    """Makes the objects of a configuration.

    Raises:
        PolyseqError: as a constructor raised it. Of an option that may be None jsonargparse makes it the cause of an
            error of its own, which tells all types that it has tried.
    """
    try:
        made: Namespace = parser.instantiate(config)
    except ValueError as error:
        if isinstance(error.__cause__, PolyseqError):
            raise error.__cause__ from None
        raise
    return made


def _choose_precision(config: Namespace, verb: str) -> None:
    """Trains in bf16 where the processor is fast at it; scores and writes in fp32 unless told otherwise."""
    if config.trainer.precision is None:
        cpu = config.trainer.accelerator == "cpu" or not torch.cuda.is_available()
        fast = torch.cpu._is_avx512_bf16_supported() if cpu else torch.cuda.is_bf16_supported()
        config.trainer.precision = "bf16-mixed" if verb == "fit" and fast else "32-true"


def _end_schedule(config: Namespace) -> None:
    """Lets a learning rate that falls reach its end with the run, unless the schedule names its own end.

    A trial run that is shorter than the warm-up sees nothing but the warm-up.
    """
    schedule, steps = config.model.schedule, config.trainer.max_steps
    if schedule.total_steps is None and steps > 0:
        schedule.total_steps = max(steps, schedule.warmup_steps + 1)


def _check_distribution(config: Namespace) -> None:
    """Our sampler shares batches out over ranks; Lightning's would break it."""
    if config.trainer.use_distributed_sampler is not False:
        raise ConfigError("trainer.use_distributed_sampler must be false: the datamodule shares out the batches itself")


def _one_line_for_memory(run: Run) -> AbstractContextManager[None]:
    """Explains that the memory is too small for a batch."""

    def tell() -> str:
        batch, training = run.module.at_work, run.module.training
        option = run.data.budget_options[0 if training else 1]
        value = getattr(run.config.data, option, None)
        mend = ", and raise trainer.accumulate_grad_batches to keep the size of an update" if training else ""
        return f"on {batch}: lower data.{option}, which is {value}{mend}"

    return one_line_for_too_little_memory(tell)


def _add_members(run: Run) -> None:
    """Loads the further checkpoints of an ensemble."""
    for path in run.config.ensemble:
        member = type(run.module).load(path)
        run.module.add_member(member, path)


def _silence() -> None:
    """Drops what Lightning tells on each run and nobody can act on; what it tells of the data and the run stays."""
    for text in NOISE:
        warnings.filterwarnings("ignore", text)
    for teller in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{teller}").addFilter(
            lambda record: not any(re.match(text, record.getMessage()) for text in NOISE)
        )


NOISE = (
    r".*exists and is not empty",
    r".*isinstance\(treespec, LeafSpec\)",
    r".*smaller than the logging interval",
    r"You have overridden `transfer_batch_to_device`",
    r"`weights_only` was not set",
    r".*does not have many workers",
    r".*Tip: ",
    r"TPU available",
    r"Be aware that when using `ckpt_path`",
    r"Support for mismatched key_padding_mask",
    r"You're using the WeightAveraging callback",  # beside configure_model, which shards nothing under DDP
    r"Found .* module\(s\) in eval mode",  # frozen parts are
    r"Starting from v1.9.0, `tensorboardX` has been removed",
)
HERE = Path(__file__).parent.parent
RUNS: dict[str, Callable[[Run], None]] = {
    "fit": fit,
    "validate": partial(score, verb="validate"),
    "test": partial(score, verb="test"),
    "predict": _predict,
}
