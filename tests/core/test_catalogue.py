"""A catalogue knows its methods by name, in order, and refuses what it cannot show."""

import numpy as np
import pytest

from plausible.core import Catalogue, Classes


@pytest.fixture
def catalogue() -> Catalogue:
    made = Catalogue("voxel measure")

    @made.add(unit="nat", higher_is="worse", source="Shannon 1948", reads=dict, upper=lambda c: np.log(len(c.names)))
    def shannon_entropy(values: dict) -> float:
        """How hard it is to guess.

        More text.
        """
        return len(values)

    @made.add(unit="1", higher_is="neither", source="unpublished", label="p")
    def probability(values: list) -> float:
        """How likely."""
        return sum(values)

    return made


def test_it_keeps_what_a_reader_must_know(catalogue: Catalogue) -> None:
    entropy, probability = catalogue
    assert (entropy.name, entropy.unit, entropy.higher_is) == ("shannon_entropy", "nat", "worse")
    assert (entropy.source, entropy.reads) == ("Shannon 1948", dict)
    assert entropy.summary == "How hard it is to guess."
    assert (entropy.label, probability.label) == ("shannon entropy", "p")
    assert (probability.reads, probability.upper) == (None, None)
    assert entropy.upper(Classes.exclusive_of({"background": 0, "liver": 1})) == np.log(2)
    assert probability.function([1, 2]) == 3


def test_entries_are_found_by_name_in_the_order_they_were_written(catalogue: Catalogue) -> None:
    assert catalogue.names == ("shannon_entropy", "probability")
    assert len(catalogue) == 2
    assert "probability" in catalogue
    assert "entropy" not in catalogue
    assert catalogue["probability"].unit == "1"


def test_an_unknown_name_is_told_what_there_is(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="no voxel measure 'entropy'; there are: shannon_entropy, probability"):
        catalogue["entropy"]


def test_a_name_is_taken_only_once(catalogue: Catalogue) -> None:
    def probability(values: list) -> float:
        """Another one."""
        return 0.0

    with pytest.raises(ValueError, match="voxel measure 'probability' is registered twice"):
        catalogue.add(unit="1", higher_is="worse", source="unpublished")(probability)


def test_a_method_without_a_docstring_is_refused(catalogue: Catalogue) -> None:
    def silent(values: list) -> float:
        return 0.0

    with pytest.raises(ValueError, match="voxel measure 'silent' needs a docstring"):
        catalogue.add(unit="1", higher_is="worse", source="unpublished")(silent)
    assert "silent" not in catalogue


def test_the_decorated_function_stays_itself(catalogue: Catalogue) -> None:
    def area(values: list) -> float:
        """How large."""
        return 4.0

    assert catalogue.add(unit="1", higher_is="neither", source="unpublished")(area) is area
