"""One logged-in HTTP session: Keystone v3 tokens, services by their catalogue type, errors by kind.

Bodies are bytes in memory (a batch of blocks at most), so any request can be sent a second time:
once after a fresh login when a token is no longer accepted, and on a broken connection where the
method allows it.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from clients.errors import (
    ClientError,
    Conflict,
    Denied,
    NotFound,
    Refused,
    ServerFailed,
    Unreachable,
)
from clients.token_cache import Token, TokenCache

CONNECT_TIMEOUT_S = 30.0
"""Also the longest that SEND_SIZE bytes may take to send."""

SEND_SIZE = 2**16
"""Bytes sent at a time: a time-out counts for each such piece, not for the whole of a body."""

EXPIRY_MARGIN_S = 60.0
"""A token this close to its end is not begun with."""
MESSAGE_LENGTH_MAX = 300

_VERSIONS = {"image": "/v2"}
"""Some catalogues tell the root of a service."""

_RETRY = Retry(
    total=2,
    backoff_factor=0.2,
    status_forcelist=(502, 503, 504),
    allowed_methods=("GET", "HEAD", "PUT"),
    respect_retry_after_header=False,
    raise_on_status=False,
)


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own
        super().init_poolmanager(*args, **kwargs, blocksize=SEND_SIZE)


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in, and where. `password` is asked only when there is no valid token."""

    auth_url: str
    user_name: str
    project_name: str
    domain: str
    password: Callable[[], str]

    @property
    def cache_key(self) -> tuple[str, ...]:
        """What a kept token belongs to."""
        return (self.auth_url, self.user_name, self.project_name, self.domain)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a service. `path` begins with "/" and is already percent-encoded."""

    method: str
    service: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    accept: tuple[int, ...] = ()
    """Statuses from 300 on that the caller handles itself."""
    stream: bool = False


class Session:
    """Sends requests as one user, from any number of threads."""

    def __init__(
        self,
        login: Login,
        tokens: TokenCache,
        *,
        timeout_s: float = 120.0,
        ca_file: str | None = None,
    ) -> None:
        self._login = login
        self._tokens = tokens
        self._timeout = (min(CONNECT_TIMEOUT_S, timeout_s), timeout_s)
        self._token = tokens.load(login.cache_key)
        self._login_lock = threading.Lock()
        self._http = requests.Session()
        if ca_file is not None:
            self._http.verify = ca_file
        for scheme in ("http://", "https://"):
            self._http.mount(scheme, _Adapter(max_retries=_RETRY))

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def token(self) -> Token:
        """A token that is valid by its own word; logs in where there is none."""
        with self._login_lock:
            token = self._token
            if token is None or token.expires < time.time() + EXPIRY_MARGIN_S:
                token = self._log_in()
            return token

    def log_in(self) -> Token:
        """Get a new token by password and keep it. Denied; OSError when it cannot be kept."""
        with self._login_lock:
            token = self._log_in()
            self._tokens.save(self._login.cache_key, token)
            return token

    def _log_in(self) -> Token:
        headers = {"Content-Type": "application/json"}
        url = _tokens_url(self._login.auth_url)
        response = self._exchange("POST", url, headers, _auth(self._login))
        if response.status_code == requests.codes.unauthorized:
            raise Denied("wrong user name, password or project")
        _raise_for_status(response, (), url)
        self._token = _read_token(response)
        with contextlib.suppress(OSError):  # the next command will log in again
            self._tokens.save(self._login.cache_key, self._token)
        return self._token

    def log_out(self) -> None:
        """Revoke the kept token, and forget it."""
        with self._login_lock:
            token, self._token = self._token, None
        self._tokens.forget(self._login.cache_key)
        if token is not None and token.expires > time.time():
            headers = {"X-Auth-Token": token.value, "X-Subject-Token": token.value}
            self._exchange("DELETE", _tokens_url(self._login.auth_url), headers)

    def send(self, request: Request) -> requests.Response:
        """The answer, below 300 or accepted by the caller; any other is raised as a ClientError."""
        token = self.token()
        response = self._send_once(request, token)
        if response.status_code == requests.codes.unauthorized:
            response.close()
            response = self._send_once(request, self._renewed(token))
        _raise_for_status(response, request.accept, unquote(request.path).strip("/"))
        return response

    def _renewed(self, refused: Token) -> Token:
        """Another token than the refused one; threads that were refused together log in once."""
        with self._login_lock:
            token = self._token
            return self._log_in() if token is None or token == refused else token

    def _send_once(self, request: Request, token: Token) -> requests.Response:
        query = "?" + urlencode(request.query, quote_via=quote) if request.query else ""
        url = service_url(token, request.service) + request.path + query
        headers = {"X-Auth-Token": token.value, **request.headers}
        return self._exchange(request.method, url, headers, request.body, stream=request.stream)

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        stream: bool = False,
    ) -> requests.Response:
        try:
            data = io.BytesIO(body) if body else b""
            prepared = self._http.prepare_request(
                requests.Request(method, url, headers=dict(headers), data=data)
            )
            prepared.url = url  # as it is: an object's name may contain what looks like "/../"
            proxies = self._http.merge_environment_settings(
                url, {}, stream, self._http.verify, None
            )
            return self._http.send(
                prepared, timeout=self._timeout, allow_redirects=False, **proxies
            )
        except requests.RequestException as error:
            raise _unreachable(url, error) from error


def stream_body(response: requests.Response, chunk_size: int) -> Iterator[bytes]:
    """The body in chunks, as it arrives. Unreachable when it breaks off before its end."""
    try:
        yield from response.iter_content(chunk_size)
    except requests.RequestException as error:
        raise _unreachable(response.url, error) from error
    finally:
        response.close()


def json_body(response: requests.Response) -> Any:  # noqa: ANN401 - JSON has no type
    """The body as JSON; ServerFailed when it is none."""
    try:
        return response.json()
    except ValueError as error:
        raise ServerFailed(f"{_host(response.url)} answered something that is not JSON") from error


def service_url(token: Token, service: str) -> str:
    """The URL of a service of this project, without a slash at its end."""
    url = token.endpoints.get(service)
    if url is None:
        raise NotFound(f"the server's catalogue has no service of type {service!r}")
    url, version = url.rstrip("/"), _VERSIONS.get(service, "")
    return url if url.endswith(version) else url + version


def _tokens_url(auth_url: str) -> str:
    url = auth_url.rstrip("/")
    return (url if url.endswith("/v3") else url + "/v3") + "/auth/tokens"


def _auth(login: Login) -> bytes:
    domain = {"name": login.domain}
    user = {"name": login.user_name, "password": login.password(), "domain": domain}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if login.project_name:
        auth["scope"] = {"project": {"name": login.project_name, "domain": domain}}
    return json.dumps({"auth": auth}).encode()


def _read_token(response: requests.Response) -> Token:
    found = json_body(response)
    try:
        token = found["token"]
        if "project" not in token:
            raise Denied("the user has no project of its own: name one (--project)")
        endpoints = {
            entry["type"]: endpoint["url"]
            for entry in token["catalog"]
            for endpoint in entry["endpoints"]
            if endpoint["interface"] == "public"
        }
        return Token(
            value=response.headers["X-Subject-Token"],
            expires=datetime.fromisoformat(token["expires_at"]).timestamp(),
            user_name=token["user"]["name"],
            project_id=token["project"]["id"],
            project_name=token["project"]["name"],
            endpoints=endpoints,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ServerFailed(
            f"{_host(response.url)} answered a login without what a token needs ({error!r})"
        ) from error


def _raise_for_status(response: requests.Response, accept: tuple[int, ...], what: str) -> None:
    status = response.status_code
    if status < requests.codes.multiple_choices or status in accept:
        return
    error = _error(status, _message(response, what))
    response.close()
    raise error


def _error(status: int, message: str) -> ClientError:
    kinds: dict[int, type[ClientError]] = {
        401: Denied,
        403: Denied,
        404: NotFound,
        409: Conflict,
        412: Conflict,
    }
    kind = kinds.get(status)
    if kind is not None:
        return kind(message)
    if status >= requests.codes.server_error:
        return ServerFailed(f"the server failed: {message} ({status})")
    return Refused(f"{message} ({status})", status)


def _message(response: requests.Response, what: str) -> str:
    """What the server said in an error's body, or the status' own phrase; one short line."""
    try:
        found = response.json()
    except (requests.RequestException, ValueError):
        found = None
    faults = list(found.values()) if isinstance(found, dict) else []
    message = faults[0].get("message") if faults and isinstance(faults[0], dict) else None
    if not isinstance(message, str) or not message:
        message = f"{(response.reason or 'error').lower()}: {what}"
    return " ".join(message.split())[:MESSAGE_LENGTH_MAX]


def _unreachable(url: str, error: requests.RequestException) -> ClientError:
    host = _host(url)
    if isinstance(error, requests.exceptions.SSLError):
        return Unreachable(f"{host} has no certificate that is trusted here: {error}")
    if isinstance(error, requests.exceptions.Timeout):
        return Unreachable(f"{host} did not answer in time")
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.ConnectionError):
        return Unreachable(f"the connection to {host} failed ({type(error).__name__})")
    return Unreachable(f"cannot ask {host or url}: {error}")


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return url
