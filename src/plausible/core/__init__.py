"""The nouns: grids, classes, maps, members, cases, rows, catalogues, and the one walk over the members."""

from plausible.core.catalogue import Catalogue, Entry
from plausible.core.checks import as_probabilities, check_labels, check_probabilities, check_range
from plausible.core.classes import Classes
from plausible.core.collect import Accumulates, Collected, Statistic, collect, join, slabs, walk
from plausible.core.contours import Contours, Loop, LoopKind
from plausible.core.dose import Dose, DoseKind
from plausible.core.frame import FrameOfReference
from plausible.core.geometry import Box, Geometry
from plausible.core.maps import LabelMap, ScalarMap
from plausible.core.members import (
    ArraySource,
    DrawnSource,
    LabelSource,
    Member,
    MemberInfo,
    Members,
    MemberSource,
)
from plausible.core.problems import PROBLEMS, InvalidInput, Problem, UnfitEnvironment, missing_extra
from plausible.core.provenance import (
    INTENDED_USE,
    SCHEMA_VERSION,
    Provenance,
    command_line,
    content_key,
    provenance,
    sha256_of,
)
from plausible.core.scores import SCORE_COLUMNS, Direction, Score, select
from plausible.core.structure_names import standard_name
from plausible.core.study import Case, Image, Study

__all__ = [
    "INTENDED_USE",
    "PROBLEMS",
    "SCHEMA_VERSION",
    "SCORE_COLUMNS",
    "Accumulates",
    "ArraySource",
    "Box",
    "Case",
    "Catalogue",
    "Classes",
    "Collected",
    "Contours",
    "Direction",
    "Dose",
    "DoseKind",
    "DrawnSource",
    "Entry",
    "FrameOfReference",
    "Geometry",
    "Image",
    "InvalidInput",
    "LabelMap",
    "LabelSource",
    "Loop",
    "LoopKind",
    "Member",
    "MemberInfo",
    "MemberSource",
    "Members",
    "Problem",
    "Provenance",
    "ScalarMap",
    "Score",
    "Statistic",
    "Study",
    "UnfitEnvironment",
    "as_probabilities",
    "check_labels",
    "check_probabilities",
    "check_range",
    "collect",
    "command_line",
    "content_key",
    "join",
    "missing_extra",
    "provenance",
    "select",
    "sha256_of",
    "slabs",
    "standard_name",
    "walk",
]
