"""Writing a target: options, search, strategies, processors, scorers."""

from core.generation.constraints import Constraints
from core.generation.entry import generate
from core.generation.options import GenerationOptions, Hypothesis

__all__ = ["Constraints", "GenerationOptions", "Hypothesis", "generate"]
