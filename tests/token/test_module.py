from pathlib import Path

import pytest

from bulkcmp.token import module
from bulkcmp.token.module import module_of
from bulkcmp.token.uri import Pkcs11Uri

PLAIN = Pkcs11Uri.parse("pkcs11:object=a")


def test_the_uri_comes_before_the_option_and_that_before_the_environment() -> None:
    environ = {"PKCS11_MODULE_PATH": "/of/the/environment"}
    path = Pkcs11Uri.parse("pkcs11:object=a?module-path=/of/the/uri&module-name=x")
    assert module_of(path, "/of/the/option", environ) == "/of/the/uri"
    assert module_of(PLAIN, "/of/the/option", environ) == "/of/the/option"
    assert module_of(PLAIN, None, environ) == "/of/the/environment"
    assert module_of(PLAIN, None, {"PKCS11_PROVIDER_MODULE": "/p"}) == "/p"
    assert module_of(PLAIN, None, {"PKCS11_MODULE_PATH": ""}) == "p11-kit-proxy.so"


def test_a_module_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = Pkcs11Uri.parse("pkcs11:object=a?module-name=softhsm2")
    monkeypatch.setattr(module, "_folders", lambda: (str(tmp_path),))
    # the system's loader may know it
    assert module_of(named, None, {}) == "libsofthsm2.so"
    for below in ("softhsm", ".", "pkcs11"):
        file = tmp_path / below / "libsofthsm2.so"
        file.parent.mkdir(exist_ok=True)
        file.touch()
        assert module_of(named, None, {}) == str(file)
