"""`kamaki login`, `logout`, `whoami` and `config`."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime

from clients.cli.command import Command, Context, Group, argument
from clients.cli.output import note, print_fields, print_json
from clients.cli.settings import SETTINGS, save_setting
from clients.token_cache import Token


def run_login(context: Context, _args: Namespace) -> None:
    """Get a token and keep it."""
    token = context.session.log_in()
    note(f"logged in as {token.user_name} in project {token.project_name}")


def run_logout(context: Context, _args: Namespace) -> None:
    """Revoke and forget the kept token."""
    context.session.log_out()


def run_whoami(context: Context, _args: Namespace) -> None:
    """Show user, project and services."""
    token = context.session.token()
    fields = {
        "user": token.user_name,
        "project": token.project_name,
        "project_id": token.project_id,
        "token_expires": _time(token),
    }
    if context.json:
        print_json({**fields, "endpoints": token.endpoints})
        return
    services = [(f"service {name}", url) for name, url in sorted(token.endpoints.items())]
    print_fields([*fields.items(), *services])


def _time(token: Token) -> str:
    return datetime.fromtimestamp(token.expires, UTC).isoformat(timespec="seconds")


def run_config_show(context: Context, _args: Namespace) -> None:
    """Show all settings and where each was found."""
    settings = context.settings
    shown = {}
    for setting in SETTINGS:
        value = settings.values[setting.key]
        text = "(hidden)" if setting.secret and value.text else value.text
        shown[setting.key] = {"value": text, "from": value.origin}
    if context.json:
        print_json({"file": str(settings.path), "settings": shown})
        return
    lines = [
        (key, f"{item['value'] or '(not set)'}  [{item['from']}]") for key, item in shown.items()
    ]
    print_fields([("file", str(settings.path)), *lines])


def run_config_set(context: Context, args: Namespace) -> None:
    """Write one setting to the file."""
    save_setting(context.settings.path, args.key, args.value)


_KEYS = "\n".join(
    f"  {s.key.ljust(10)} {', '.join('$' + v for v in s.variables)}: {s.help}" for s in SETTINGS
)

COMMANDS = (
    Command(
        "login",
        "log in once; the token is kept for later commands",
        run_login,
        details="The password is prompted for, or comes from --password-stdin, $KAMAKI_PASSWORD,\n"
        "$OS_PASSWORD or the settings file; never from the command line.",
        examples="  kamaki login --auth-url https://cloud.example/v3 --username alice\n"
        "  kamaki login --password-stdin < secret.txt",
    ),
    Command("logout", "revoke the kept token", run_logout, examples="  kamaki logout"),
    Command(
        "whoami",
        "show user, project, and where the services are",
        run_whoami,
        examples="  kamaki whoami --json",
    ),
)

CONFIG = Group(
    "config",
    "show and change settings",
    (
        Command(
            "show",
            "show all settings and where each was found",
            run_config_show,
            details="From weak to strong: the file, the environment, flags.\n\n" + _KEYS,
            examples="  kamaki config show",
        ),
        Command(
            "set",
            "write one setting to the file",
            run_config_set,
            (
                argument("key", metavar="KEY", choices=[s.key for s in SETTINGS]),
                argument("value", metavar="VALUE"),
            ),
            details="Settings:\n" + _KEYS,
            examples="  kamaki config set auth_url https://cloud.example/v3\n"
            "  kamaki config set username alice",
        ),
    ),
    examples="  kamaki config set auth_url https://cloud.example/v3\n  kamaki config show",
)
