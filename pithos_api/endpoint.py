"""How an endpoint package hands itself to the application.

Each of `identity`, `object_store`, `pithos` and `image` has a module-level `ENDPOINT`; `app.py`
lists them. Routes take whole paths with the converter `rest`, which matches anything, slashes and
nothing included: `@blueprint.route("/v1<rest:target>", methods=[...])`. The names in a path come
from the raw request target (`pithos_api.paths`), not from the converter: it has been decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response

from pithos_api.faults import Fault


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One dialect of HTTP: its routes, and how it words an error."""

    prefixes: tuple[str, ...]
    """Paths that begin so get their errors rendered here; the longest match wins."""
    blueprint: Blueprint
    render: Callable[[Fault], Response]
