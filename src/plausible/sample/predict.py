"""Members of one image: each network's own probabilities, on the image's own grid.

A member is the softmax (or the sigmoids) of one network. Nothing is averaged over members, neither probabilities nor
logits: their disagreement is what everything later reads.
"""

from collections.abc import Iterator

from plausible.core import Image, InvalidInput, Member, Problem
from plausible.sample.model import TrainedModel
from plausible.train.preprocess import prepare_image, restore


def predict_members(
    model: TrainedModel, image: Image, *, subject: str = "", overlap: float = 0.5, batch: int = 4
) -> Iterator[Member]:
    """Yield the members of one image, one in memory at a time; the image is prepared once.

    Args:
        model: a trained model.
        image: all channels, in the order and units the model was trained with.
        subject: name of the case, for messages.
        overlap: share by which neighbouring windows overlap, from 0 up to but without 1.
        batch: windows computed at once; the result does not depend on it but for rounding.

    Raises:
        InvalidInput: E109, another number of channels than the model was trained with.
    """
    chosen = range(len(model.networks))
    return predict_some(model, image, chosen, subject=subject, overlap=overlap, batch=batch)


def predict_some(
    model: TrainedModel, image: Image, chosen: "range | list[int]", *, subject: str, overlap: float, batch: int
) -> Iterator[Member]:
    """Yield only the members of these numbers."""
    from plausible.train.infer import window_probabilities

    if not 0 <= overlap < 1 or batch < 1:
        raise ValueError(f"overlap must lie in [0, 1) and batch be at least 1, got {overlap} and {batch}")
    info = model.info
    _check_channels(model, image, subject)
    prepared = prepare_image(image, info.plan)
    for m in chosen:
        probabilities = window_probabilities(
            model.networks[m],
            prepared,
            info.plan,
            exclusive=info.classes.exclusive,
            device=model.device,
            precision=model.precision,
            overlap=overlap,
            batch=batch,
        )
        values = restore(probabilities, image.geometry, exclusive=info.classes.exclusive)
        yield Member(values, image.geometry, info.classes, info.members[m].info)


def _check_channels(model: TrainedModel, image: Image, subject: str) -> None:
    wanted = model.info.channels
    if image.values.shape[0] != len(wanted):
        raise InvalidInput(
            Problem(
                code="E109",
                subject=subject,
                found=f"{image.values.shape[0]} channels: {', '.join(image.channels)}",
                expected=f"{len(wanted)} as in training: {', '.join(wanted)}",
                fix=f"give all channels, e.g. {subject or 'CASE'}_0000.nii.gz to _{len(wanted) - 1:04d}.nii.gz",
            )
        )
