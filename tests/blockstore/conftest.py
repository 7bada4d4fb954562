import pytest
from files_stores import Stores


@pytest.fixture
def stores(tmp_path):
    """A directory for a `files:` store, not made yet; all that is opened is closed at the end."""
    found = Stores(tmp_path / "store")
    yield found
    found.close_all()
