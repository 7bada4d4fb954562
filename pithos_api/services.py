"""What the endpoints work with, opened once in each process and reached from a request."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine

from archipelago import Catalog, Maps
from blockstore import Store
from pithos_api.identity.accounts import Identity
from pithos_api.namespace.namespace import Namespace
from pithos_api.settings import Settings

EXTENSION = "archipelago"
"""Key in Flask's `app.extensions`."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one process; all safe to use from any number of threads."""

    settings: Settings
    store: Store
    maps: Maps
    catalog: Catalog
    engine: Engine
    """For the tables that the namespace does not own (images)."""
    namespace: Namespace
    identity: Identity


def services() -> Services:
    """The services of the application that serves this request."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Services)
    return found
