"""Command lines of `openssl cmp`, in the words of our own settings.

Known are the options of OpenSSL 3.0 to 3.6 (openssl-cmp(1)), and those of the CMP clients before
it, whose names changed over the years.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from bulkcmp.cmp.algorithms import DIGESTS, MACS
from bulkcmp.errors import InputError
from bulkcmp.inputs.restriction import OPTIONS as RESTRICTED
from bulkcmp.inputs.settings import Setting
from bulkcmp.inputs.spelling import similar
from bulkcmp.model import Operation, Popo


@dataclass(frozen=True, slots=True)
class Translation:
    """What a command line of `openssl cmp` is here.

    Attributes:
        settings: as a connection profile has them; no secret is in them.
        outputs: where `bulkcmp probe` shall keep what comes, by the names of its options.
        notes: what is still to be done, or is to be known.
        lost: options that are not carried over, and why; something is different without them.
        needless: options that are not carried over, and why nothing is different without them.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    needless: dict[str, str] = field(default_factory=dict)


_TEXTS: Final = {
    "cmd", "profile", "newkey", "subject", "issuer", "sans", "csr", "oldcert", "serial",
    "recipient", "srvcert", "expect_sender", "ref", "cert", "key", "tls_cert", "tls_key", "path",
    "infotype", "oldwithold", "crlcert", "oldcrl",
}  # fmt: skip
_LISTS: Final = {"trusted", "untrusted", "out_trusted", "extracerts", "tls_trusted"}
_FLAGS: Final = {
    "implicit_confirm", "disable_confirm", "ignore_keyusage", "unprotected_requests",
    "san_nodefault", "centralkeygen",
}  # fmt: skip
_SECRETS: Final = {"secret", "keypass", "newkeypass", "tls_keypass"}
_OF_CERTIFICATE: Final = {"certout", "chainout", "newkeyout"}
_OF_GENERAL: Final = {"newwithnew", "newwithold", "oldwithnew", "crlout", "template", "keyspec"}
_OUTPUTS: Final = {"cacertsout", "extracertsout"} | _OF_CERTIFICATE | _OF_GENERAL
_TEMPLATES: Final = {
    "newkey", "subject", "issuer", "sans", "policy_oids", "csr", "oldcert", "serial", "ref", "cert",
    "key", "profile", "infotype", "oldwithold", "crlcert", "oldcrl",
}  # fmt: skip
"""Settings in which braces are placeholders."""

_READ_BY_CODE: Final = {
    "server": True, "proxy": True, "no_proxy": True, "tls_used": False, "mac": True,
    "digest": True, "popo": True, "policies": True, "policy_oids": True,
    "policy_oids_critical": False, "days": True, "revreason": True, "msg_timeout": True,
    "total_timeout": True, "unprotected_errors": False, "ta_in_ip_extracerts": False,
    "keyform": True, "certform": True, "proxyport": True,
}  # fmt: skip
"""Options with a translation of their own, and whether they have a value."""

_SERVED: Final = "it is for the mock server; bulkcmp ca serve is one"
_SAVED: Final = "--save-messages DIR keeps every message"
_REPLAYED: Final = "bulkcmp makes its messages itself, and takes answers from the server only"
_VERIFIED: Final = "certification paths are checked by OpenSSL's default rules, as of now"
_REVOCATION: Final = "bulkcmp asks for the revocation of no certificate that signs answers"
_ON_TOKENS: Final = "a key on a token is named by --key pkcs11:... and --pkcs11-module"
_SECTION: Final = (
    "sections of a configuration file are not read: say it with --keyusage, --extkeyusage,"
    " --sans, --policy-oids and --extensions, or with --extensions-from and a CSR made with it"
)

