"""`python -m tasks.summarization fit|validate|test|predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from core.task import Task


def load() -> Task:
    """Imports what trains."""
    from core.task import Task
    from tasks.summarization.data import SummarizationData
    from tasks.summarization.module import SummarizationModule
    from tasks.summarization.predict import SummaryPredictOptions, summarize

    return Task(SummarizationModule, SummarizationData, SummaryPredictOptions, summarize)


if __name__ == "__main__":
    main("summarization", load)
