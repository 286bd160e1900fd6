"""What can be wrong with data or the machine: one record for `inspect`, for errors and for `failures.csv`.

Every problem has a code, says what was found and what was expected, and the one command that mends it.
The table `PROBLEMS` is the source of the documentation's page on errors.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

PROBLEMS: dict[str, str] = {
    "E101": "channel suffix written twice",
    "E102": "a member lacks a case",
    "E103": "class order differs between members",
    "E104": "only one member: nothing can disagree",
    "E105": "two members are copies of each other",
    "E106": "image without label",
    "E107": "label without image",
    "E108": "nothing recognised in this folder",
    "E109": "image channel missing",
    "E110": "study file cannot be read",
    "E201": "grid differs: affine",
    "E202": "grid differs: shape",
    "E203": "probabilities do not belong to their segmentation",
    "E204": "geometry in the header is unusable",
    "E205": "image has the wrong number of dimensions",
    "E206": "image is far too large at the model's spacing",
    "E301": "softmax probabilities do not sum to one",
    "E302": "probabilities outside 0 to 1",
    "E303": "label value without a name",
    "E304": "region classes without an order",
    "E305": "file is truncated or damaged",
    "E306": "structure is empty in all members",
    "E307": "meaning of the last axis was not told",
    "E308": "number of channels does not fit the classes",
    "E309": "values are not finite",
    "E310": "image is constant",
    "E311": "classes unreadable or not told",
    "E312": "labels, probabilities or logits: not told",
    "E313": "whether structures exclude each other was not told",
    "E314": "volume unlike the other cases'",
    "E315": "nothing to sample in a label map",
    "E401": "too few subjects for this statistic",
    "E402": "a patient of the calibration set",
    "E403": "no setting keeps the risk asked for",
    "E404": "calibration cannot be read",
    "E405": "results that cannot be compared as they are",
    "E406": "too few raters for this score",
    "E407": "other cases than those that were learnt from",
    "E408": "table of the design does not fit the members",
    "E409": "design is not balanced",
    "E410": "no source of variation can be told apart",
    "E411": "model is not the members' own",
    "E412": "fewer members than are to be chosen",
    "E413": "too many subsets to try them all",
    "E414": "members judged on cases they were chosen on",
    "E415": "cases of a pool have other members",
    "E416": "no case to choose on or to judge on",
    "E501": "dataset cannot be trained on",
    "E502": "model folder is incomplete or not ours",
    "E503": "model was trained with other settings",
    "E504": "no trained model recognised in this folder",
    "E505": "the model cannot be sampled this way",
    "E506": "the model runs code that was not trusted",
    "E507": "unlabelled images are missing",
    "E601": "file is no readable DICOM object",
    "E602": "which images are meant was not told",
    "E603": "slices are missing",
    "E604": "slices are unevenly spaced",
    "E605": "slices are not stacked straight",
    "E606": "two slices at one position",
    "E607": "position, orientation or spacing of a slice is missing",
    "E608": "rescale of the values is missing or implausible",
    "E609": "pixel data is damaged, lossy or shows text",
    "E610": "DICOM objects do not belong together",
    "E611": "PatientID differs",
    "E612": "structures or loops were left out",
    "E613": "names of structures are alike",
    "E614": "contours are doubtful",
    "E615": "dose grid is unusable",
    "E616": "dose is relative, effective or an error",
    "E617": "doses do not make up one plan",
    "E618": "dose values are implausible",
    "E619": "DICOM object is absurdly large",
    "E620": "results and image series are on different grids",
    "E621": "no image series for a case",
    "E622": "what is to be written does not fit the format",
    "E623": "slices cannot be referred to",
    "E624": "output would lie among the source files",
    "E625": "map of identifiers cannot be read",
    "E626": "contours that others may read differently",
    "E627": "contours without an image",
    "E630": "constraint file is not TOML",
    "E631": "line of a constraint file is wrong",
    "E632": "dose cannot be used",
    "E633": "dose looks like cGy",
    "E634": "dose and segmentations do not meet",
    "E635": "a case has no dose",
    "E636": "structure reaches beyond the dose grid",
    "E650": "pyRadPlan does not work in this installation",
    "E651": "no target to plan on",
    "E652": "no patient outline to plan in",
    "E653": "goals of a plan are wrong",
    "E654": "no contours to plan on",
    "E701": "contours are not flat or not parallel",
    "E702": "contours that had to be interpreted",
    "E703": "dose metric not understood",
    "E901": "an optional package is missing",
    "E902": "not enough memory",
    "E903": "output cannot be written",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: where, what was found, what was expected, and the command that mends it."""

    code: str
    found: str
    expected: str
    fix: str
    subject: str = ""
    member: str = ""
    file: str = ""
    severity: str = "error"  # "error" stops the case, "warning" does not, "note" informs

    @property
    def title(self) -> str:
        """Short name of this kind of problem."""
        return PROBLEMS[self.code]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values, with its title and page."""
        return {**asdict(self), "title": self.title, "url": f"errors/{self.code}"}

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.subject, self.member, self.file) if part)
        lines = [f"{self.code} {self.title}" + (f": {where}" if where else "")]
        lines += [f"  found     {self.found}", f"  expected  {self.expected}", f"  fix       {self.fix}"]
        return "\n".join(lines)


class InvalidInput(ValueError):
    """The data cannot be used as they are. Carries the `Problem`; the command line ends with code 4."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class ProblemWarning(UserWarning):
    """Something about the data that stops nothing and that a user can act on. Carries the `Problem`."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add our warnings inside the block to a list instead of showing them; all others go where they would go."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProblemWarning)
        try:
            yield
        finally:
            others = [one for one in caught if not isinstance(one.message, ProblemWarning)]
            problems += [one.message.problem for one in caught if isinstance(one.message, ProblemWarning)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@contextmanager
def locating(*, subject: str = "", member: str = "", file: str = "") -> Iterator[None]:
    """Fill in where an `InvalidInput` raised inside the block happened, as far as it does not say so itself."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(located(error.problem, subject=subject, member=member, file=file)) from error.__cause__


def located(problem: Problem, *, subject: str = "", member: str = "", file: str = "") -> Problem:
    """Return the problem with the places filled in that it leaves empty."""
    return replace(
        problem,
        subject=problem.subject or subject,
        member=problem.member or member,
        file=problem.file or file,
    )


class UnfitEnvironment(RuntimeError):
    """The machine or the installation lacks something. Carries the `Problem`; the command line ends with code 5."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def missing_extra(package: str, *, extra: str) -> UnfitEnvironment:
    """Return the error that names the command which installs a missing optional package."""
    return UnfitEnvironment(
        Problem(
            code="E901",
            found=f"the package {package!r} cannot be imported",
            expected=f"an installation with the extra [{extra}]",
            fix=f'pip install "plausible[{extra}]"',
        )
    )