_LOST: Final[dict[str, tuple[bool, str]]] = {
    "config": (True, "configuration files are not read: give what its section says as options"),
    "section": (True, "configuration files are not read: give what the section says as options"),
    "geninfo": (True, "of generalInfo, bulkcmp sends implicitConfirm and certProfile only"),
    "reqexts": (True, _SECTION),
    "nonmatched_error_nonces": (False, "an answer must belong to its request, errors too"),
    "srvcertout": (True, "--save-messages DIR keeps every message, and extraCerts in it"),
    "own_trusted": (True, "the path of our own certificate is for the server to check"),
    "crlform": (True, "--crlout writes PEM"),
    "otherpass": (True, "certificates of others are read from PEM or DER, not from PKCS#12"),
    "engine": (True, _ON_TOKENS),
    "provider": (True, _ON_TOKENS),
    "provider-path": (True, _ON_TOKENS),
    "provparam": (True, _ON_TOKENS),
    "propquery": (True, _ON_TOKENS),
    "tls_extra": (True, "put the chain behind the certificate in --tls-cert's file"),
    "tls_host": (True, "the TLS server's certificate must bear the host of --server"),
    "repeat": (True, "a population has a row for each certificate"),
    "reqin": (True, _REPLAYED),
    "reqin_new_tid": (False, _REPLAYED),
    "reqout": (True, _SAVED),
    "reqout_only": (True, _SAVED),
    "rspin": (True, _REPLAYED),
    "rspout": (True, _SAVED),
    "use_mock_srv": (False, _SERVED),
    "policy": (True, _VERIFIED),
    "purpose": (True, _VERIFIED),
    "verify_name": (True, _VERIFIED),
    "verify_depth": (True, _VERIFIED),
    "auth_level": (True, _VERIFIED),
    "attime": (True, _VERIFIED),
    "verify_hostname": (True, _VERIFIED),
    "verify_email": (True, _VERIFIED),
    "verify_ip": (True, _VERIFIED),
    "ignore_critical": (False, _VERIFIED),
    "crl_check": (False, _REVOCATION),
    "crl_check_all": (False, _REVOCATION),
    "extended_crl": (False, _REVOCATION),
    "use_deltas": (False, _REVOCATION),
    "crls": (True, _REVOCATION),
    "cdps": (False, _REVOCATION),
    "crl-all": (False, _REVOCATION),
    "crl_download": (False, _REVOCATION),
    "crl_timeout": (True, _REVOCATION),
    "ocsp_check_all": (False, _REVOCATION),
    "ocsp_use_aia": (False, _REVOCATION),
    "ocsp_url": (True, _REVOCATION),
    "ocsp_timeout": (True, _REVOCATION),
    "ocsp_status": (False, _REVOCATION),
    "tls-crls": (True, _REVOCATION),
    "tls-cdps": (False, _REVOCATION),
    "tls-crl-all": (False, _REVOCATION),
    "policy_check": (False, _VERIFIED),
    "explicit_policy": (False, _VERIFIED),
    "inhibit_any": (False, _VERIFIED),
    "inhibit_map": (False, _VERIFIED),
    "x509_strict": (False, _VERIFIED),
    "check_ss_sig": (False, _VERIFIED),
    "suiteB_128_only": (False, _VERIFIED),
    "suiteB_128": (False, _VERIFIED),
    "suiteB_192": (False, _VERIFIED),
    "no_check_time": (False, _VERIFIED),
    "allow_proxy_certs": (False, _VERIFIED),
    "port": (True, _SERVED),
    "max_msgs": (True, _SERVED),
    "srv_ref": (True, _SERVED),
    "srv_secret": (True, _SERVED),
    "srv_cert": (True, _SERVED),
    "srv_key": (True, _SERVED),
    "srv_keypass": (True, _SERVED),
    "srv_trusted": (True, _SERVED),
    "srv_untrusted": (True, _SERVED),
    "ref_cert": (True, _SERVED),
    "rsp_cert": (True, _SERVED),
    "rsp_key": (True, _SERVED),
    "rsp_keypass": (True, _SERVED),
    "rsp_crl": (True, _SERVED),
    "rsp_extracerts": (True, _SERVED),
    "rsp_capubs": (True, _SERVED),
    "rsp_newwithnew": (True, _SERVED),
    "rsp_newwithold": (True, _SERVED),
    "rsp_oldwithnew": (True, _SERVED),
    "poll_count": (True, _SERVED),
    "check_after": (True, _SERVED),
    "grant_implicitconf": (False, _SERVED),
    "pkistatus": (True, _SERVED),
    "failure": (True, _SERVED),
    "failurebits": (True, _SERVED),
    "statusstring": (True, _SERVED),
    "send_error": (False, _SERVED),
    "send_unprotected": (False, _SERVED),
    "send_unprot_err": (False, _SERVED),
    "accept_unprotected": (False, _SERVED),
    "accept_unprot_err": (False, _SERVED),
    "accept_raverified": (False, _SERVED),
}
"""Options without which something is different: whether they have a value, and why not here."""

