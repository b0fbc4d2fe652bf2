import tomllib
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.profile import find_profile, purpose, shipped_profile, shipped_profiles


def test_a_shipped_name_is_that_profile_whatever_files_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("3gpp", "own"):
        Path(name).touch()
    assert find_profile("3gpp") == shipped_profile("3gpp")
    assert find_profile("./3gpp") == Path("3gpp")
    assert find_profile("own") == Path("own")
    assert find_profile("absent.toml") == Path("absent.toml")
    assert find_profile("absent/own") == Path("absent/own")


@pytest.mark.parametrize("find", [find_profile, shipped_profile])
def test_an_unknown_name(find: object) -> None:
    assert callable(find)
    with pytest.raises(InputError, match="there is no profile 'ejbca_ra_cer'") as raised:
        find("ejbca_ra_cer")
    assert str(raised.value.hint).startswith("did you mean 'ejbca-ra-cert'? known are 3gpp, ")


@pytest.mark.parametrize("name", shipped_profiles())
def test_each_says_what_it_is_for_and_where_more_stands(name: str) -> None:
    file = shipped_profile(name)
    assert 10 <= len(purpose(file)) <= 100
    text = file.read_text()
    page = next(word for word in text.split() if word.startswith("docs/"))
    documentation = Path(__file__).parents[2] / page
    assert name in documentation.read_text()


@pytest.mark.parametrize("name", shipped_profiles())
def test_none_holds_what_is_a_sites_own(name: str) -> None:
    settings = tomllib.loads(shipped_profile(name).read_text())
    own = {"server", "secret", "ref", "cert", "key", "trusted", "srvcert", "proxy", "out"}
    assert not own & settings.keys()
    assert not any("file:" in str(value) or "pass:" in str(value) for value in settings.values())
