"""The service catalogue: which endpoint is where, for one project."""

from __future__ import annotations

import uuid
from typing import Any

from flask import request

from pithos_api.identity.records import Principal
from pithos_api.services import services

INTERFACES = ("public", "internal", "admin")

_NAMES = uuid.UUID("d7b0a0a4-5f0e-4a8c-9d2e-1f2f0c5f7a11")
"""Namespace of the ids of services and endpoints, which have to be constant, no more."""


def public_url() -> str:
    """The root of our URLs: as set, or as the client called us."""
    return services().settings.public_url or request.host_url.rstrip("/")


def storage_url(project_id: str) -> str:
    """Where the Swift endpoint has the project's account."""
    return f"{public_url()}/v1/AUTH_{project_id}"


def catalogue(principal: Principal) -> list[dict[str, Any]]:
    """Keystone's form. Without a project there is only the identity service."""
    root = public_url()
    entries = [("identity", "keystone", f"{root}/v3")]
    if principal.project_id is not None:
        entries += [
            ("object-store", "swift", storage_url(principal.project_id)),
            ("image", "glance", f"{root}/image/v2"),
            ("pithos", "pithos", f"{root}/pithos/object-store/v1/{principal.project_id}"),
        ]
    return [_service(kind, name, url) for kind, name, url in entries]


def stable_id(text: str) -> str:
    """32 hex digits that stand for a text."""
    return uuid.uuid5(_NAMES, text).hex


def _service(kind: str, name: str, url: str) -> dict[str, Any]:
    region = services().settings.region
    endpoints = [
        {
            "id": stable_id(f"{kind}/{interface}"),
            "interface": interface,
            "region": region,
            "region_id": region,
            "url": url,
        }
        for interface in INTERFACES
    ]
    return {"id": stable_id(kind), "type": kind, "name": name, "endpoints": endpoints}
