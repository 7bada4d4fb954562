"""Swift's v1 log-in, over Flask's test client."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from pithos_api.services import Services

ALICE = "alice's secret"


@pytest.fixture
def client(api_app: Flask) -> FlaskClient:
    return api_app.test_client()


@pytest.mark.parametrize("path", ["/auth/v1.0", "/auth/v1.0/", "/auth/v1", "/v1.0"])
@pytest.mark.parametrize("user", ["alice", "alice:alice"])
def test_log_in(client: FlaskClient, api_services: Services, path: str, user: str) -> None:
    answer = client.get(path, headers={"X-Auth-User": user, "X-Auth-Key": ALICE})
    assert answer.status_code == 200
    principal = api_services.identity.check(answer.headers["X-Auth-Token"])
    assert principal.user_name == "alice"
    assert answer.headers["X-Storage-Token"] == answer.headers["X-Auth-Token"]
    assert answer.headers["X-Storage-Url"] == f"http://localhost/v1/AUTH_{principal.project_id}"
    assert 86_000 < int(answer.headers["X-Auth-Token-Expires"]) <= 86_400


def test_the_older_header_names(client: FlaskClient) -> None:
    headers = {"X-Storage-User": "alice", "X-Storage-Pass": ALICE}
    assert client.get("/auth/v1.0", headers=headers).status_code == 200


def test_a_user_in_another_project(client: FlaskClient, api_services: Services) -> None:
    api_services.identity.create_project("lab")
    api_services.identity.assign("alice", "lab")
    headers = {"X-Auth-User": "lab:alice", "X-Auth-Key": ALICE}
    answer = client.get("/auth/v1.0", headers=headers)
    lab = api_services.identity.project("lab")
    assert answer.headers["X-Storage-Url"].endswith(f"AUTH_{lab.id}")


def test_names_in_utf8(client: FlaskClient, api_services: Services) -> None:
    api_services.identity.create_user("\u00e9lise", "cl\u00e9")
    user, key = (text.encode().decode("latin-1") for text in ("\u00e9lise", "cl\u00e9"))
    answer = client.get("/auth/v1.0", headers={"X-Auth-User": user, "X-Auth-Key": key})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Auth-User": "alice"},
        {"X-Auth-Key": ALICE},
        {"X-Auth-User": "alice", "X-Auth-Key": "wrong"},
        {"X-Auth-User": "bob:alice", "X-Auth-Key": ALICE},
        {"X-Auth-User": "nobody", "X-Auth-Key": ALICE},
        {"X-Auth-User": "al\xff", "X-Auth-Key": ALICE},
        {"X-Auth-User": ":", "X-Auth-Key": ALICE},
    ],
)
def test_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get("/auth/v1.0", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Swift realm=")
    assert "X-Auth-Token" not in answer.headers


def test_a_user_without_a_project(client: FlaskClient, api_services: Services) -> None:
    api_services.identity.delete_project("alice")
    headers = {"X-Auth-User": "alice", "X-Auth-Key": ALICE}
    assert client.get("/auth/v1.0", headers=headers).status_code == 401
