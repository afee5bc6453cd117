"""What a lab remembers, and how its hosts are called."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from e2e.lab.cluster.hosts import Hosts, ensure_key
from e2e.lab.cluster.state import State, Store, lab_name
from e2e.lab.errors import LabError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Store("kok")


STATE = State(
    name="kok",
    subnet=IPv4Network("172.20.1.0/24"),
    pod_cidr=IPv4Network("10.200.0.0/16"),
    service_cidr=IPv4Network("10.201.0.0/16"),
    password="secret",
)


def test_what_was_written_is_read_again(store: Store) -> None:
    assert store.read() is None
    store.write(STATE)
    assert store.read() == STATE


def test_nobody_else_can_read_the_state(store: Store) -> None:
    store.write(STATE)
    assert (store.root / "state.json").stat().st_mode & 0o077 == 0
    assert store.root.stat().st_mode & 0o077 == 0


def test_a_removed_lab_leaves_no_directory(store: Store, tmp_path: Path) -> None:
    store.write(STATE)
    store.remove()
    assert list(tmp_path.iterdir()) == []


def test_removing_a_lab_leaves_the_others(store: Store) -> None:
    other = Store("other")
    store.write(STATE)
    other.write(STATE)
    store.remove()
    assert other.read() == STATE


@pytest.mark.parametrize("name", ["Kok", "-a", "a b", "a" * 17, "a/b"])
def test_a_name_that_containers_cannot_have_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOK_LAB", name)
    with pytest.raises(LabError, match="at most 16 lower-case"):
        lab_name()


def test_the_lab_is_called_kok_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOK_LAB", raising=False)
    assert lab_name() == "kok"


def test_a_host_is_known_by_its_name(store: Store) -> None:
    host = Hosts(STATE, store).host("worker-2")
    assert (host.role, host.address, host.container) == (
        "worker",
        IPv4Address("172.20.1.102"),
        "kok-worker-2",
    )


@pytest.mark.parametrize("name", ["worker", "worker-0", "node-1", "meta-01", "meta-1;ls"])
def test_other_names_are_refused(name: str, store: Store) -> None:
    with pytest.raises(LabError, match="no host of a lab"):
        Hosts(STATE, store).host(name)


def test_ssh_access_is_told_with_the_fingerprint_of_the_hosts_key(store: Store) -> None:
    ensure_key(store)
    noted = store.host_key("worker-1")
    noted.parent.mkdir(parents=True)
    noted.write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA/5wpivWcZT9Q9/cF9On+8l43FadzD9PSAoHdbbzSJC\n"
    )
    access = Hosts(STATE, store).ssh("worker-1")
    assert access.fingerprint == "SHA256:S/uuizMV1rKEWm7vfPAgsnxSXR0DraaycSAr1uQFVjU"
    assert (access.address, access.user, access.password) == ("172.20.1.101", "ops", "secret")
    assert "secret" not in repr(access)


def test_the_key_is_made_once_and_is_private(store: Store) -> None:
    ensure_key(store)
    first = store.key.read_bytes()
    ensure_key(store)
    assert store.key.read_bytes() == first
    assert store.key.stat().st_mode & 0o077 == 0


def test_a_host_that_was_not_made_has_no_ssh_access(store: Store) -> None:
    with pytest.raises(LabError, match="was not made yet"):
        Hosts(STATE, store).ssh("worker-9")
