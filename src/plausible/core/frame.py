"""Whose coordinates they are: the frame of reference that DICOM objects name, and the patient they are of."""

from dataclasses import dataclass, field

from plausible.core.problems import InvalidInput, Problem


@dataclass(frozen=True, slots=True)
class FrameOfReference:
    """What two objects must share for their coordinates to have anything to do with each other.

    Attributes:
        uid: FrameOfReferenceUID; empty if it is not told.
        patient: hash of the PatientID, to compare and of no use to name anybody; empty if it is not told.
        others_accepted: somebody checked that objects of another frame of reference have the same coordinates.
    """

    uid: str
    patient: str = field(repr=False)
    others_accepted: bool = False

    def check_holds(self, other: "FrameOfReference", *, what: str, of: str = "image") -> tuple[Problem, ...]:
        """Refuse an object that does not belong to the one whose frame this is.

        Args:
            other: frame of the object.
            what: it is, e.g. "dose".
            of: what this is the frame of.

        Returns:
            Warnings: another frame of reference that is accepted (E610), objects that do not say enough (E610, E611).

        Raises:
            InvalidInput: E611, another patient; E610, another frame of reference.
        """
        found = []
        if other.patient != self.patient:
            if other.patient and self.patient:
                raise InvalidInput(_other_patient(f"the {what} has another PatientID than the {of}"))
            found.append(_other_patient(f"{what} and {of}: one has no PatientID", severity="warning"))
        if other.uid == self.uid:
            return (*found, *(() if self.uid else (_untold(what, of),)))
        if not (self.others_accepted or other.others_accepted):
            raise InvalidInput(self._other_frame(what, of, other, accepted=False))
        return (*found, self._other_frame(what, of, other, accepted=True))

    def _other_frame(self, what: str, of: str, other: "FrameOfReference", *, accepted: bool) -> Problem:
        return Problem(
            code="E610",
            severity="warning" if accepted else "error",
            found=f"{what} in frame of reference {other.uid or '(none told)'}, {of} in {self.uid or '(none told)'}"
            + ("; accepted because it was told" if accepted else ""),
            expected="one frame of reference: otherwise coordinates have nothing to do with each other",
            fix="look at the contours on the image before any number is used"
            if accepted
            else "use the image it was drawn on, or register both in the planning system; if somebody checked that "
            "coordinates are the same, --accept other_frame (in Python other_frame=True)",
        )


def _other_patient(found: str, *, severity: str = "error") -> Problem:
    return Problem(
        code="E611",
        severity=severity,
        found=found,
        expected="objects of one patient",
        fix="sort the files by patient; the identifiers are not printed here",
    )


def _untold(what: str, of: str) -> Problem:
    return Problem(
        code="E610",
        severity="warning",
        found=f"neither {what} nor {of} names a frame of reference",
        expected="one frame of reference, so that coordinates are known to belong together",
        fix="look at the contours on the image before any number is used; export both again with it",
    )
