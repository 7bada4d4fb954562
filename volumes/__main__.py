"""`python -m volumes`: a volume server in the foreground."""

from __future__ import annotations

import argparse
import logging
import sys

from archipelago import ArchipelagoError
from blockstore import StoreError
from volumes.nbd.server import TcpAddress
from volumes.nbd.wire import DEFAULT_PORT
from volumes.process import VolumeServerSettings, run_volume_server
from volumes.unix_socket import SocketUnavailable


def main(arguments: list[str]) -> int:
    """Exit status: 0 after an orderly end, 1 when the server cannot start, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m volumes", description=__doc__)
    parser.add_argument("--store", required=True, metavar="URL", help="files:/absolute/directory")
    parser.add_argument("--control", required=True, metavar="PATH", help="control socket")
    parser.add_argument("--socket", metavar="PATH", help="NBD on this Unix socket")
    parser.add_argument("--tcp", metavar="HOST:PORT", type=_parse_address, help="NBD on TCP")
    parser.add_argument("--holder", default="", help="who we are to others")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    settings = VolumeServerSettings(
        store_url=options.store,
        control_socket=options.control,
        unix_socket=options.socket,
        tcp=options.tcp,
        ready_fd=sys.stdout.fileno(),
        holder=options.holder,
    )
    try:
        run_volume_server(settings)
    except (SocketUnavailable, ArchipelagoError, StoreError, OSError) as error:
        sys.stderr.write(f"volumes: {error}\n")
        return 1
    return 0


def _parse_address(text: str) -> TcpAddress:
    host, separator, port = text.rpartition(":")
    if not separator:
        host, port = text, str(DEFAULT_PORT)
    if not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return TcpAddress(host, int(port))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
