"""Command lines of `openssl cmp`, in the words of our own settings.

Known are the options of OpenSSL 3.0 to 3.6 (openssl-cmp(1)), and those of the CMP clients before
it, whose names changed over the years.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
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
_LISTS: Final = {"trusted", "untrusted", "out_trusted", "crls", "extracerts", "tls_trusted"}
_FLAGS: Final = {
    "implicit_confirm", "disable_confirm", "ignore_keyusage", "unprotected_requests",
    "san_nodefault", "centralkeygen", "crl_check", "crl_check_all",
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
_FILES: Final = {
    "newkey", "csr", "oldcert", "srvcert", "cert", "key", "tls_cert", "tls_key", "oldwithold",
    "crlcert", "oldcrl",
}  # fmt: skip

_READ_BY_CODE: Final = {
    "server": True, "proxy": True, "no_proxy": True, "tls_used": False, "mac": True,
    "digest": True, "popo": True, "policies": True, "policy_oids": True,
    "policy_oids_critical": False, "days": True, "revreason": True, "msg_timeout": True,
    "total_timeout": True, "unprotected_errors": False, "ta_in_ip_extracerts": False,
    "keyform": True, "certform": True, "proxyport": True,
}  # fmt: skip
"""Options with a translation of their own, and whether they have a value."""

_ON_TOKENS: Final = "a key on a token is named by --key pkcs11:... and --pkcs11-module"
_SEEN: Final = "the format is seen in the file"
_SECTION: Final = (
    "sections of a configuration file are not read: say it with --keyusage, --extkeyusage,"
    " --sans, --policy-oids and --extensions, or with --extensions-from and a CSR made with it"
)


def _options_with(why: str, values: str = "", flags: str = "") -> dict[str, tuple[bool, str]]:
    """Options with a value, and without, that are not carried over for one reason."""
    return dict.fromkeys(values.split(), (True, why)) | dict.fromkeys(flags.split(), (False, why))


_LOST: Final = (
    _options_with(
        "configuration files are not read: give what their sections say as options",
        "config section",
    )
    | _options_with("of generalInfo, bulkcmp sends implicitConfirm and certProfile only", "geninfo")
    | _options_with(_SECTION, "reqexts")
    | _options_with(
        "an answer must belong to its request, errors too", flags="nonmatched_error_nonces"
    )
    | _options_with("--save-messages DIR keeps every message, and extraCerts in it", "srvcertout")
    | _options_with("the path of our own certificate is for the server to check", "own_trusted")
    | _options_with("--crlout writes PEM", "crlform")
    | _options_with(
        "certificates of others are read from PEM or DER, not from PKCS#12", "otherpass"
    )
    | _options_with(_ON_TOKENS, "engine provider provider-path provparam propquery")
    | _options_with("put the chain behind the certificate in --tls-cert's file", "tls_extra")
    | _options_with("the TLS server's certificate must bear the host of --server", "tls_host")
    | _options_with("a population has a row for each certificate", "repeat")
    | _options_with(
        "bulkcmp makes its messages itself, and takes answers from the server only",
        "reqin rspin",
        "reqin_new_tid",
    )
    | _options_with("--save-messages DIR keeps every message", "reqout reqout_only rspout")
    | _options_with(
        "certification paths are checked by OpenSSL's default rules, as of now",
        "policy purpose verify_name verify_depth auth_level attime verify_hostname verify_email"
        " verify_ip",
        "ignore_critical policy_check explicit_policy inhibit_any inhibit_map x509_strict"
        " check_ss_sig suiteB_128_only suiteB_128 suiteB_192 no_check_time allow_proxy_certs",
    )
    | _options_with(
        "who signs answers is looked up in the CRLs of --crls only",
        "crl_timeout ocsp_url ocsp_timeout tls-crls",
        "extended_crl use_deltas cdps crl-all crl_download ocsp_check_all ocsp_use_aia ocsp_status"
        " tls-cdps tls-crl-all",
    )
    | _options_with(
        "it is for the mock server; bulkcmp ca serve is one",
        "port max_msgs srv_ref srv_secret srv_cert srv_key srv_keypass srv_trusted srv_untrusted"
        " ref_cert rsp_cert rsp_key rsp_keypass rsp_crl rsp_extracerts rsp_capubs rsp_newwithnew"
        " rsp_newwithold rsp_oldwithnew poll_count check_after pkistatus failure failurebits"
        " statusstring",
        "use_mock_srv grant_implicitconf send_error send_unprotected send_unprot_err"
        " accept_unprotected accept_unprot_err accept_raverified",
    )
)
"""Options without which something is different: whether they have a value, and why not here."""

_NEEDLESS: Final = (
    _options_with("bulkcmp probe --help", flags="help")
    | _options_with("bulkcmp probe shows every message and check", "verbosity")
    | _options_with("bulkcmp never asks", flags="batch")
    | _options_with("connections are kept where the server keeps them", "keep_alive")
    | _options_with(
        "no transaction takes certificates from another one", flags="no_cache_extracerts"
    )
    | _options_with(_SEEN, "otherform")
    | _options_with("random numbers are the system's", "rand writerand")
    | _options_with("every certificate of --trusted is a trust anchor", flags="partial_chain")
    | _options_with("it is so", flags="trusted_first")
    | _options_with("it does nothing in OpenSSL either", flags="issuer_checks no_alt_chains")
    | _options_with("it is for diagnosis", flags="policy_print")
)
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
            without its value, or an operation that bulkcmp lacks. No secret is shown.
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
                text = value.removeprefix("file:") if name in _FILES else value
                self._set[name] = _braced(text) if name in _TEMPLATES else text
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

    def _pass_over(self, names: Iterable[str], why: str) -> None:
        """Options that, if they were given, have no effect in OpenSSL either."""
        self._made.needless.update({name: why for name in names if name in self._given})

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
            beginning = "https://" if "tls_used" in self._given else "http://"
            self._note(f"no -server was given: say with --server {beginning}... which it is")
            self._pass_over(("proxy", "proxyport", "no_proxy"), "it is for a -server")
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
            self._pass_over(("proxyport",), "it is for a -proxy")
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
        if oids is None:
            self._pass_over(("policy_oids_critical",), "it is for -policy_oids")
        else:
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
        if "keyform" in self._given:
            if self._given["keyform"].upper().startswith("E"):
                self._lose("keyform", _ON_TOKENS)
            else:
                self._made.needless["keyform"] = _SEEN
        if "certform" in self._given:
            if self._given["certform"].upper().startswith("D"):
                self._lose("certform", "--certout writes PEM; enroll has --out-format der")
            else:
                self._made.needless["certform"] = _SEEN

    def _trust(self) -> None:
        if "unprotected_errors" in self._given:
            # openssl lets a bad pkiconf pass too
            self._set["unprotected_errors"] = self._set["tolerate_pkiconf"] = True
        anchored = not self._given.keys().isdisjoint(("trusted", "srvcert"))
        if "ta_in_ip_extracerts" in self._given:
            if not anchored and "secret" not in self._given:
                self._trust_first()
                return
            self._lose("ta_in_ip_extracerts", "it does not go with --trusted, nor with a secret")
        if anchored:
            if self._set.keys().isdisjoint(("trusted", "out_trusted")):
                self._note(
                    "issued certificates must chain to -srvcert; give their CA's with --trusted if"
                    " it is another"
                )
        elif "out_trusted" in self._given and "secret" in self._given:
            # openssl believes no signature then
            self._set["trusted"] = self._set.pop("out_trusted")
            self._set["accept_protection"] = "mac"
        else:
            self._note(
                "no trust anchor was given, and certificates are checked here: give the CA's with"
                " --trusted"
            )

    def _trust_first(self) -> None:
        self._set["trust_first_ca_cert"] = True
        for name in ("untrusted", "out_trusted"):
            if self._set.pop(name, None) is not None:
                self._lose(name, "it does not go with --trust-first-ca-cert")

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
        csr = self._set.pop("csr")
        if self._is_for("rr"):
            self._lose("csr", "the certificate to revoke is named by --oldcert, or by --serial")
        elif self._is_for("genm"):
            self._pass_over(("csr",), "genm does not use it")
        else:
            self._set["extensions_from"] = csr
            if "subject" not in self._given:
                self._note("the subject of -csr is not taken from it: give it with --subject")

    def _tls(self) -> None:
        if "tls_used" in self._given or str(self._set.get("server", "")).startswith("https:"):
            return
        for name in ("tls_cert", "tls_key", "tls_keypass", "tls_trusted"):
            self._set.pop(name, None)
            self._pass_over((name,), "without -tls_used it is not used")

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
