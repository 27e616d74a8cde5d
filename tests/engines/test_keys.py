from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from minionbench.engines.engine import EngineSettings
from minionbench.engines.keys import KeyReference, is_there, look_up
from minionbench.errors import DeploymentError, UsageError

KEY = "sk-planted-0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "place", "where"),
    [
        ("env:OPENAI_API_KEY", "env", "OPENAI_API_KEY"),
        (" file:~/key.txt ", "file", "~/key.txt"),
        ("keyring:openai/me@example.org", "keyring", "openai/me@example.org"),
        ("file:C:\\keys", "file", "C:\\keys"),
    ],
)
def test_a_reference_names_a_place(text: str, place: str, where: str) -> None:
    reference = KeyReference.parse(text)
    assert reference == (place, where)
    assert KeyReference.parse(reference.text) == reference
    assert where in reference.words


@pytest.mark.parametrize(
    "text",
    [KEY, f"env:{KEY}", "env:", "file:", "", "keyring:service", "keyring:/user", "vault:x", ":x"],
)
def test_what_is_no_reference_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="reference to the key, not the key") as caught:
        KeyReference.parse(text)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("field", ["key_from", "api_key_env"])
def test_a_key_in_place_of_its_reference_makes_no_settings(field: str) -> None:
    with pytest.raises(UsageError, match="not the key") as caught:
        EngineSettings(**{field: KEY})
    assert KEY not in str(caught.value)


def test_two_references_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="give one"):
        EngineSettings(key_from="env:A", api_key_env="B")
    assert EngineSettings(key_from="env:A").key_reference == ("env", "A")
    assert EngineSettings(api_key_env="B").key_reference == ("env", "B")
    assert EngineSettings().key_reference is None


def test_a_variable_gives_its_key_without_the_white_space_around_it() -> None:
    found = look_up(KeyReference("env", "K"), environment={"K": f" {KEY}\n"})
    assert found.secret.reveal() == KEY
    assert found.notes == ()
    assert KEY not in repr(found)


@pytest.mark.parametrize(("environment", "state"), [({}, "not set"), ({"K": "  "}, "empty")])
def test_a_variable_without_a_key_is_named_with_what_to_do(
    environment: dict[str, str], state: str
) -> None:
    with pytest.raises(DeploymentError, match=f"K, which should hold my key, is {state}") as caught:
        look_up(KeyReference("env", "K"), of="my key", environment=environment)
    assert "export K=…" in str(caught.value)
    assert not is_there(KeyReference("env", "K"), environment)


def test_what_no_key_can_be_is_refused_without_being_repeated() -> None:
    for value in (f"{KEY} {KEY}", f"{KEY}\nX-Header: y", f"{KEY}é"):
        with pytest.raises(DeploymentError, match="characters that no key has") as caught:
            look_up(KeyReference("env", "K"), environment={"K": value})
        assert "planted" not in str(caught.value)


def test_a_file_gives_its_key_and_a_note_where_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    assert look_up(KeyReference("file", str(path))).notes == ()
    path.chmod(0o644)
    found = look_up(KeyReference("file", str(path)))
    assert found.secret.reveal() == KEY
    assert "chmod 600" in found.notes[0]


def test_a_file_that_is_missing_empty_or_huge_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="No such file"):
        look_up(KeyReference("file", str(tmp_path / "none")))
    (tmp_path / "empty").touch()
    with pytest.raises(DeploymentError, match="There is no key in the file"):
        look_up(KeyReference("file", str(tmp_path / "empty")))
    (tmp_path / "huge").write_bytes(b"k" * 100_000)
    with pytest.raises(DeploymentError, match="too long"):
        look_up(KeyReference("file", str(tmp_path / "huge")))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeploymentError, match="characters that no key has"):
        look_up(KeyReference("file", str(tmp_path / "binary")))


def test_without_the_package_the_keyring_is_said_to_need_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(DeploymentError, match="pip install keyring"):
        look_up(KeyReference("keyring", "service/user"))


def test_the_keyring_is_asked_for_service_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the package's one function: there is no keyring to be had in a test."""

    class Locked(Exception):
        pass

    def get_password(service: str, user: str) -> str | None:
        if service == "locked":
            raise Locked(f"the secret is {KEY}")
        return KEY if (service, user) == ("openai", "me/too") else None

    stand_in = ModuleType("keyring")
    stand_in.__dict__["get_password"] = get_password
    monkeypatch.setitem(sys.modules, "keyring", stand_in)
    found = look_up(KeyReference("keyring", "openai/me/too"))
    assert found.secret.reveal() == KEY
    with pytest.raises(DeploymentError, match="no entry openai/nobody"):
        look_up(KeyReference("keyring", "openai/nobody"))
    with pytest.raises(DeploymentError, match="Locked") as caught:
        look_up(KeyReference("keyring", "locked/me"))
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
