#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/image writes, read as containerd reads it, and run as a container would be.

usage: archive.py BUILD_DIRECTORY"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LARGEST = 40 * 1000 * 1000


def check(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")
    print(f"ok: {what}")


def make(build, output):
    subprocess.run([ROOT / "scripts/image", "--build", build, "--output", output], check=True)
    return output.read_bytes()


class Layout:
    """An OCI image layout in a tar."""

    def __init__(self, archive):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.entries = tar.getmembers()
            self.files = {entry.name: tar.extractfile(entry).read()
                          for entry in self.entries if entry.isfile()}
        self.used = set()

    def json(self, name):
        return json.loads(self.files[name])

    def blob(self, descriptor):
        """What a descriptor points to, if it is what it says."""
        algorithm, digest = descriptor["digest"].split(":")
        name = f"blobs/{algorithm}/{digest}"
        data = self.files[name]
        self.used.add(name)
        check(hashlib.sha256(data).hexdigest() == digest and len(data) == descriptor["size"],
              f"digest and size of {descriptor['mediaType']}")
        return data


def check_layout(archive, tag):
    layout = Layout(archive)
    check(layout.json("oci-layout") == {"imageLayoutVersion": "1.0.0"}, "oci-layout")
    index = layout.json("index.json")
    check(index["schemaVersion"] == 2 and len(index["manifests"]) == 1, "one image")
    annotations = index["manifests"][0]["annotations"]
    check(annotations["io.containerd.image.name"] == f"plimsoll.dev/plimsoll:{tag}" and
          annotations["org.opencontainers.image.ref.name"] == tag, "its name")
    manifest = json.loads(layout.blob(index["manifests"][0]))
    config = json.loads(layout.blob(manifest["config"]))
    check(config["os"] == "linux" and config["architecture"] in ("amd64", "arm64"), "platform")
    check(config["config"]["Entrypoint"] == ["/plimsoll"], "entry point")
    check(len(manifest["layers"]) == 1, "one layer")
    layer = gzip.decompress(layout.blob(manifest["layers"][0]))
    check(config["rootfs"] == {"type": "layers",
                               "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
          "the layer's digest, unpacked")
    blobs = {name for name in layout.files if name.startswith("blobs/")}
    check(blobs == layout.used, "no blob that nothing points to")
    check(all(entry.mtime == 0 and entry.uid == 0 for entry in layout.entries), "fixed times")
    return layer


def check_layer(layer, root):
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        entries = tar.getmembers()
        names = [entry.name for entry in entries]
        check(names == sorted(set(names)), "sorted, each once")
        check(all(entry.isfile() or entry.isdir() for entry in entries), "files and directories only")
        check(not any(entry.mode & 0o6000 for entry in entries), "nothing set-user-id")
        check(all(entry.mtime == 0 and entry.uid == 0 and entry.gid == 0 for entry in entries),
              "fixed times and owners")
        tar.extractall(root)
    programs = [entry.name for entry in entries if entry.isfile() and entry.mode & 0o111
                and not os.path.basename(entry.name).startswith(("lib", "ld-"))]
    check(programs == ["plimsoll"], f"no program but ours ({programs})")


# As a runtime does it: a mount of its own, read-only, with /proc and /sys.
CONTAINER = """set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
mount --rbind /sys "$1/sys"
mount -o remount,bind,ro "$1"
root=$1
shift
PATH=$PATH:/usr/sbin:/sbin
exec env -i "$(command -v chroot)" "$root" /plimsoll "$@"
"""


def run_in(root, *words):
    command = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    return subprocess.run([*command, "sh", "-c", CONTAINER, "sh", str(root), *words],
                          capture_output=True, text=True, check=False, timeout=100)


def check_program(root, tag):
    done = run_in(root, "--version")
    check(done.returncode == 0 and done.stdout == f"plimsoll {tag}\n",
          f"plimsoll --version ({done.stdout}{done.stderr})")
    done = run_in(root, "config", "defaults")
    check(done.returncode == 0 and "pods.ceiling" in done.stdout, "plimsoll config defaults")
    # 0, 1 or 2 by what the machine can do, said in words; anything else is no answer.
    done = run_in(root, "doctor", "--json")
    check(done.returncode in (0, 1, 2) and "tier" in json.loads(done.stdout),
          f"plimsoll doctor ({done.returncode}, {done.stderr})")
    # It runs because everything is there, so it must not run when something is not.
    library = next(root.glob("lib/*/libyaml-cpp.so*"))
    library.unlink()
    done = run_in(root, "--version")
    check(done.returncode == 127 and library.name in done.stderr, "only its own libraries are used")


def main():
    build = pathlib.Path(sys.argv[1])
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    os.environ.clear()
    os.environ.update(environment)
    tag = subprocess.run([ROOT / "scripts/image", "--print-name"], capture_output=True, text=True,
                         check=True).stdout.strip().split(":")[1]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        archive = make(build, scratch / "one.tar")
        check(len(archive) < LARGEST, f"{len(archive) / 1e6:.1f} MB are under 40")
        check(make(build, scratch / "two.tar") == archive, "the same bytes a second time")
        layer = check_layout(archive, tag)
        root = scratch / "root"
        root.mkdir()
        check_layer(layer, root)
        check_program(root, tag)
    print("passed")


if __name__ == "__main__":
    main()
