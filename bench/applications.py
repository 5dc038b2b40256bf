# SPDX-License-Identifier: Apache-2.0
"""Two parts of scripts/bench: programs that people run, in a guest, under limits that are too small.
What a guest prints becomes figures and tables here; README.md says how they come about."""
import pathlib
import shutil
import statistics
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[1]
# What the build compiles: sources of ours with heavy headers.
BUILD_SOURCES = ("agent/telemetry/timeline.cc", "agent/config/yaml.cc", "agent/policy/shrink.cc", "agent/policy/reason.cc")
STARTUP_MODES = ("unlimited", "static", "boost")
GOALS = (("build_ratio", 1.15, "{:.3f}"), ("build_failed", 0, "{}"), ("build_oom_kills", 0, "{}"),
         ("build_memory_back_seconds", 10, "{:.2f}"), ("startup_ratio", 1.05, "{:.3f}"),
         ("startup_restart_ratio", 1.05, "{:.3f}"), ("startup_back_seconds", 1, "{:.2f}"))


def output_of(*command):
    return subprocess.run([*map(str, command)], cwd=PROJECT, stdout=subprocess.PIPE, text=True,
                          check=True).stdout


# `guest` is script_guest of scripts/bench.
def measure_build(guest, kernel, rounds):
    make = shutil.which("make")
    if make is None:
        raise RuntimeError("there is no make: run scripts/deps")
    files = output_of("tests/vm/lib/compiler_files", *BUILD_SOURCES).splitlines()
    measured = guest(kernel, "bench/build_guest.sh",
                     {"ROUNDS": rounds, "SOURCES": " ".join(BUILD_SOURCES)}, ("plimsoll",),
                     also=(*files, f"{make}:/usr/bin/make"), memory=3072,
                     timeout=600 + 1200 * rounds)
    for run in measured["runs"]:
        if "report" in run:
            take_report(run, run.pop("report"))
    return measured


def take_report(run, report):
    """Of the report of `plimsoll run` what the figures are made of, instead of all of it."""
    layers = [grant["layer"] for grant in report["grants"]]
    cpu = report["cpu"]
    run.update(
        oom_kills=report["oom_kills"], denials=report["denials"], announced=report["announced"],
        grants_by_layer={layer: layers.count(layer) for layer in sorted(set(layers))},
        shrinks=report["shrinks_total"], final_limit_bytes=report["final_limit_bytes"],
        most_bytes=max([grant["to_bytes"] for grant in report["grants"]], default=None),
        cpu={key: cpu[key] for key in ("raises_total", "bursts_total", "lowerings_total",
                                       "final_limit_millicpu", "denials")})
    run["cpu"]["most_millicpu"] = max([change["to_millicpu"] for change in cpu["changes"]],
                                      default=None)


def measure_startup(guest, kernel, rounds, modes, cpus, build):
    packages = output_of("scripts/vm-packages", "--java", "--print", kernel).splitlines()
    java = pathlib.Path(next(line for line in packages if line.startswith("java ")).split()[1])
    classes = build / "startup"
    # The runtime has a compiler, but none by the name of javac.
    subprocess.run([java / "bin/java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", classes,
                    PROJECT / "bench/Start.java"], stdout=sys.stderr, check=True)
    return guest(kernel, "bench/startup_guest.sh",
                 {"ROUNDS": rounds, "MODES": " ".join(modes), "JAVA": java / "bin/java"},
                 ("plimsoll", "fake-apiserver", "fake-kubelet"),
                 also=(str(java), f"{classes}:/opt/start"), icount=True, cpus=cpus, memory=3072,
                 timeout=600 + 1200 * rounds)


def of_runs(part, figure, **wanted):
    """A figure of all runs of a kernel that are as wanted."""
    return [run.get(figure) for run in part["runs"]
            if all(run.get(key) == value for key, value in wanted.items())]


# What was never reached is None, and worse than any number.
def median(values):
    return None if None in values else statistics.median(values)


def worst(values):
    values = list(values)
    return None if None in values else max(values)


def ratio(above, below):
    above, below = median(above), median(below)
    return None if above is None or below is None else above / below


def summarize_build(kernels):
    ours = {"way": "plimsoll"}
    return {
        "build_ratio": worst(ratio(of_runs(one, "seconds", **ours),
                                   of_runs(one, "seconds", way="free")) for one in kernels),
        "build_failed": sum(status != 0 for one in kernels for status in of_runs(one, "status", **ours)),
        "build_oom_kills": sum(sum(of_runs(one, "oom_kills", **ours)) for one in kernels),
        "build_static_failed": sum(status != 0 for one in kernels
                                   for status in of_runs(one, "status", way="static")),
        "build_memory_back_seconds": worst(median(of_runs(one, "memory_back_seconds", **ours))
                                           for one in kernels),
        "build_cpu_back_seconds": worst(median(of_runs(one, "cpu_back_seconds", **ours))
                                        for one in kernels)}


def summarize_startup(kernels):
    wanted = {"startup_static_ratio": {"mode": "static"},
              "startup_ratio": {"mode": "boost", "restart": 0},
              "startup_restart_ratio": {"mode": "boost", "restart": 1}}
    summary = {}
    for name, runs in wanted.items():
        if all(of_runs(one, "seconds", **runs) for one in kernels):
            summary[name] = worst(ratio(of_runs(one, "seconds", **runs),
                                        of_runs(one, "seconds", mode="unlimited")) for one in kernels)
    if "startup_ratio" in summary:
        summary["startup_back_seconds"] = worst(worst(of_runs(one, "back_seconds", mode="boost"))
                                                for one in kernels)
    return summary


def text(value, form="{:.2f}"):
    return "" if value is None else form.format(value)


def print_build(kernel, measured):
    print(f"\nmake -j2 under 500m and 128 MiB, kernel {kernel}; back: seconds from the end of the load")
    print(f"{'':12}{'seconds':>9}{'CPU s':>8}{'status':>8}{'kills':>7}{'peak MiB':>10}{'throttled':>11}"
          f"{'memory back':>13}{'CPU back':>10}  grants")
    for run in measured["runs"]:
        grants = ", ".join(f"{count} {layer}" for layer, count in
                           run.get("grants_by_layer", {}).items())
        print(f"  {run['way']:10}{run['seconds']:9.1f}{run['cpu_seconds']:8.1f}{run['status']:8}"
              f"{run['oom_kills']:7}{run['peak_mib']:10}{run['throttled']:11}"
              f"{text(run.get('memory_back_seconds')):>13}{text(run.get('cpu_back_seconds')):>10}"
              f"  {grants}")


def print_startup(kernel, measured):
    print(f"\nA Java service from its start to its first answer, 300m, kernel {kernel}; back: seconds "
          "from Ready")
    print(f"{'':18}{'seconds':>9}{'CPU s':>8}{'CPUs seen':>11}{'throttled':>11}{'pod':>6}{'raised after':>14}"
          f"{'most, m':>9}{'back':>8}")
    for run in measured["runs"]:
        name = run["mode"] + (", restart" if run["restart"] else "")
        most = run["most_quota_us"] and run["most_quota_us"] / 100
        print(f"  {name:16}{text(run['seconds'], '{:.1f}'):>9}{run['cpu_seconds']:8.1f}"
              f"{text(run['processors'], '{}'):>11}{text(run['throttled'], '{}'):>11}"
              f"{text(run['pod_throttled'], '{}'):>6}"
              f"{text(run['raised_seconds']):>14}{text(most, '{:.0f}'):>9}"
              f"{text(run['back_seconds']):>8}")
