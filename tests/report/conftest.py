"""Pages made once for all tests."""

import pytest

from plausible.report import case_page, cohort_page
from tests.report.examples import Example, cohort, drawn


def page_of(one: Example, **settings: object) -> str:
    given = {"image": one.image, "reference": one.reference, **settings}
    return case_page(one.report, probability=one.probability, segmentation=one.segmentation, maps=one.maps, **given)


@pytest.fixture(scope="session")
def case_example() -> Example:
    return drawn()


@pytest.fixture(scope="session")
def case_html(case_example: Example) -> str:
    return page_of(case_example)


@pytest.fixture(scope="session")
def cohort_html() -> str:
    return cohort_page(cohort(12))
