"""Ways to train one network, and what can be drawn from it; the table that command line, docs and tests read.

A method is a file of its own with hooks (`plausible.train.hooks.Method`) under the name `METHOD`. This table does not
import it, so that `plausible --help` needs no torch. How several networks differ (seeds, folds, raters, recipes) is
another choice, `EnsembleKind`: SWAG over five seeds is MultiSWAG, checkpoints over five seeds likewise.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from plausible.train.hooks import Method

MethodName = Literal[
    "plain",
    "mc_dropout",
    "bayes_by_backprop",
    "stochastic_segmentation",
    "checkpoints",
    "snapshots",
    "cyclical_sgld",
    "swag",
    "laplace",
]


@dataclass(frozen=True, slots=True)
class TrainingMethod:
    """One way to train a network.

    Attributes:
        label: its name in tables and pages.
        summary: what it does, in one sentence.
        source: publication.
        stochastic: whether any number of functions can be drawn from one trained network.
        module: file with its hooks.
        own_loss: whether its loss is not that of the logits against the targets, so that no term can be added to it.
    """

    name: MethodName
    label: str
    summary: str
    source: str
    stochastic: bool
    module: str
    own_loss: bool = False

    def load(self) -> "Method":
        """Import the hooks; this imports torch."""
        method: Method = import_module(self.module).METHOD
        return method


def _listed(*methods: TrainingMethod) -> dict[str, TrainingMethod]:
    found = {method.name: method for method in methods}
    if set(found) != set(get_args(MethodName)):
        raise TypeError("MethodName and the table of training methods differ")
    return {str(name): method for name, method in found.items()}


METHODS = _listed(
    TrainingMethod(
        name="plain",
        label="plain network",
        summary="One set of weights, one function.",
        source="Lakshminarayanan et al. 2017, arXiv:1612.01474 (as a member of a deep ensemble)",
        stochastic=False,
        module="plausible.train.plain",
    ),
    TrainingMethod(
        name="mc_dropout",
        label="MC dropout",
        summary="Trained with dropout of whole channels; a member is one dropout mask, the same for the whole image.",
        source="Gal & Ghahramani 2016, arXiv:1506.02142; channels: Tompson et al. 2015, arXiv:1411.4280",
        stochastic=True,
        module="plausible.train.mc_dropout",
    ),
    TrainingMethod(
        name="bayes_by_backprop",
        label="Bayes by Backprop",
        summary="A Gaussian with a variance of its own over every weight; a member is one draw of all weights.",
        source="Blundell et al. 2015, arXiv:1505.05424",
        stochastic=True,
        module="plausible.train.bayes_by_backprop",
        own_loss=True,
    ),
    TrainingMethod(
        name="stochastic_segmentation",
        label="stochastic segmentation network",
        summary="A low-rank Gaussian over the logits of a whole image; a member is one draw of them.",
        source="Monteiro et al. 2020, arXiv:2006.06015",
        stochastic=True,
        module="plausible.train.stochastic_segmentation",
        own_loss=True,
    ),
    TrainingMethod(
        name="checkpoints",
        label="checkpoint ensemble",
        summary="Weights kept at several moments of the last part of one training.",
        source="Zhang et al. 2026, doi:10.1088/1361-6560/ae7eeb",
        stochastic=False,
        module="plausible.train.checkpoints",
    ),
    TrainingMethod(
        name="snapshots",
        label="snapshot ensemble",
        summary="Weights kept at the end of each cycle of a cyclic learning rate.",
        source="Huang et al. 2017, arXiv:1704.00109",
        stochastic=False,
        module="plausible.train.snapshots",
    ),
    TrainingMethod(
        name="cyclical_sgld",
        label="cyclical SGLD",
        summary="Snapshots with Langevin noise in the cold part of each cycle: samples of the posterior's modes.",
        source="Zhang et al. 2020, arXiv:1902.03932; segmentation: Zhao et al. 2022, arXiv:2212.06278",
        stochastic=False,
        module="plausible.train.cyclical_sgld",
    ),
    TrainingMethod(
        name="swag",
        label="SWAG",
        summary="A Gaussian fitted to the weights on the way through the last part of training; a member is one draw.",
        source="Maddox et al. 2019, arXiv:1902.02476",
        stochastic=True,
        module="plausible.train.swag",
    ),
    TrainingMethod(
        name="laplace",
        label="last-layer Laplace",
        summary="A Gaussian around the trained last layer from the curvature of the loss; a member is one draw of it.",
        source="Daxberger et al. 2021, arXiv:2106.14806; Kristiadi et al. 2020, arXiv:2002.10118",
        stochastic=True,
        module="plausible.train.laplace",
    ),
)
