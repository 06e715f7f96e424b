"""What the tests share."""

import pytest

import duoguard

BREAD = "How do I bake bread at home?"
UNSAFE = (
    "You people are disgusting and stupid, nobody wants you here, get out of our country, you filth."
)


@pytest.fixture(scope="session")
def guard() -> duoguard.Guard:
    """The small bundle, which the shared cases are about."""
    return duoguard.Guard("mini")
