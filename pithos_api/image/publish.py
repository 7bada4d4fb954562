"""A snapshot as an object: from a volume to what can be downloaded, with no byte copied."""

from __future__ import annotations

from pithos_api.namespace.hashmap import merkle_hash
from pithos_api.namespace.records import SNAPSHOT, NewObject, ObjectInfo
from pithos_api.pithos.hashmap_read import map_ids
from pithos_api.services import Services

CONTAINER = "snapshots"
CONTENT_TYPE = "application/octet-stream"


def publish_snapshot(
    services: Services,
    snapshot: str,
    account: str,
    container: str = CONTAINER,
    name: str | None = None,
) -> ObjectInfo:
    """Put the content of "VOLUME@NAME" under a name in an account; the container is made.

    The snapshot is sealed first if it is not yet. Without a name the object is called as the
    snapshot. Errors of the catalogue (VolumeNotFound, ...) and of the namespace (NoSuchAccount,
    NameInvalid).
    """
    root, size = services.catalog.sealed_root(snapshot)
    namespace, store = services.namespace, services.store
    namespace.account(account)
    ids = map_ids(services.maps, root, -(-size // store.info.block_size))
    merkle = merkle_hash(ids, store.info.hash_name).hex()
    namespace.put_container(account, container, {}, {})
    # Whoever is given the content may name its blocks.
    namespace.record_map(account, root)
    return namespace.put_object(
        account,
        container,
        name or snapshot,
        NewObject(
            size=size,
            root=root,
            merkle_hash=merkle,
            md5=None,
            content_type=CONTENT_TYPE,
            kind=SNAPSHOT,
        ),
    )
