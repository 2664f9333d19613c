#!/bin/sh
# ldap3: names of entries are checked, and mended, before they are sent. An attribute may be given by its
# number, and a value as # and the hexadecimal digits of its BER encoding: section 4 of RFC 4514 has
# 1.3.6.1.4.1.1466.0=#04024869 among its examples. ldap3 raises LDAPInvalidDnError for the number, and
# puts a backslash before the #, which makes the value "Hi" the text "#04024869", another entry. A number
# sign that is not first, an equals sign and an empty value are allowed as they are (section 3);
# parse_dn() refuses them, and so what ldap3's escape_rdn() returns.
#
# Seen with ldap3 2.9.1 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ldap3==2.9.1
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

import ldap3
from ldap3.core.exceptions import LDAPInvalidDnError
from ldap3.utils.dn import escape_rdn, parse_dn, safe_dn


def tried(function, *arguments):
    try:
        return function(*arguments)
    except LDAPInvalidDnError as error:
        return f"LDAPInvalidDnError: {error}"


print(f"ldap3 {importlib.metadata.version('ldap3')}, CPython {platform.python_version()}")
connection = ldap3.Connection(ldap3.Server("nowhere"), client_strategy=ldap3.MOCK_SYNC)
connection.bind()
for name in ("UID=jsmith,DC=example,DC=net", "CN=Before\\0dAfter,DC=example,DC=net"):
    print(name, "->", tried(safe_dn, name))
    assert safe_dn(name) == name

numbered = "1.3.6.1.4.1.1466.0=#04024869"
refusal = tried(connection.search, numbered, "(objectClass=*)", ldap3.BASE)
print(numbered, "->", refusal)
assert refusal == "LDAPInvalidDnError: character '.' not allowed in attribute type", refusal

encoded = "CN=#04024869,DC=example"
print(encoded, "->", tried(safe_dn, encoded))
assert tried(safe_dn, encoded) == "CN=\\#04024869,DC=example"

for value, refusal in (
    (escape_rdn("Room #5"), "special character # must be escaped"),
    ("a=b", "special character = must be escaped"),
    ("", "unable to validate attribute value in CN="),
):
    seen = tried(parse_dn, f"CN={value},DC=example")
    print(f"parse_dn of CN={value},DC=example ->", seen)
    assert seen == f"LDAPInvalidDnError: {refusal}", seen
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
