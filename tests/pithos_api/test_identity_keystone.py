"""Keystone v3 as the ordinary clients use it, over Flask's test client."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pithos_api.app import close_app, create_app
from pithos_api.services import EXTENSION, Services

ALICE = "alice's secret"
BOB = "bob's secret"
ROOT = "root's secret"


@pytest.fixture
def client(api_app: Flask) -> FlaskClient:
    return api_app.test_client()


def password_body(user: dict[str, Any], scope: object = None) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


def alice(**fields: object) -> dict[str, Any]:
    return {"name": "alice", "password": ALICE, "domain": {"name": "Default"}, **fields}


def log_in(client: FlaskClient, name: str = "alice", password: str = ALICE) -> str:
    user = {"name": name, "password": password, "domain": {"id": "default"}}
    answer = client.post("/v3/auth/tokens", json=password_body(user))
    assert answer.status_code == 201, answer.text
    return str(answer.headers["X-Subject-Token"])


def get(client: FlaskClient, path: str, token: str, subject: str = "") -> TestResponse:
    headers = {"X-Auth-Token": token}
    if subject:
        headers["X-Subject-Token"] = subject
    return client.get(path, headers=headers)


def is_error(answer: TestResponse, status: int) -> bool:
    error = answer.json["error"]
    return answer.status_code == status == error["code"] and {"message", "title"} <= error.keys()


def test_version_documents(client: FlaskClient) -> None:
    root = client.get("/")
    assert root.status_code == 300
    version = client.get("/v3")
    assert version.status_code == client.get("/v3/").status_code == 200
    assert root.json["versions"]["values"] == [version.json["version"]]
    assert version.json["version"]["status"] == "stable"
    assert version.json["version"]["id"].startswith("v3.")
    assert version.json["version"]["links"] == [{"rel": "self", "href": "http://localhost/v3/"}]


def test_a_token_scoped_by_name(client: FlaskClient, api_services: Services) -> None:
    scope = {"project": {"name": "alice", "domain": {"name": "Default"}}}
    answer = client.post("/v3/auth/tokens", json=password_body(alice(), scope))
    assert answer.status_code == 201
    token = answer.json["token"]
    project = api_services.identity.project("alice")
    assert token["project"]["id"] == project.id
    assert token["user"]["name"] == "alice"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert [role["name"] for role in token["roles"]] == ["member"]
    assert token["methods"] == ["password"]
    expires = datetime.fromisoformat(token["expires_at"])
    assert expires > datetime.fromisoformat(token["issued_at"])
    found = {entry["type"]: entry["endpoints"] for entry in token["catalog"]}
    urls = {kind: {e["interface"]: e["url"] for e in ends} for kind, ends in found.items()}
    assert urls["object-store"]["public"] == f"http://localhost/v1/AUTH_{project.id}"
    assert urls["image"]["public"] == "http://localhost/image/v2"
    assert urls["identity"]["public"] == "http://localhost/v3"
    pithos = f"http://localhost/pithos/object-store/v1/{project.id}"
    assert urls["pithos"]["public"] == pithos
    assert found["image"][0]["region"] == found["image"][0]["region_id"] == "RegionOne"


def test_urls_are_those_that_were_set(api_services: Services, tmp_path: Path) -> None:
    settings = replace(
        api_services.settings,
        public_url="https://cloud.example/storage",
        region="north",
        database_url=f"sqlite:///{tmp_path}/other",
    )
    app = create_app(settings)
    app.extensions[EXTENSION].identity.create_user("alice", ALICE)
    answer = app.test_client().post("/v3/auth/tokens", json=password_body(alice()))
    for entry in answer.json["token"]["catalog"]:
        for endpoint in entry["endpoints"]:
            assert endpoint["url"].startswith("https://cloud.example/storage/")
            assert endpoint["region"] == "north"
    close_app(app)


def test_other_ways_to_name_user_and_project(client: FlaskClient, api_services: Services) -> None:
    user = api_services.identity.user("alice")
    by_id = password_body(
        {"id": user.id, "password": ALICE}, {"project": {"id": user.default_project}}
    )
    for body in (by_id, password_body(alice()), password_body(alice(), "unscoped")):
        answer = client.post("/v3/auth/tokens", json=body)
        assert answer.json["token"]["project"]["id"] == user.default_project


def test_a_token_for_a_token(client: FlaskClient, api_services: Services) -> None:
    identity = api_services.identity
    identity.create_project("lab")
    identity.assign("alice", "lab")
    first = log_in(client)
    body = {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": first}},
            "scope": {"project": {"name": "lab", "domain": {"id": "default"}}},
        }
    }
    answer = client.post("/v3/auth/tokens", json=body)
    assert answer.status_code == 201
    assert answer.json["token"]["project"]["name"] == "lab"
    assert answer.json["token"]["methods"] == ["token"]
    assert answer.headers["X-Subject-Token"] != first


@pytest.mark.parametrize(
    "body",
    [
        password_body(alice(password="wrong")),
        password_body(alice(name="nobody")),
        password_body(alice(domain={"name": "Other"})),
        password_body(alice(domain={"id": "other"})),
        password_body(alice(), {"project": {"name": "bob", "domain": {"id": "default"}}}),
        password_body(alice(), {"domain": {"id": "default"}}),
        {"auth": {"identity": {"methods": ["totp"], "totp": {}}}},
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}},
    ],
)
def test_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    answer = client.post("/v3/auth/tokens", json=body)
    assert is_error(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert "X-Subject-Token" not in answer.headers


def test_unknown_user_and_wrong_password_look_the_same(client: FlaskClient) -> None:
    wrong = client.post("/v3/auth/tokens", json=password_body(alice(password="wrong")))
    nobody = client.post("/v3/auth/tokens", json=password_body(alice(name="nobody")))
    assert wrong.json == nobody.json


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b"1",
        b'{"auth": 1}',
        b'{"auth": {"identity": []}}',
        b'{"auth": {"identity": {"methods": "password"}}}',
        b'{"auth": {"identity": {"methods": ["password"]}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": 1}}}}}',
        b'{"auth": {"scope": 5, "identity": {"methods": ["token"], "token": {"id": "x"}}}}',
        b"[" * 30_000,
        b"\xff\xfe",
    ],
)
def test_bad_bodies(client: FlaskClient, data: bytes) -> None:
    assert is_error(client.post("/v3/auth/tokens", data=data), 400)


def test_a_large_body_is_not_read(client: FlaskClient) -> None:
    assert is_error(client.post("/v3/auth/tokens", data=b" " * 70_000), 413)


def test_validation(client: FlaskClient) -> None:
    token, other, admin = log_in(client), log_in(client, "bob", BOB), log_in(client, "root", ROOT)
    answer = get(client, "/v3/auth/tokens", token, token)
    assert answer.status_code == 200
    assert answer.json["token"]["user"]["name"] == "alice"
    assert answer.headers["X-Subject-Token"] == token
    assert get(client, "/v3/auth/tokens", admin, token).status_code == 200
    assert is_error(get(client, "/v3/auth/tokens", other, token), 403)
    assert is_error(get(client, "/v3/auth/tokens", token, "nothing"), 404)
    assert is_error(get(client, "/v3/auth/tokens", token), 400)
    assert is_error(get(client, "/v3/auth/tokens", "nothing", token), 401)
    assert "catalog" not in get(client, "/v3/auth/tokens?nocatalog", token, token).json["token"]
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    head = client.head("/v3/auth/tokens", headers=headers)
    assert (head.status_code, head.data) == (200, b"")


def test_revocation(client: FlaskClient) -> None:
    token = log_in(client)
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    assert client.delete("/v3/auth/tokens", headers=headers).status_code == 204
    assert is_error(client.delete("/v3/auth/tokens", headers=headers), 401)
    assert is_error(get(client, "/v3/auth/projects", token), 401)


def test_catalogue(client: FlaskClient) -> None:
    answer = get(client, "/v3/auth/catalog", log_in(client))
    types = {entry["type"] for entry in answer.json["catalog"]}
    assert types == {"identity", "object-store", "image", "pithos"}
    assert is_error(client.get("/v3/auth/catalog"), 401)


def test_projects(client: FlaskClient, api_services: Services) -> None:
    token, admin = log_in(client), log_in(client, "root", ROOT)
    own = api_services.identity.project("alice")
    other = api_services.identity.project("bob")

    def listed(path: str, who: str) -> list[str]:
        return [project["name"] for project in get(client, path, who).json["projects"]]

    assert listed("/v3/auth/projects", token) == ["alice"]
    assert listed("/v3/projects", token) == ["alice"]
    assert listed("/v3/projects?name=bob", token) == []
    assert listed("/v3/projects", admin) == ["alice", "bob", "root"]
    assert listed("/v3/projects?name=bob", admin) == ["bob"]
    assert get(client, f"/v3/projects/{own.id}", token).json["project"]["name"] == "alice"
    assert is_error(get(client, "/v3/projects/alice", token), 404)
    assert is_error(get(client, f"/v3/projects/{other.id}", token), 404)


def test_users_and_domains(client: FlaskClient, api_services: Services) -> None:
    token = log_in(client)
    user, other = api_services.identity.user("alice"), api_services.identity.user("bob")
    assert [u["id"] for u in get(client, "/v3/users", token).json["users"]] == [user.id]
    assert get(client, f"/v3/users/{user.id}", token).json["user"]["name"] == "alice"
    assert is_error(get(client, f"/v3/users/{other.id}", token), 404)
    mine = get(client, f"/v3/users/{user.id}/projects", token).json["projects"]
    assert [project["name"] for project in mine] == ["alice"]
    assert is_error(get(client, f"/v3/users/{other.id}/projects", token), 403)
    assert get(client, "/v3/domains/default", token).json["domain"]["name"] == "Default"
    assert is_error(get(client, "/v3/domains/other", token), 404)
    assert len(get(client, "/v3/domains", token).json["domains"]) == 1


def test_what_there_is_not(client: FlaskClient) -> None:
    assert is_error(client.get("/v3/nothing"), 404)
    assert is_error(client.get("/nothing"), 404)
    assert is_error(client.put("/v3/auth/tokens"), 405)