_NEEDLESS: Final[dict[str, tuple[bool, str]]] = {
    "help": (False, "bulkcmp probe --help"),
    "verbosity": (True, "bulkcmp probe shows every message and check"),
    "batch": (False, "bulkcmp never asks"),
    "keep_alive": (True, "connections are kept where the server keeps them"),
    "no_cache_extracerts": (False, "no transaction takes certificates from another one"),
    "otherform": (True, "the format is seen in the file"),
    "rand": (True, "random numbers are the system's"),
    "writerand": (True, "random numbers are the system's"),
    "partial_chain": (False, "every certificate of --trusted is a trust anchor"),
    "trusted_first": (False, "it is so"),
    "issuer_checks": (False, "it does nothing in OpenSSL either"),
    "no_alt_chains": (False, "it does nothing in OpenSSL either"),
    "policy_print": (False, "it is for diagnosis"),
}
"""Options without which nothing is different: the same."""

_TAKES_VALUE: Final[dict[str, bool]] = (
    dict.fromkeys(_TEXTS | _LISTS | _SECRETS | _OUTPUTS, True)
    | dict.fromkeys(_FLAGS, False)
    | _READ_BY_CODE
    | {name: takes for name, (takes, _) in (_LOST | _NEEDLESS).items()}
)

_FIRST_NAMES: Final = {
    "user": "ref", "pass": "secret", "keyfmt": "keyform", "certfmt": "certform",
    "extcerts": "extracerts", "use-tls": "tls_used", "tls-cert": "tls_cert", "tls-key": "tls_key",
    "tls-keypass": "tls_keypass", "tls-trusted": "tls_trusted",
}  # fmt: skip
"""Names of the first clients (cmpforopenssl), whose secrets had no source before them."""

_OLD_NAMES: Final = _FIRST_NAMES | {
    "msgtimeout": "msg_timeout", "totaltimeout": "total_timeout",
    "unprotectederrors": "unprotected_errors", "unprotectedrequests": "unprotected_requests",
    "implicitconfirm": "implicit_confirm", "disableconfirm": "disable_confirm",
    "policies_critical": "policy_oids_critical", "ownform": "keyform", "checkafter": "check_after",
    "mock_srv": "use_mock_srv",
}  # fmt: skip
"""Names of the clients before OpenSSL 3.0, and those of today."""

_POPO: Final = {
    "-1": Popo.NONE,
    "0": Popo.RA_VERIFIED,
    "1": Popo.SIGNATURE,
    "2": Popo.KEY_ENCIPHERMENT,
}
_FIRST_POPO: Final = {
    "0": Popo.NONE,
    "1": Popo.SIGNATURE,
    "2": Popo.KEY_ENCIPHERMENT,
    "3": Popo.RA_VERIFIED,
}

_ENTRY: Final = re.compile(r"[^,\s]+")
_OIDS: Final = re.compile(r"[0-9.,\s]+")
_MAC: Final = re.compile(r"hmac-?(?:with-?)?(sha3-\d+|sha-?\d+)")
_NAME: Final = re.compile(r"-?-([A-Za-z0-9_-]*)")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def known_options() -> Mapping[str, bool]:
    """The options of `openssl cmp`, of today and before; whether each has a value."""
    old = {name: _TAKES_VALUE[today] for name, today in _OLD_NAMES.items()}
    return _TAKES_VALUE | old


def translate(text: str) -> Translation:
    """Say with our settings what a command line of `openssl cmp` says.

    Args:
        text: as for a shell, with or without `openssl cmp` in front; lines may go on after `\\`.

    Raises:
        InputError: it is no such command line: it can't be split, has an unknown option or one
            without its value, or an operation that bulkcmp lacks. No value is shown.
    """
    return _Translator(_parse(text)).translate()


