"""What tests of several folders share: a PKCS#11 token, by SoftHSM, a PostgreSQL server, disks."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, settings

from bulkcmp.journal import seal
from tests.disk import SmallDisk

# the same examples each time, and a busy machine is no failure
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")
# other ones each time, for whoever looks for what nobody thought of: --hypothesis-profile=other
settings.register_profile("other", settings.get_profile("same"), derandomize=False)


@pytest.fixture(scope="session", autouse=True)
def _cheap_passphrases() -> Iterator[None]:
    """Passphrases cost little to derive keys from, and to guess, but where that is the subject."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "WORK", 1 << 8)
        yield


_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")


def _absent(what: str) -> None:
    if os.environ.get("BULKCMP_PEERS") == "required":
        pytest.fail(what)
    pytest.skip(what)


@dataclass(frozen=True)
class SoftHsm:
    """Tokens of SoftHSM, which take key pairs from elsewhere."""

    module: str
    configuration: Path

    PIN = "1234"

    def token(self, label: str) -> "SoftToken":
        """Make a token; once in a session: a second one of the label could not be told from it.

        A fixture that calls this is of session scope too: where tests are stolen by another
        worker, one of module scope may be made again.
        """
        self.run("--init-token", "--free", "--label", label, "--pin", self.PIN, "--so-pin", "5678")
        self.begin_anew()
        return SoftToken(self, label)

    def run(self, *arguments: object) -> None:
        """Run `softhsm2-util`."""
        done = subprocess.run(
            ["softhsm2-util", *map(str, arguments), "--module", self.module],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def begin_anew(self) -> None:
        """End all sessions of this process, and find the tokens that there are now."""
        self._library().reinitialize()

    def _library(self) -> Any:
        import pkcs11

        return pkcs11.lib(self.module)


@dataclass(frozen=True)
class SoftToken:
    hsm: SoftHsm
    label: str

    def uri(self, key: str) -> str:
        return f"pkcs11:token={quote(self.label)};object={key}"

    def put_key(self, label: str, key: PrivateKeyTypes, identity: str) -> None:
        """Import a private key, by `softhsm2-util`.

        Args:
            identity: CKA_ID, hex.
        """
        path = self.hsm.configuration.parent / f"{self.label}-{label}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.hsm.run(
            "--import", path, "--token", self.label, "--label", label, "--id", identity, "--pin",
            self.hsm.PIN,
        )  # fmt: skip
        self.hsm.begin_anew()

    def put_certificate(self, label: str, certificate: x509.Certificate, identity: str) -> None:
        from pkcs11 import Attribute, CertificateType, ObjectClass

        self.hsm.begin_anew()
        with self._open() as session:
            session.create_object(
                {
                    Attribute.CLASS: ObjectClass.CERTIFICATE,
                    Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                    Attribute.TOKEN: True,
                    Attribute.LABEL: label,
                    Attribute.ID: bytes.fromhex(identity),
                    Attribute.SUBJECT: certificate.subject.public_bytes(),
                    Attribute.VALUE: certificate.public_bytes(Encoding.DER),
                }
            )

    def make_ed25519(self, label: str) -> ed25519.Ed25519PublicKey:
        """Make a key pair on the token: `softhsm2-util` imports no such key."""
        from pkcs11 import Attribute, KeyType, Mechanism
        from pkcs11.util.ec import encode_named_curve_parameters

        self.hsm.begin_anew()
        with self._open() as session:
            curve = session.create_domain_parameters(
                KeyType.EC_EDWARDS,
                {Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")},
                local=True,
            )
            public, _ = curve.generate_keypair(
                mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label
            )
            # an OCTET STRING around the point
            return ed25519.Ed25519PublicKey.from_public_bytes(public[Attribute.EC_POINT][2:])

    def remove_public_key(self, label: str) -> None:
        from pkcs11 import Attribute, ObjectClass

        self.hsm.begin_anew()
        with self._open() as session:
            wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: label}
            for found in session.get_objects(wanted):
                found.destroy()

    def destroy(self) -> None:
        self.hsm.run("--delete-token", "--token", self.label)
        self.hsm.begin_anew()

    def _open(self) -> Any:
        token = self.hsm._library().get_token(token_label=self.label)
        return token.open(rw=True, user_pin=self.hsm.PIN)


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    try:
        import pkcs11  # noqa: F401  # is it there?
    except ModuleNotFoundError:
        _absent("python-pkcs11 is not installed")
    module = next((path for path in _MODULES if Path(path).exists()), None)
    if module is None:
        _absent("SoftHSM is not installed")
    assert module is not None
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        yield SoftHsm(module, configuration)


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server, reached by a socket in a folder."""

    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://bulkcmp@/{database}?host={self.folder}"

    def make(self, options: str = "") -> str:
        """Make an empty database, and return its URL."""
        name = f"d{uuid.uuid4().hex}"
        self.run(self.url("postgres"), f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def run(self, url: str, query: str) -> list[Any]:
        """Execute a statement, and return the rows it gives, if any."""
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(query.encode())
            return done.fetchall() if done.description else []


def _postgres_program(name: str) -> str:
    # Debian keeps the server's programs out of PATH
    debian = sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))
    program = debian[-1] if debian else shutil.which(name)
    if program is None:
        _absent("PostgreSQL is not installed")
    assert program is not None
    return program


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        import psycopg
    except ImportError:
        _absent("psycopg is not installed")
    initdb, server = _postgres_program("initdb"), _postgres_program("postgres")
    # a short name: that of a socket may have 107 characters
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        user: list[str] = []
        if os.geteuid() == 0:
            # it refuses to run as root
            user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(folder, "postgres")
        data = folder / "data"
        making = [initdb, "-D", str(data), "-U", "bulkcmp", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*user, *making, "--no-locale"], check=True, capture_output=True, cwd="/")
        configuration = {
            "listen_addresses": "",
            "unix_socket_directories": name,
            "shared_buffers": "16MB",
            "max_connections": "40",
        }
        serving = [
            server,
            "-D",
            str(data),
            *(f"--{key}={value}" for key, value in configuration.items()),
        ]
        log = folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen([*user, *serving], cwd="/", stdout=file, stderr=file)
        try:
            made = Postgres(folder)
            while True:
                assert process.poll() is None, log.read_text()
                try:
                    made.run(made.url("postgres"), "SELECT 1")
                    break
                except psycopg.OperationalError:
                    time.sleep(0.1)
            yield made
        finally:
            if process.poll() is None:
                # to the server, not to runuser: shut down at once, for nobody wants the data
                os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            process.wait()


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> str:
    """URL of a database that tests share, each with runs of its own."""
    return postgres.make()


MakeDisk = Callable[[Path, int], SmallDisk]


@pytest.fixture
def make_disk() -> Iterator[MakeDisk]:
    """Mounts file systems of so many KiB, where this user may do that."""
    with ExitStack() as stack:

        def make(path: Path, kib: int) -> SmallDisk:
            if shutil.which("mount") is None:
                pytest.skip("there is no mount on this machine")
            try:
                disk = SmallDisk(path, kib)
            except PermissionError as error:
                pytest.skip(f"no file system can be mounted: {error}")
            stack.callback(disk.close)
            return disk

        yield make
