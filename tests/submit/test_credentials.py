"""Which credentials are used, and that they stay hidden."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import UsageError
from qakit.submit import settings
from qakit.submit.credentials import Credentials, Redactor, find_credentials
from qakit.submit.settings import ledger_folder, settings_from

KEY = "0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".kaggle").mkdir()
    return tmp_path


def look(home: Path, **variables: str) -> Credentials:
    return find_credentials({"HOME": str(home), **variables})


def kaggle_json(home: Path, content: object, mode: int = 0o600) -> Path:
    path = home / ".kaggle" / "kaggle.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def test_none(home: Path) -> None:
    found = look(home)
    assert (found.used, found.problems, found.source) == (None, (), "nowhere")


def test_a_key_file(home: Path) -> None:
    path = kaggle_json(home, {"username": "ada", "key": KEY})
    found = look(home)
    assert found.used is not None
    assert (found.used.way, found.used.source, found.used.user, found.problems) == ("key", str(path), "ada", ())


def test_variables_override_the_file(home: Path) -> None:
    kaggle_json(home, {"username": "ada", "key": KEY})
    found = look(home, KAGGLE_USERNAME="eve", KAGGLE_KEY="fedcba9876543210")
    assert found.used is not None
    assert (found.used.source, found.used.user) == ("KAGGLE_USERNAME and KAGGLE_KEY", "eve")


def test_half_of_the_variables_is_filled_from_the_file(home: Path) -> None:
    path = kaggle_json(home, {"username": "ada", "key": KEY})
    found = look(home, KAGGLE_KEY="fedcba9876543210")
    assert found.used is not None
    assert (found.used.source, found.used.user) == (f"KAGGLE_KEY and {path}", "ada")
    assert found.problems == ("KAGGLE_KEY is set and KAGGLE_USERNAME is not",)


def test_a_token_comes_first_and_that_is_told(home: Path) -> None:
    path = kaggle_json(home, {"username": "ada", "key": KEY})
    found = look(home, KAGGLE_API_TOKEN="KGAT_token")
    assert found.source == "KAGGLE_API_TOKEN"
    assert found.problems == (f"KAGGLE_API_TOKEN is used and overrides {path}, even if it is wrong",)


def test_a_token_variable_may_name_a_file(home: Path) -> None:
    (home / "token").write_text("KGAT_in_a_file\n")
    found = look(home, KAGGLE_API_TOKEN=str(home / "token"))
    assert found.redactor()("x KGAT_in_a_file") == "x ***"


@pytest.mark.parametrize("name", ["access_token", "access_token.txt"])
def test_a_token_file(home: Path, name: str) -> None:
    (home / ".kaggle" / name).write_text("KGAT_in_a_file\n")
    assert look(home).source.endswith(name)


def test_a_log_in(home: Path) -> None:
    (home / ".kaggle" / "credentials.json").write_text(json.dumps({"refresh_token": "refreshing", "username": "ada"}))
    found = look(home).used
    assert found is not None
    assert (found.way, found.user) == ("login", "ada")


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        (
            "utf-8-sig",
            "begins with a byte order mark, which the Kaggle client cannot read: save it as UTF-8 without one",
        ),
        ("utf-16", "is UTF-16 text, which the Kaggle client cannot read: save it as UTF-8"),
        ("utf-16-be", "is UTF-16 text, which the Kaggle client cannot read: save it as UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["kaggle.json", "access_token", "credentials.json"])
def test_a_file_that_an_editor_saved_in_its_own_way(name: str, encoding: str, says: str, home: Path) -> None:
    text = json.dumps({"username": "ada", "key": KEY, "refresh_token": KEY}) if "json" in name else KEY
    path = home / ".kaggle" / name
    path.write_bytes(("\ufeff" if encoding == "utf-16-be" else "").encode(encoding) + text.encode(encoding))
    path.chmod(0o600)
    found = look(home)
    assert (found.used, found.problems) == (None, (f"{path} {says}",))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"username": "ada"}', '{"username": "", "key": ""}'])
def test_a_damaged_key_file(home: Path, content: str) -> None:
    kaggle_json(home, content)
    found = look(home)
    assert found.used is None
    assert len(found.problems) == 1
    assert "kaggle.json" in found.problems[0]


def test_open_permissions_are_told(home: Path) -> None:
    path = kaggle_json(home, {"username": "ada", "key": KEY}, 0o644)
    assert look(home).problems == (f"{path} can be read by others: chmod 600 {path}",)


def test_the_clients_other_places(home: Path, tmp_path: Path) -> None:
    (home / ".kaggle").rmdir()
    folder = home / ".config" / "kaggle"
    folder.mkdir(parents=True)
    (folder / "kaggle.json").write_text(json.dumps({"username": "ada", "key": KEY}))
    (folder / "kaggle.json").chmod(0o600)
    assert look(home).source == str(folder / "kaggle.json")
    assert look(home, XDG_CONFIG_HOME=str(home / "elsewhere")).used is None
    assert look(home, KAGGLE_CONFIG_DIR=str(folder)).source == str(folder / "kaggle.json")


def test_no_secret_is_in_a_repr(home: Path) -> None:
    kaggle_json(home, {"username": "ada", "key": KEY})
    found = look(home, KAGGLE_API_TOKEN="KGAT_token_of_ada")
    shown = repr(found) + repr(found.redactor()) + str(found.problems)
    assert KEY not in shown
    assert "KGAT_token_of_ada" not in shown


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_secrets_are_hidden_in_every_form(secret: str, before: str, after: str) -> None:
    redact = Redactor.of([secret], user="ada")
    basic = base64.b64encode(f"ada:{secret}".encode()).decode()
    for form in (secret, quote(secret, safe=""), basic):
        assert form not in redact(before + form + after)


def test_a_secret_within_another_is_hidden_whole() -> None:
    assert Redactor.of(["abcdef", "abcdefghij"])("abcdefghij") == "***"


def test_short_values_are_no_secrets() -> None:
    assert Redactor.of(["a", ""])("a cat") == "a cat"


def test_settings_from_the_environment() -> None:
    assert settings_from({}).address == "https://api.kaggle.com"
    found = settings_from(
        {"QAKIT_KAGGLE_ENDPOINT": "http://127.0.0.1:1/", "QAKIT_KAGGLE_TIMEOUT": "2", "QAKIT_KAGGLE_POLL": "0.1"}
    )
    assert (found.address, found.timeout, found.poll) == ("http://127.0.0.1:1", 2.0, 0.1)
    assert found.connect_timeout == 2.0


@pytest.mark.parametrize("name", ["QAKIT_KAGGLE_TIMEOUT", "QAKIT_KAGGLE_POLL"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_odd_numbers_of_seconds(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        settings_from({name: value})


def test_an_odd_endpoint() -> None:
    with pytest.raises(UsageError, match="http://"):
        settings_from({"QAKIT_KAGGLE_ENDPOINT": "kaggle.example"})


def test_where_the_ledger_lies(tmp_path: Path) -> None:
    assert ledger_folder(None, {}) == Path("submissions")
    assert ledger_folder(None, {"QAKIT_SUBMISSIONS": "elsewhere"}) == Path("elsewhere")
    assert ledger_folder(tmp_path, {"QAKIT_SUBMISSIONS": "elsewhere"}) == tmp_path


def test_a_ledger_that_another_process_begins_meanwhile_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = settings.check_not_kept

    def late(folder: Path) -> None:
        (folder / "ledger.jsonl").touch()
        check(folder)

    monkeypatch.setattr(settings, "check_not_kept", late)
    assert ledger_folder(tmp_path, {}) == tmp_path