def _parse(text: str) -> dict[str, str]:
    """The values of the options, by their names as given; the last of each counts."""
    try:
        words = shlex.split(re.sub(r"\\\r?\n", "", text))
    except ValueError as error:
        raise InputError(f"not a command line: {str(error).lower()}") from None
    while words and _ASSIGNMENT.fullmatch(words[0]):
        del words[0]
    if words and words[0].rpartition("/")[2].removesuffix(".exe") == "openssl":
        del words[0]
    if words and words[0] == "cmp":
        del words[0]
    if not words:
        raise InputError(
            "no option of openssl cmp in it", hint='give it as one text: "openssl ..."'
        )
    return dict(_options(iter(words)))


def _options(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    known = known_options()
    before = "openssl cmp"
    for word in words:
        match = _NAME.match(word)
        if match is None:
            raise InputError(
                f"a word after {before} belongs to no option (it is not shown: it may be a secret)"
            )
        name, rest = match[1], word[match.end() :]
        if name not in known or (rest and not rest.startswith("=")):
            near = similar(name, known)
            raise InputError(
                f"openssl cmp has no option -{name}",
                hint="see openssl-cmp(1)" if near is None else f"did you mean -{near}?",
            )
        before = f"-{name}"
        if not known[name]:
            if rest:
                raise InputError(f"{before} takes no value")
            yield name, "1"
            continue
        value = rest.removeprefix("=") if rest else next(words, None)
        if value is None:
            raise InputError(f"{before} has no value")
        yield name, value


class _Translator:
    def __init__(self, given: Mapping[str, str]) -> None:
        self._first = not given.keys().isdisjoint(_FIRST_NAMES)
        # an empty value is none, as in OpenSSL's configuration files
        self._given = {_OLD_NAMES.get(name, name): text for name, text in given.items() if text}
        self._made = Translation()
        self._set = self._made.settings

    def translate(self) -> Translation:
        self._server()
        self._operation()
        for name, value in self._given.items():
            if name in _TEXTS:
                self._set[name] = _braced(value) if name in _TEMPLATES else value
            elif name in _LISTS:
                self._set[name] = [one.removeprefix("file:") for one in _ENTRY.findall(value)]
            elif name in _FLAGS:
                self._set[name] = True
            elif name in _SECRETS:
                self._set[name] = self._source(name, value)
            elif name in _OUTPUTS:
                self._made.outputs[name] = value
            elif name in _LOST:
                self._lose(name, _LOST[name][1])
            elif name in _NEEDLESS:
                self._made.needless[name] = _NEEDLESS[name][1]
        self._proof()
        self._policies()
        self._numbers()
        self._algorithms()
        self._tokens()
        self._formats()
        self._trust()
        self._new_key()
        self._request()
        self._tls()
        self._drop_unused()
        if any("$" in str(value) for value in self._set.values()):
            self._note("variables of the shell ($NAME) are not filled in: put in what they are")
        return self._made

    def _lose(self, name: str, why: str) -> None:
        self._made.lost[name] = why

    def _note(self, text: str) -> None:
        self._made.notes.append(text)

    def _source(self, name: str, value: str) -> str:
        """The source of a secret; a secret itself is replaced by a variable, and that noted."""
        kind, colon, rest = value.partition(":")
        if value == "stdin" or (colon and kind in ("env", "file")):
            return value
        if colon and kind == "fd":
            return f"file:/dev/fd/{rest}"
        return self._variable(name, f"-{name} had the secret itself")

    def _variable(self, name: str, what: str) -> str:
        variable = f"CMP_{name.upper()}"
        self._note(
            f"{what}, which is not repeated here: put it into the environment variable {variable},"
            " or write another source"
        )
        return f"env:{variable}"

    # --- what is more than another name -----------------------------------------------------------

    def _server(self) -> None:
        server = self._given.get("server")
        if server is None:
            self._note("no -server was given: say with --server which it is")
            return
        scheme, _, rest = server.rpartition("://")
        tls = "tls_used" in self._given or scheme.lower() == "https"
        place, _, path = rest.partition("#")[0].partition("/")
        host = place.rpartition("@")[2]
        # -path stands for all that -server has of one
        path = "" if "path" in self._given else f"/{path}"
        self._set["server"] = f"{'https' if tls else 'http'}://{host}{path}"
        self._proxy(host)

    def _proxy(self, host: str) -> None:
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        spared = self._given.get("no_proxy")
        if spared is not None:
            if name in _ENTRY.findall(spared):
                self._set["proxy"] = ""
                return
            if "proxy" not in self._given:
                self._note("the environment's NO_PROXY says for which servers no proxy is used")
        if "proxy" not in self._given:
            return
        scheme, _, rest = self._given["proxy"].rpartition("://")
        place = rest.partition("/")[0].rpartition("@")[2]
        if "proxyport" in self._given:
            place += f":{self._given['proxyport']}"
        elif scheme.lower() == "https" and not re.search(r":\d+$", place):
            place += ":443"
        self._set["proxy"] = f"http://{place}"

    def _operation(self) -> None:
        cmd = self._given.get("cmd")
        if cmd is None:
            self._note("no -cmd was given: rows are ir unless they say something else")
        elif cmd not in list(Operation):
            raise InputError(
                f"bulkcmp has no operation {cmd!r}", hint=f"it has {', '.join(Operation)}"
            )

    def _proof(self) -> None:
        popo = self._given.get("popo")
        if popo is None:
            return
        methods = _FIRST_POPO if self._first else _POPO
        if popo not in methods:
            raise InputError(f"-popo {popo} is no proof of possession", hint=", ".join(methods))
        self._set["popo"] = methods[popo].value

    def _policies(self) -> None:
        oids = self._given.get("policy_oids")
        policies = self._given.get("policies")
        if policies is not None:
            if _OIDS.fullmatch(policies):
                oids = policies
            else:
                self._lose("policies", _SECTION)
        if oids is not None:
            critical = ["critical"] if "policy_oids_critical" in self._given else []
            self._set["policy_oids"] = ",".join([*critical, *_ENTRY.findall(oids)])

    def _numbers(self) -> None:
        days = self._number("days")
        if days:
            self._set["days"] = days
        if self._given.get("revreason", "-1") != "-1":
            self._set["revreason"] = self._given["revreason"]
        total = self._number("total_timeout")
        if total is not None:
            self._set["total_timeout"] = max(total, 0)
        message = self._number("msg_timeout")
        if message is not None:
            if message > 0:
                self._set["msg_timeout"] = message
            else:
                self._lose("msg_timeout", "an answer must come some time: it is 60 seconds here")

    def _number(self, name: str) -> int | None:
        text = self._given.get(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            raise InputError(f"-{name} is not a whole number") from None

    def _algorithms(self) -> None:
        digest = self._given.get("digest")
        if digest is not None:
            name = digest.lower()
            if name in DIGESTS:
                self._set["digest"] = name
            else:
                self._lose("digest", f"known are {', '.join(DIGESTS)}")
        mac = self._given.get("mac")
        if mac is None:
            if "secret" in self._given:
                self._set["mac"] = "hmac-sha1"
                self._note(
                    "mac is openssl's default, HMAC-SHA1; without it, it is HMAC-SHA256, which the"
                    " server should know"
                )
            return
        match = _MAC.fullmatch(mac.lower())
        name = "" if match is None else f"hmac-{match[1].replace('sha-', 'sha')}"
        if name in MACS:
            self._set["mac"] = name
        else:
            self._lose("mac", f"known are {', '.join(MACS)}")

    def _tokens(self) -> None:
        """PKCS#11 URIs, which stand for private keys here, and may have a PIN in them."""
        uris = [name for name, value in self._set.items() if str(value).startswith("pkcs11:")]
        for name in uris:
            if name in ("key", "newkey"):
                self._take_pin(name, str(self._set[name]))
                continue
            del self._set[name]
            if name == "cert":
                self._made.needless[name] = "the certificate is looked for beside --key's"
            else:
                self._lose(name, "of what is on tokens, bulkcmp uses --key and --newkey")

    def _take_pin(self, name: str, uri: str) -> None:
        place, _, query = uri.partition("?")
        attributes = query.split("&")
        kept = [one for one in attributes if not one.startswith("pin-value=")]
        if len(kept) < len(attributes):
            self._set[f"{name}pass"] = self._variable(f"{name}pass", f"-{name} had the token's PIN")
        self._set[name] = "?".join([place, *(["&".join(kept)] if kept and kept[0] else [])])

    def _formats(self) -> None:
        seen = "the format is seen in the file"
        if "keyform" in self._given:
            if self._given["keyform"].upper().startswith("E"):
                self._lose("keyform", _ON_TOKENS)
            else:
                self._made.needless["keyform"] = seen
        if "certform" in self._given:
            if self._given["certform"].upper().startswith("D"):
                self._lose("certform", "--certout writes PEM; enroll has --out-format der")
            else:
                self._made.needless["certform"] = seen

    def _trust(self) -> None:
        if "unprotected_errors" in self._given:
            # openssl lets a bad pkiconf pass too
            self._set["unprotected_errors"] = self._set["tolerate_pkiconf"] = True
        if "trusted" in self._given or "srvcert" in self._given:
            if "ta_in_ip_extracerts" in self._given:
                self._lose("ta_in_ip_extracerts", "there is a trust anchor")
            if self._set.keys().isdisjoint(("trusted", "out_trusted")):
                self._note(
                    "issued certificates must chain to -srvcert; give their CA's with --trusted if"
                    " it is another"
                )
        elif "ta_in_ip_extracerts" in self._given and "secret" not in self._given:
            self._set["trust_first_ca_cert"] = True
            for name in ("untrusted", "out_trusted"):
                if self._set.pop(name, None) is not None:
                    self._lose(name, "it does not go with --trust-first-ca-cert")
        elif "out_trusted" in self._given and "secret" in self._given:
            # openssl believes no signature then
            self._set["trusted"] = self._set.pop("out_trusted")
            self._set["accept_protection"] = "mac"
        else:
            self._note(
                "no trust anchor was given, and certificates are checked here: give the CA's with"
                " --trusted"
            )

    def _new_key(self) -> None:
        central = "centralkeygen" in self._given
        if "newkeyout" in self._given:
            if central:
                self._note("--newkeyout needs --key-pass SOURCE, or --plain-keys")
            else:
                del self._made.outputs["newkeyout"]
                self._made.needless["newkeyout"] = "it is for -centralkeygen"
        if central:
            if self._set.pop("newkey", None) is not None:
                self._made.needless["newkey"] = "the CA makes the key"
            return
        if self._is_for("p10cr", "rr", "genm") or "newkey" in self._given:
            return
        if "key" in self._set:
            self._set["newkey"] = self._set["key"]
            if "keypass" in self._set:
                self._set["newkeypass"] = self._set["keypass"]
        else:
            self._note("no -newkey was given: a new key is made, if you don't say --newkey FILE")

    def _request(self) -> None:
        if "csr" not in self._given or self._is_for("p10cr"):
            return
        del self._set["csr"]
        if self._is_for("rr"):
            self._lose("csr", "the certificate to revoke is named by --oldcert, or by --serial")
            return
        self._set["extensions_from"] = _braced(self._given["csr"])
        if "subject" not in self._given:
            self._note("the subject of -csr is not taken from it: give it with --subject")

    def _tls(self) -> None:
        if str(self._set.get("server", "")).startswith("https:"):
            return
        for name in ("tls_cert", "tls_key", "tls_keypass", "tls_trusted"):
            if self._set.pop(name, None) is not None:
                self._made.needless[name] = "without -tls_used it is not used"

    def _drop_unused(self) -> None:
        if "cmd" not in self._given:
            return
        operation = Operation(self._given["cmd"])
        for name in RESTRICTED.keys() & self._set.keys():
            if operation not in RESTRICTED[name]:
                del self._set[name]
                self._made.needless[name] = f"{operation} does not use it"
        brought = {"extracertsout"}
        if operation.certifies:
            brought |= {"cacertsout"} | _OF_CERTIFICATE
        elif operation is Operation.GENM:
            brought |= {"cacertsout"} | _OF_GENERAL
        for name in self._made.outputs.keys() - brought:
            del self._made.outputs[name]
            self._made.needless[name] = f"{operation} brings no such thing"

    def _is_for(self, *operations: str) -> bool:
        return self._given.get("cmd") in operations


def _braced(text: str) -> str:
    """The text as a template that is the same in every row."""
    return text.replace("{", "{{").replace("}", "}}")
