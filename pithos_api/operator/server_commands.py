"""archipelago serve, api, nbd: the servers."""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from pithos_api.database.migrations import upgrade
from pithos_api.operator.administrator import ensure_administrator
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.configuration import Configuration, child_environment
from pithos_api.operator.errors import CONFLICT, USAGE, OperatorError
from pithos_api.operator.output import note, print_json
from pithos_api.operator.store_commands import make_installation
from pithos_api.operator.supervisor import Service, Supervisor, die_with_parent
from pithos_api.server import run_api_server
from pithos_api.settings import PORT_MAX
from volumes.control import ControlClient, ControlError
from volumes.nbd.server import TcpAddress
from volumes.process import VolumeServerSettings, run_volume_server

LOCK_NAME = "serve.lock"
STATE_NAME = "serve.json"
CONNECT_S = 1.0
ALEMBIC_LOGGER = "alembic"


def volume_server_answers(configuration: Configuration) -> bool:
    """Whether there is one at the control socket; it opens its NBD sockets before that one."""
    try:
        with ControlClient(str(configuration.control_socket)) as server:
            server.ping()
    except ControlError:
        return False
    return True


def _api_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on; default: 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: 5000; 0 = any that is free")
    parser.add_argument("--workers", type=int, help="processes of the API; default: 2")
    parser.add_argument("--threads", type=int, help="of each worker; default: 16")
    parser.add_argument("--public-url", help="root of the URLs told to clients")
    _child_arguments(parser)


def _nbd_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nbd-listen", metavar="HOST:PORT", help="NBD over TCP too; no password")
    _child_arguments(parser)


def _child_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--init", action="store_true", help="make the installation where there is none"
    )
    _api_arguments(parser)
    parser.add_argument("--nbd-listen", metavar="HOST:PORT", help="NBD over TCP too; no password")


def _serve(invocation: Invocation) -> None:
    deployment, configuration = invocation.deployment, invocation.deployment.configuration
    configuration.api_settings()
    _tcp_address(configuration.nbd_listen)
    if invocation.options.init:
        make_installation(deployment)
    deployment.require_made()
    upgrade(configuration.api_database_url)
    configuration.run_folder.mkdir(mode=0o700, exist_ok=True)
    with _only_one(configuration.run_folder / LOCK_NAME):
        port = _free_port(configuration.host, configuration.port)
        url = configuration.public_url or f"http://{_host_text(configuration.host)}:{port}"
        credentials = ensure_administrator(deployment, f"{url}/v3")
        deployment.close()
        supervisor = Supervisor(_services(configuration, port))
        try:
            if supervisor.wait_ready():
                told = partial(_state, configuration, url, credentials, supervisor)
                _write_state(configuration, told())
                _announce(told(), url, as_json=invocation.options.json)
                supervisor.run(lambda: _write_state(configuration, told()))
        finally:
            supervisor.stop()
            (configuration.run_folder / STATE_NAME).unlink(missing_ok=True)
    note("archipelago: stopped")


def _services(configuration: Configuration, port: int) -> list[Service]:
    """The children find all settings in their environment, from wherever we have them."""
    environment = child_environment(replace(configuration, port=port))
    host = configuration.host
    return [
        Service(
            "volume server",
            _child_command("nbd"),
            environment,
            lambda: volume_server_answers(configuration),
        ),
        Service("API", _child_command("api"), environment, lambda: _answers(host, port)),
    ]


def _child_command(name: str) -> list[str]:
    return [sys.executable, "-m", "pithos_api.operator.main", name, "--parent", str(os.getpid())]


def _state(
    configuration: Configuration, url: str, credentials: Path | None, supervisor: Supervisor
) -> dict[str, object]:
    """Where everything is: printed at the start, and kept in a file for other programs."""
    return {
        "pid": os.getpid(),
        "auth_url": f"{url}/v3",
        "swift_auth_url": f"{url}/auth/v1.0",
        "pithos_url": f"{url}/pithos/object-store/v1",
        "image_url": f"{url}/image",
        "nbd_socket": str(configuration.nbd_socket),
        "control_socket": str(configuration.control_socket),
        "credentials": None if credentials is None else str(credentials),
        "pids": supervisor.pids,
    }


