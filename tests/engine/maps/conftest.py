"""A fixture for tests of maps: a model of each family with its eager weights."""

import pytest

from swept import FAMILIES, eager_weights, family_model, random_ids


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    subject = family_model(request.param)
    return subject, eager_weights(subject, random_ids())
