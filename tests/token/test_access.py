import sys

import pytest

from bulkcmp.errors import TokenError
from bulkcmp.token.access import open_tokens


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bulkcmp.token.tokens", raising=False)
    # as if it were not installed
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(TokenError, match="python-pkcs11, which is not installed") as raised:
        open_tokens()
    assert raised.value.hint == "pip install 'bulkcmp[pkcs11]'"
