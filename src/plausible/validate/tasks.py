"""The tasks of ValUES: what an uncertainty is for, and how well a model, a measure and an aggregation do it.

A task is one function from an arm (a model on a dataset) to lines of the table. Adding one adds it to
`plausible validate`, its table and its plots.

Source of the tasks: Kahl, Lüth, Zenk, Maier-Hein, Jaeger, ICLR 2024 (ValUES), arXiv:2401.08501.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from plausible.core import Catalogue
from plausible.validate.arm import Arm, Line

Task: TypeAlias = Callable[[Arm], Iterator[Line | None]]

TASKS: Catalogue[Task] = Catalogue("task")

VALUES = "Kahl et al. 2024 (ValUES), arXiv:2401.08501"
