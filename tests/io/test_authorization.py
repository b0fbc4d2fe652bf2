import httpx
import pytest

from bulkcmp.io.authorization import basic_authorization


@pytest.mark.parametrize(
    ("userinfo", "authorization"),
    [
        # RFC 7617, 2: "Aladdin" and "open sesame"
        ("Aladdin:open%20sesame@", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        # 2.1, in UTF-8
        ("test:123%C2%A3@", b"Basic dGVzdDoxMjPCow=="),
        ("ra@", b"Basic cmE6"),
        (":@", None),
        ("", None),
    ],
)
def test_credentials_are_decoded_before_they_are_encoded(
    userinfo: str, authorization: bytes | None
) -> None:
    assert basic_authorization(httpx.URL(f"http://{userinfo}host")) == authorization
