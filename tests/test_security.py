"""What is dangerous is used where it is known to be safe, and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import bulkcmp

ROOT: Final = Path(bulkcmp.__file__).parent

MODULES: Final = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
"""Which make objects of octets; JSON and TOML are read instead."""
BUILTINS: Final = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES: Final = {
    ("tempfile", "mktemp"),
    ("os", "system"),
    ("os", "popen"),
    ("ssl", "CERT_NONE"),
    ("ssl", "CERT_OPTIONAL"),
    ("ssl", "_create_unverified_context"),
}

ALLOWED: Final = {
    ("engine/channel.py", "import pickle"): (
        "frames of our own program, over a socketpair, or a cluster's TLS or loopback"
    ),
    ("io/tls.py", "ssl.CERT_NONE"): "--insecure, which prints and is in every report",
    ("io/tls.py", "check_hostname = False"): "--insecure",
    ("testca/server.py", "ssl.CERT_NONE"): "of clients: who asks is proved in CMP",
}


def dangers(tree: ast.AST) -> Iterator[str]:
    """Each dangerous use in a module, in words."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                for name in names:
                    if name.name.partition(".")[0] in MODULES:
                        yield f"import {name.name}"
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in MODULES:
                    yield f"from {module}"
                for name in names:
                    if (module, name.name) in ATTRIBUTES:
                        yield f"from {module} import {name.name}"
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield name
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (
                module,
                name,
            ) in ATTRIBUTES:
                yield f"{module}.{name}"
            case ast.keyword(arg="shell" | "verify" as name, value=value) if not isinstance(
                value, ast.Constant
            ) or value.value is (name == "shell"):
                # a context of TLS is no switch
                if name == "shell" or isinstance(value, ast.Constant):
                    yield f"{name}={ast.unparse(value)}"
            case ast.Assign(
                targets=[ast.Attribute(attr="check_hostname")], value=ast.Constant(False)
            ):
                yield "check_hostname = False"


def test_each_danger_is_known() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), danger)
        for path in ROOT.rglob("*.py")
        for danger in dangers(ast.parse(path.read_bytes()))
    }
    assert found == set(ALLOWED)


def test_dangers_are_seen() -> None:
    source = """
import pickle, marshal as m
from yaml import load
from os import system
from tempfile import mktemp
eval("1")
exec("1")
os.system("true")
tempfile.mktemp()
subprocess.run("true", shell=True)
subprocess.run("true", shell=wanted)
httpx.get(url, verify=False)
context.verify_mode = ssl.CERT_NONE
context.check_hostname = False
# and what is none
subprocess.run("true", shell=False)
httpx.get(url, verify=context)
httpx.get(url, verify=True)
json.loads(text)
re.compile("x")
"""
    assert sorted(dangers(ast.parse(source))) == [
        "check_hostname = False",
        "eval",
        "exec",
        "from os import system",
        "from tempfile import mktemp",
        "from yaml",
        "import marshal",
        "import pickle",
        "os.system",
        "shell=True",
        "shell=wanted",
        "ssl.CERT_NONE",
        "tempfile.mktemp",
        "verify=False",
    ]
