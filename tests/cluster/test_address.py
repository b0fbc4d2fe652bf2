from pathlib import Path

import pytest

from bulkcmp.cluster.address import Address, refuse_open
from bulkcmp.errors import InputError


def test_nothing_said_is_no_cluster() -> None:
    assert Address.of(None, None, None, None) is None


@pytest.mark.parametrize(
    "url",
    ["tcp://127.0.0.1:8786", "tcp://127.9.9.9:1", "tcp://[::1]:8786", "tcp://localhost:8786"],
)
def test_loopback_needs_no_tls(url: str) -> None:
    found = Address.of(url, None, None, None)
    assert found is not None
    assert (found.url, found.is_tls) == (url, False)


def test_tls_needs_all_of_its_files(tmp_path: Path) -> None:
    ca, own = tmp_path / "ca.pem", tmp_path / "own.pem"
    url = "tls://scheduler:8786"
    with pytest.raises(InputError, match="needs --cluster-tls-ca"):
        Address.of(url, None, str(own), str(own))
    with pytest.raises(InputError, match=r"ca\.pem: there is no such file"):
        Address.of(url, str(ca), str(own), str(own))
    ca.touch()
    own.touch()
    with pytest.raises(InputError, match="needs --cluster-tls-cert"):
        Address.of(url, str(ca), None, str(own))
    with pytest.raises(InputError, match="needs --cluster-tls-key"):
        Address.of(url, str(ca), str(own), None)
    found = Address.of(url, str(ca), str(own), str(own))
    assert found == Address(url, str(ca), str(own), str(own))
    assert found.is_tls


@pytest.mark.parametrize(
    "url",
    ["scheduler:8786", "http://scheduler:8786", "tls://scheduler", "tls://:8786", "tls://[:1", ""],
)
def test_what_is_no_scheduler_is_told(url: str) -> None:
    with pytest.raises(InputError, match="is no scheduler of a Dask cluster"):
        Address.of(url, None, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "tcp://10.0.0.7:8786",
        "tcp://scheduler:8786",
        "tcp://localhost.example:1",
        "tcp://128.0.0.1:1",
    ],
)
def test_elsewhere_there_must_be_tls(url: str) -> None:
    with pytest.raises(InputError, match="is reached without TLS") as caught:
        Address.of(url, None, None, None)
    assert "tls://" in str(caught.value.hint)
    # a worker as well, wherever the scheduler is
    with pytest.raises(InputError, match="is reached without TLS"):
        refuse_open(["tls://10.0.0.7:1", "tcp://127.0.0.1:2", url])


def test_files_without_tls_are_a_mistake() -> None:
    with pytest.raises(InputError, match="there is no TLS"):
        Address.of("tcp://127.0.0.1:8786", "ca.pem", None, None)
    with pytest.raises(InputError, match="without a cluster"):
        Address.of(None, "ca.pem", None, None)
