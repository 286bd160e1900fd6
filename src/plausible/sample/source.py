"""A trained model of any tool, as prediction sees it: an image goes in, members come out, one in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from plausible.core import Classes, Image, Member, MemberInfo


@runtime_checkable
class SegmentationModel(Protocol):
    """What can predict members: our own models, nnU-Net's folders, MONAI bundles, TorchScript, ONNX.

    Each member is **one function for the whole image**: the same weights, the same dropout mask, the same view in every
    window. Which members there are is decided before an image is seen, so that `infos` names them all.
    """

    @property
    def classes(self) -> Classes:
        """What the channels of a member mean."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """The image's channels, in the model's order."""
        ...

    @property
    def ensemble(self) -> str:
        """What the members are together, e.g. "deep ensemble of 5"."""
        ...

    @property
    def infos(self) -> tuple[MemberInfo, ...]:
        """What makes each member; `id` is its folder in the store."""
        ...

    def identity(self, member: int) -> Mapping[str, Any]:
        """Everything but the image that decides the bits of a member, as plain JSON values (weights by SHA-256)."""
        ...

    def predict(self, image: Image, chosen: Sequence[int], *, subject: str = "") -> Iterator[Member]:
        """Yield the members of these numbers, on the image's own grid; what they share is computed once.

        Raises:
            InvalidInput: the image does not fit the model; its problem names the subject.
        """
        ...
