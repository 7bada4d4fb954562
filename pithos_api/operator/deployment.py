"""An installation in a data directory, opened piece by piece as a command needs it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType

from sqlalchemy import Engine

from archipelago import Catalog, Maps
from blockstore import Store, open_store
from pithos_api.database.engine import open_engine
from pithos_api.identity.accounts import Identity
from pithos_api.namespace.namespace import Namespace
from pithos_api.operator.configuration import Configuration
from pithos_api.operator.errors import NOT_FOUND, OperatorError
from pithos_api.services import Services
from pithos_api.settings import PasswordCost
from volumes.control import ControlClient, Operations, ServerUnreachable


class Deployment:
    """Opens each part at its first use, and closes them in the reverse order. For one thread."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._opened = ExitStack()

    @cached_property
    def store(self) -> Store:
        """The store, on a read-only medium for reading. OperatorError when nobody has made one."""
        self.require_made()
        superblock = self.configuration.store_folder / "store"
        read_only = superblock.exists() and not os.access(superblock, os.W_OK)
        store = open_store(self.configuration.store_url, read_only=read_only)
        self._opened.callback(store.close)
        return store

    @cached_property
    def catalog(self) -> Catalog:
        """Volumes and snapshots."""
        return Catalog(self.store)

    @cached_property
    def maps(self) -> Maps:
        """For reading objects."""
        return Maps(self.store.blocks, self.store.info.block_size)

    @cached_property
    def operations(self) -> Operations:
        """Volumes and snapshots, also those that the volume server has attached."""
        return Operations(self.catalog, str(self.configuration.control_socket))

    @cached_property
    def engine(self) -> Engine:
        """The API's database."""
        self.require_made()
        engine = open_engine(self.configuration.api_database_url)
        self._opened.callback(engine.dispose)
        return engine

    @cached_property
    def identity(self) -> Identity:
        """Users and projects."""
        return Identity(self.engine, PasswordCost(), self.configuration.token_lifetime_s)

    @cached_property
    def namespace(self) -> Namespace:
        """Accounts, containers, objects."""
        return Namespace(self.engine, self.store, self.maps)

    @cached_property
    def services(self) -> Services:
        """The parts as the API's own functions want them."""
        return Services(
            settings=self.configuration.api_settings(),
            store=self.store,
            maps=self.maps,
            catalog=self.catalog,
            engine=self.engine,
            namespace=self.namespace,
            identity=self.identity,
        )

    def seal(self, name: str) -> None:
        """Turn the frozen layers of a volume or snapshot into blocks, in the volume server if
        there is one: what it has open is its own to rearrange."""
        try:
            with ControlClient(str(self.configuration.control_socket)) as server:
                server.seal(name)
        except ServerUnreachable:
            self.catalog.seal(name)

    def is_made(self) -> bool:
        """Whether `archipelago init` has been here."""
        return self.configuration.store_folder.is_dir()

    def require_made(self) -> None:
        """OperatorError unless there is an installation."""
        if not self.is_made():
            folder = self.configuration.folder
            raise OperatorError(
                f"there is no installation in {folder};"
                f" make one with: archipelago init --data {folder}, or name another with --data",
                NOT_FOUND,
            )

    def close(self) -> None:
        """Release everything that was opened."""
        self._opened.close()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
