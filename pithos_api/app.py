"""The application: services opened, endpoints mounted, errors answered in each one's dialect."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from flask import Flask, Response, request
from werkzeug.routing import BaseConverter

from archipelago import Catalog, Maps
from blockstore import open_store
from pithos_api.database.engine import open_engine
from pithos_api.database.migrations import upgrade
from pithos_api.endpoint import Endpoint
from pithos_api.faults import INTERNAL_STATUS, Fault, fault_of
from pithos_api.identity import keystone, swift_v1
from pithos_api.identity.accounts import Identity
from pithos_api.image import views as image
from pithos_api.namespace.namespace import Namespace
from pithos_api.object_store import views as object_store
from pithos_api.paths import raw_path
from pithos_api.pithos import views as pithos
from pithos_api.services import EXTENSION, Services
from pithos_api.settings import Settings
from pithos_api.trace import TRANS_ID, Traced

ENDPOINTS: tuple[Endpoint, ...] = (
    keystone.ENDPOINT,
    swift_v1.ENDPOINT,
    object_store.ENDPOINT,
    pithos.ENDPOINT,
    image.ENDPOINT,
)

_errors = logging.getLogger("pithos_api.errors")


class RestConverter(BaseConverter):
    """`<rest:name>`: all that is left of a path, slashes, newlines and nothing included."""

    part_isolating = False
    regex = r"[\s\S]*"
    weight = 300


def create_app(settings: Settings, endpoints: Sequence[Endpoint] = ENDPOINTS) -> Flask:
    """An application over its own connections: call it in the process that will serve.

    The database is brought to the newest revision. StoreError or DatabaseUnusable where either
    cannot be opened.
    """
    app = Flask("pithos_api", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["rest"] = RestConverter
    app.extensions[EXTENSION] = open_services(settings)
    for endpoint in endpoints:
        app.register_blueprint(endpoint.blueprint)
    app.register_error_handler(Exception, _error_handler(endpoints))
    app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]
    return app


def open_services(settings: Settings) -> Services:
    """Open the store and the database, and put the parts together."""
    upgrade(settings.database_url)
    engine = open_engine(settings.database_url)
    store = open_store(settings.store_url)
    maps = Maps(store.blocks, store.info.block_size)
    return Services(
        settings=settings,
        store=store,
        maps=maps,
        catalog=Catalog(store),
        engine=engine,
        namespace=Namespace(engine, store, maps),
        identity=Identity(engine, settings.password_cost, settings.token_lifetime_s),
    )


def close_app(app: Flask) -> None:
    """Close what `create_app` opened; no request is served any more."""
    services = app.extensions[EXTENSION]
    services.store.close()
    services.engine.dispose()


def _error_handler(endpoints: Sequence[Endpoint]) -> Callable[[Exception], Response]:
    def answer(error: Exception) -> Response:
        fault = fault_of(error)
        if fault.status >= INTERNAL_STATUS:
            trans_id = request.environ[TRANS_ID]
            _errors.error("%s %s", fault.status, trans_id, exc_info=error)
        return _render_of(endpoints, raw_path())(fault)

    return answer


def _render_of(endpoints: Sequence[Endpoint], path: str) -> Callable[[Fault], Response]:
    """The dialect of the longest prefix that the path lies under."""
    found = [
        (len(prefix), endpoint.render)
        for endpoint in endpoints
        for prefix in endpoint.prefixes
        if path == prefix or path.startswith(prefix.rstrip("/") + "/")
    ]
    return max(found, key=lambda match: match[0], default=(0, keystone.render))[1]