def _write_state(configuration: Configuration, state: dict[str, object]) -> None:
    path = configuration.run_folder / STATE_NAME
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(state))
    scratch.replace(path)


def _announce(state: dict[str, object], url: str, *, as_json: bool) -> None:
    if as_json:
        print_json(state)
    else:
        print(f"API        {url}   (Keystone {url}/v3, Swift {url}/auth/v1.0)")
        print(f"NBD        nbd+unix:///VOLUME?socket={state['nbd_socket']}")
        print(f"control    {state['control_socket']}")
        if state["credentials"] is not None:
            print(f"log in     . {state['credentials']}")
        print("Ctrl-C stops")
    sys.stdout.flush()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock of a data directory. OperatorError when another process serves it."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise OperatorError(
                f"process {lock.read().strip() or '?'} serves {path.parent.parent} already;"
                " stop it first, or serve another directory with --data",
                CONFLICT,
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _free_port(host: str, port: int) -> int:
    """The port, or for 0 a free one. OperatorError when it cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"port {port} of {host} is in use; stop what uses it, or choose another: --port",
                CONFLICT,
            ) from error
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((_reachable(host), port), CONNECT_S):
            return True
    except OSError:
        return False


def _reachable(host: str) -> str:
    """An address that stands for all is not one to connect to."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _host_text(host: str) -> str:
    reachable = _reachable(host)
    return f"[{reachable}]" if ":" in reachable else reachable


def _api(invocation: Invocation) -> None:
    if invocation.options.parent is not None:
        die_with_parent(invocation.options.parent)
    configuration = invocation.deployment.configuration
    invocation.deployment.require_made()
    # It tells of each look at a database that is up to date.
    logging.getLogger(ALEMBIC_LOGGER).setLevel(logging.WARNING)
    run_api_server(configuration.api_settings())


def _nbd(invocation: Invocation) -> None:
    if invocation.options.parent is not None:
        die_with_parent(invocation.options.parent)
    invocation.deployment.require_made()
    configuration = invocation.deployment.configuration
    configuration.run_folder.mkdir(mode=0o700, exist_ok=True)
    if volume_server_answers(configuration):
        raise OperatorError(
            f"a volume server answers at {configuration.nbd_socket} already; stop it first",
            CONFLICT,
        )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run_volume_server(
        VolumeServerSettings(
            store_url=configuration.store_url,
            control_socket=str(configuration.control_socket),
            unix_socket=str(configuration.nbd_socket),
            tcp=_tcp_address(configuration.nbd_listen),
            holder=f"the volume server (process {os.getpid()})",
        )
    )


def _tcp_address(text: str) -> TcpAddress | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > PORT_MAX:
        raise OperatorError(f"--nbd-listen is HOST:PORT, not {text!r}", USAGE)
    return TcpAddress(host.strip("[]"), int(port))


COMMANDS = (
    Command(
        ("serve",),
        "run API and volume server, until Ctrl-C or SIGTERM",
        _serve,
        """archipelago serve --init
archipelago serve --data /srv/archipelago --host 0.0.0.0 --port 5000
archipelago serve --json   # one document when everything answers""",
        _serve_arguments,
        """A server that crashes is started again. The first run makes user `admin`, and
DIR/admin.env with his password: `. DIR/admin.env` lets kamaki (or openstack) work as him.""",
    ),
    Command(
        ("api",),
        "run the API alone",
        _api,
        "archipelago api --port 5000",
        _api_arguments,
    ),
    Command(
        ("nbd",),
        "run the volume server alone",
        _nbd,
        "archipelago nbd\narchipelago nbd --nbd-listen 127.0.0.1:10809",
        _nbd_arguments,
    ),
)
