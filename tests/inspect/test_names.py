from collections import Counter

from pyasn1_modules import rfc4055, rfc5280, rfc5480, rfc5652, rfc8017, rfc8018, rfc8410

from bulkcmp.inspect.names import ATTRIBUTE_KEYWORDS, OIDS, name_of
from bulkcmp.inspect.syntax import (
    ALGORITHM_PARAMETERS,
    ATTRIBUTES,
    CONTENTS,
    CONTROLS,
    EXTENSIONS,
    INFO_TYPES,
    OTHER_NAMES,
    POLICY_QUALIFIERS,
    RECIPIENTS,
)


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(OIDS.values()).items() if count > 1] == []


def test_every_type_that_is_decoded_has_a_name() -> None:
    types = (
        EXTENSIONS, INFO_TYPES, CONTROLS, ATTRIBUTES, CONTENTS, OTHER_NAMES, POLICY_QUALIFIERS,
        RECIPIENTS,
    )  # fmt: skip
    assert [oid for table in types for oid in table if oid not in OIDS] == []
    # the old key agreement schemes of RFC 5753 are decoded without having a name
    unnamed = {oid for oid in ALGORITHM_PARAMETERS if oid not in OIDS}
    assert all(oid.startswith(("1.3.132.1.15.", "1.3.133.16.840.63.0.16")) for oid in unnamed)
    assert all(oid in OIDS for oid in ATTRIBUTE_KEYWORDS)


def test_names_are_those_of_pyasn1_modules() -> None:
    """Each name that a module of pyasn1-modules has for an object identifier of our table."""
    ours_differ = {
        "2.5.29.21": "reasonCode",  # id-ce-cRLReasons
        "1.3.6.1.5.5.7.48.3": "ad-timeStamping",  # id-kp-timeStamping has the name already
    }
    prefixes = ("id_ce_", "id_kp_", "id_at_", "id_pe_", "id_")
    checked = 0
    for module in (rfc5280, rfc4055, rfc5480, rfc8410, rfc8017, rfc8018, rfc5652):
        for variable, oid in vars(module).items():
            prefix = next(filter(variable.startswith, prefixes), None)
            dotted = str(oid) if type(oid).__name__ == "ObjectIdentifier" else ""
            if prefix and dotted in OIDS:
                theirs = variable.removeprefix(prefix).replace("_", "-")
                theirs = theirs.removeprefix("ad-").removeprefix("qt-")
                assert ours_differ.get(dotted, theirs) == OIDS[dotted], variable
                checked += 1
    assert checked > 100


def test_unknown() -> None:
    assert name_of("1.2.3") == "1.2.3"
