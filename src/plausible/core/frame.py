"""Whose coordinates they are: the frame of reference that DICOM objects name, and the patient they are of."""

from dataclasses import dataclass, field

from plausible.core.problems import InvalidInput, Problem


@dataclass(frozen=True, slots=True)
class FrameOfReference:
    """What two objects must share for their coordinates to have anything to do with each other.

    Attributes:
        uid: FrameOfReferenceUID; empty if it is not told.
        patient: hash of the PatientID: to compare, of no use to name anybody.
        others_accepted: somebody checked that objects of another frame of reference have the same coordinates.
    """

    uid: str
    patient: str = field(repr=False)
    others_accepted: bool = False

    def check_holds(self, other: "FrameOfReference", *, what: str) -> tuple[Problem, ...]:
        """Refuse an object that does not belong to the image whose frame this is.

        Args:
            other: frame of the object.
            what: it is, e.g. "dose".

        Returns:
            A warning (E610) where another frame of reference is accepted.

        Raises:
            InvalidInput: E611, another patient; E610, another frame of reference.
        """
        if other.patient != self.patient:
            raise InvalidInput(_other_patient(what))
        if other.uid == self.uid:
            return ()
        if not self.others_accepted:
            raise InvalidInput(self._other_frame(what, other, accepted=False))
        return (self._other_frame(what, other, accepted=True),)

    def _other_frame(self, what: str, other: "FrameOfReference", *, accepted: bool) -> Problem:
        return Problem(
            code="E610",
            severity="warning" if accepted else "error",
            found=f"{what} in frame of reference {other.uid or '(none told)'}, image in {self.uid or '(none told)'}"
            + ("; accepted because it was told" if accepted else ""),
            expected="one frame of reference: otherwise coordinates have nothing to do with each other",
            fix="look at the contours on the image before any number is used"
            if accepted
            else "use the image it was drawn on, or register both in the planning system; if somebody checked that "
            "coordinates are the same, --accept other_frame (in Python other_frame=True)",
        )


def _other_patient(what: str) -> Problem:
    return Problem(
        code="E611",
        found=f"the {what} has another PatientID than the image",
        expected="objects of one patient",
        fix="sort the files by patient; the identifiers are not printed here",
    )
