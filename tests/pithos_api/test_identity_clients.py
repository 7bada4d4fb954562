"""Other people's clients against the real server: Keystone sessions and swiftclient."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from api_server import PASSWORDS, ApiServer
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3
from keystoneclient.v3.client import Client
from swiftclient.client import Connection
from swiftclient.exceptions import ClientException

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def alice(server: ApiServer, **changes: object) -> v3.Password:
    fields = {
        "auth_url": f"{server.url}/v3",
        "username": "alice",
        "password": PASSWORDS["alice"],
        "project_name": "alice",
        "user_domain_name": "Default",
        "project_domain_id": "default",
    }
    return v3.Password(**{**fields, **changes})


def test_keystone_session(api_server: ApiServer, http: requests.Session) -> None:
    keystone = session.Session(auth=alice(api_server), session=http)
    project = keystone.get_project_id()
    assert keystone.get_endpoint(service_type="object-store", interface="public") == (
        f"{api_server.url}/v1/AUTH_{project}"
    )
    assert keystone.get_endpoint(service_type="image") == f"{api_server.url}/image/v2"
    access = keystone.auth.get_access(keystone)
    assert access.role_names == ["member"]
    assert not access.will_expire_soon()


def test_keystone_client(api_server: ApiServer, http: requests.Session) -> None:
    client = Client(session=session.Session(auth=alice(api_server), session=http))
    assert [project.name for project in client.projects.list()] == ["alice"]
    assert [project.name for project in client.auth.projects()] == ["alice"]
    assert client.domains.get("default").name == "Default"
    token = client.session.get_token()
    assert client.tokens.validate(token).username == "alice"
    client.tokens.revoke_token(token)
    answer = http.get(f"{api_server.url}/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401


def test_a_token_for_a_token(api_server: ApiServer, http: requests.Session) -> None:
    first = session.Session(auth=alice(api_server), session=http)
    again = v3.Token(
        f"{api_server.url}/v3",
        first.get_token(),
        project_name="alice",
        project_domain_name="Default",
    )
    assert session.Session(auth=again, session=http).get_project_id() == first.get_project_id()


def test_a_wrong_password(api_server: ApiServer, http: requests.Session) -> None:
    wrong = session.Session(auth=alice(api_server, password="wrong"), session=http)
    with pytest.raises(exceptions.http.Unauthorized):
        wrong.get_token()


@pytest.mark.parametrize("version", ["1", "3"])
def test_swiftclient(api_server: ApiServer, version: str) -> None:
    path = {"1": "/auth/v1.0", "3": "/v3"}[version]
    options = {"user_domain_name": "Default", "project_domain_name": "Default"}
    connection = Connection(
        authurl=api_server.url + path,
        user="alice",
        key=PASSWORDS["alice"],
        tenant_name="alice",
        auth_version=version,
        os_options=options if version == "3" else None,
        retries=0,
    )
    container = f"client-{version}"
    connection.put_container(container)
    etag = connection.put_object(container, "o", contents=b"hello", content_type="text/x")
    headers, body = connection.get_object(container, "o")
    assert (body, headers["etag"]) == (b"hello", etag)
    _, listed = connection.get_container(container)
    assert [entry["name"] for entry in listed] == ["o"]
    connection.delete_object(container, "o")
    with pytest.raises(ClientException):
        connection.get_object(container, "o")
    connection.close()
