#!/usr/bin/env python3
"""Writes a bundle that is signed, for the tests of the bindings.

usage: bindings/signed.py FOLDER

FOLDER/signed is the bundled model with a signature in minisign's format, FOLDER/minisign.pub the key
that signed it, and FOLDER/other.pub another. The keys are made of fixed bytes, and worth nothing.
Ed25519 is that of RFC 8032: short, slow, and without a second package.
"""

import base64
import hashlib
import pathlib
import shutil
import sys

BUNDLE = pathlib.Path(__file__).resolve().parents[1] / "models/mini"
PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, PRIME) % PRIME
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def add(left, right):
    """The sum of two points of the curve."""
    (x1, y1), (x2, y2) = left, right
    product = CURVE * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME)
    return x % PRIME, y % PRIME


def multiple(number):
    """The base point, so many times, as 32 bytes."""
    point, doubled = (0, 1), BASE
    while number:
        if number & 1:
            point = add(point, doubled)
        doubled = add(doubled, doubled)
        number >>= 1
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def hashed(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


class Key:
    """A pair of keys."""

    def __init__(self, seed):
        halves = hashlib.sha512(seed).digest()
        self.secret = int.from_bytes(halves[:32], "little") & (2**254 - 8) | 2**254
        self.prefix, self.public = halves[32:], multiple(self.secret)
        self.id = self.public[:8]

    def sign(self, message):
        """The 64 bytes of a signature."""
        once = hashed(self.prefix, message) % ORDER
        point = multiple(once)
        proof = (once + hashed(point, self.public, message) * self.secret) % ORDER
        return point + proof.to_bytes(32, "little")

    def text(self):
        """What minisign.pub holds."""
        key = base64.b64encode(b"Ed" + self.id + self.public).decode()
        return f"untrusted comment: minisign public key\n{key}\n"

    def minisign(self, data):
        """What data.minisig holds: the signature of its hash, and of that and a comment."""
        signature = self.sign(hashlib.blake2b(data).digest())
        comment = "made for a test"
        first = base64.b64encode(b"ED" + self.id + signature).decode()
        second = base64.b64encode(self.sign(signature + comment.encode())).decode()
        return f"untrusted comment: none\n{first}\ntrusted comment: {comment}\n{second}\n"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: bindings/signed.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    key, other = Key(b"1" * 32), Key(b"2" * 32)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BUNDLE, folder / "signed")
    manifest = (BUNDLE / "manifest.json").read_bytes()
    (folder / "signed/manifest.json.minisig").write_text(key.minisign(manifest))
    (folder / "minisign.pub").write_text(key.text())
    (folder / "other.pub").write_text(other.text())


if __name__ == "__main__":
    main()
