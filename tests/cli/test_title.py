import pytest

from bulkcmp.cli.title import masked


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("--secret pass:geheim", "--secret pass:***"),
        ("--secret=pass:geheim", "--secret=pass:***"),
        ("--key-pass pass:", "--key-pass pass:***"),
        # no source of a secret: it may be the secret itself
        ("--secret geheim --ref r1", "--secret *** --ref r1"),
        ("--tls-keypass=geheim", "--tls-keypass=***"),
        ("--ra-secret geheim --regtoken=geheim", "--ra-secret *** --regtoken=***"),
        ("--on-issued-bearer geheim", "--on-issued-bearer ***"),
        ("--secret env:NAME --keypass file:/a/b --keys-pass stdin", None),
        ("--secret=env:NAME --key-pass=stdin", None),
        # wherever it stands
        ("ca add-end-entity dev1 pass:geheim", "ca add-end-entity dev1 pass:***"),
        ("--proxy http://user:geheim@proxy:3128/", "--proxy http://user:***@proxy:3128/"),
        ("--proxy=user:geheim@proxy:3128", "--proxy=user:***@proxy:3128"),
        ("--key pkcs11:object=a?pin-value=geheim", "--key pkcs11:object=a?pin-value=***"),
        ("--key=pkcs11:id=1?pin-value=x", "--key=pkcs11:id=1?pin-value=***"),
        ("--server http://host:80/path --subject /CN=a:b --ref bypass:it", None),
    ],
)
def test_masked(given: str, shown: str | None) -> None:
    assert " ".join(masked(given.split())) == (shown or given)


def test_a_secret_may_have_line_feeds() -> None:
    assert masked(["--secret", "pass:a\nb", "--key-pass=pass:a\nb"]) == [
        "--secret",
        "pass:***",
        "--key-pass=pass:***",
    ]
