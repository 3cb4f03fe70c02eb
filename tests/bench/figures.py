"""One function per figure: runs what it needs, returns ours, the reference's and the ratio, all from this run."""
import http.client
import json
import ssl
import statistics
import subprocess
import threading

import machine
from harness.feeder import dataset_file
from harness.processes import require, run
from harness.victoria_metrics import OTLP_PATH, VictoriaMetrics
from harness.world import MODEL, read_json
from references import Nginx, Rauc

READINGS = 5
CONNECTIONS = 64


def spread(samples):
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples), "samples": len(samples)}


def figure(name, unit, ours, reference, ratio, goal, met, detail, timed=True):
    return {"timed": timed, "figure": name, "unit": unit, "ours": ours, "reference": reference, "ratio": ratio, "goal": goal,
            "met": met, "detail": detail}


def program_json(arguments, limit_s):
    out, _ = run(arguments, limit_s=limit_s)
    return json.loads(out)


def readings(pid, family=(), before_each=lambda: None):
    """A process's memory several times over. Devices poll meanwhile; `before_each` makes it work."""
    pause, taken = threading.Event(), []
    for _ in range(READINGS):
        pause.wait(0.3)
        before_each()
        taken.append({**machine.memory_kib(pid), "alone": machine.memory_alone_kib(pid, family)})
    return {kind: spread([one[kind] / 1024 for one in taken]) for kind in taken[0]}


def active_slot(device):
    state = device.slot_state()
    return device.data / "models" / MODEL / state["active"], state["slots"][state["active"]]


def local_api(world, device, quick):
    """Added latency of the local API on the Unix socket over bare ONNX Runtime."""
    folder, slot = active_slot(device)
    measured = program_json([world.bin / "bench_local_api", "--socket", device.data / "run" / "infer.sock",
                             "--model", MODEL, "--model-file", folder / "model.onnx",
                             "--runtime-library", world.runtime_library, "--images", dataset_file("t10k-images"),
                             "--rounds", 10 if quick else 40, "--per-round", 100 if quick else 250], 120)
    return figure("local API, added median latency", "us", measured["added_us"],
                  {"name": f"bare ONNX Runtime, {slot['variant']}", **measured["bare_us"]},
                  measured["api_us"]["median"] / measured["bare_us"]["median"],
                  "added <= 60 us", measured["added_us"]["median"] <= 60, measured)


def ask(world, device, windows, per_window):
    """Real images through the agent's socket; what their windows would be as uploads comes back."""
    folder, slot = active_slot(device)
    status, identity = device.status(), read_json(device.data / "identity" / "device.json")
    worker = machine.children_of(device.program.pid)[0]
    origin = world.folder / "origin.json"
    origin.write_text(json.dumps({
        "install": identity["install"], "boot": status["boot"], "agent_version": status["agent_version"],
        "worker_memory_bytes": machine.memory_kib(worker)["rss"] * 1024,
        "release": {"model": MODEL, "version": slot["version"], "manifest_sha256": slot["manifest_sha256"],
                    "slot": folder.name, "rollout": slot["rollout"], "arm": slot["arm"]}}))
    return program_json([world.bin / "bench_upload_size", "--socket", device.data / "run" / "infer.sock",
                         "--release", origin, "--reference", folder / "reference.json",
                         "--images", dataset_file("t10k-images"), "--labels", dataset_file("t10k-labels"),
                         "--windows", windows, "--per-window", per_window], 120)


def telemetry_upload(world, device, quick):
    """Bytes of one window's upload; asks the agent 1,000 times in all, which the next figure counts on."""
    slot = active_slot(device)[1]
    measured = ask(world, device, windows=5, per_window=200)
    require(measured["inferences"] == 1000, f"expected 1,000 inferences, {measured['inferences']} were made")
    return [upload_figure(name, measured[kind], slot, limit)
            for name, kind, limit in (("telemetry upload, 10 classes", "plain", 800),
                                      ("the same with labels", "labelled", None),
                                      ("full-featured telemetry upload", "full", 1200))]


def upload_figure(name, sizes, slot, limit):
    ours, text = sizes["upload_bytes"], sizes["text_bytes"]
    return figure(name, "B", ours, {"name": "the same numbers as Prometheus text, gzip", **text},
                  ours["median"] / text["median"], f"<= {limit:,} B gzip" if limit else "",
                  ours["median"] <= limit if limit else None,
                  {**sizes, "rollout": slot["rollout"], "arm": slot["arm"]}, timed=False)


def supervisor_memory(world, device, quick):
    """PSS of the supervisor alone, after the inferences of the figures before."""
    answered = sum(int(m["inference_count"]) for m in stats(device)["model_stats"])
    require(answered >= 1000, f"the agent has answered {answered} inferences, expected at least 1,000")
    workers = machine.children_of(device.program.pid)
    ours = readings(device.program.pid, workers, lambda: ask(world, device, windows=1, per_window=100))
    rauc = Rauc(world.folder / "rauc", world.server.data / "ca" / "ca.pem")
    try:
        rauc.start()
        reference, version = readings(rauc.pid()), rauc.version()
    finally:
        rauc.close()
    detail = {"ours": ours, "reference": reference, "inferences": answered,
              "worker_pss": [machine.memory_kib(pid)["pss"] / 1024 for pid in workers]}
    return [memory_figure("supervisor PSS after 1,000 inferences", "pss", detail, version),
            memory_figure("the same, sharing with its worker only", "alone", detail, version)]


def memory_figure(name, kind, detail, version):
    ours, reference = detail["ours"][kind], detail["reference"][kind]
    goal = {"goal": "<= 10 MiB", "met": ours["median"] <= 10} if kind == "pss" else {"goal": "", "met": None}
    return figure(name, "MiB", ours, {"name": f"RAUC {version} service, idle", **reference},
                  ours["median"] / reference["median"], detail=detail, timed=False, **goal)


def stats(device):
    from harness.feeder import UnixConnection
    connection = UnixConnection(device.data / "run" / "infer.sock")
    try:
        connection.request("GET", f"/v2/models/{MODEL}/stats")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def assignment_of(world, identity):
    """One check-in as any HTTPS client would make it: the body that nginx gets as its static file."""
    context = ssl.create_default_context(cafile=str(world.server.run["ca_file"]))
    context.load_cert_chain(str(identity / "certificate.pem"), str(identity / "key.pem"))
    connection = http.client.HTTPSConnection("localhost", int(world.server.ports["device"]), context=context, timeout=10)
    try:
        connection.request("GET", "/device/v1/assignment")
        answer = connection.getresponse()
        body = answer.read()
        require(answer.status == 200, f"check-in: {answer.status}: {body[:300]!r}")
        require(json.loads(body)["models"], f"the assignment names no model: {body[:300]!r}")
        return body
    finally:
        connection.close()


def check_ins(world, identities, quick):
    """Check-ins per CPU-second of ferryd beside nginx serving the same bytes from a file. Two figures: 304 and 200."""
    ca = world.server.data / "ca"
    body = assignment_of(world, identities[0])
    nginx = Nginx(world.folder / "nginx", ca / "server.pem", ca / "server-key.pem", ca / "ca.pem", body)
    try:
        nginx.start()
        ferryd, port = world.server.program.pid, int(world.server.ports["device"])
        plan = world.folder / "plan.json"
        target = [{"name": f"{name} {304 if conditional else 200}", "port": number, "path": path, "pids": pids,
                   "conditional": conditional}
                  for conditional in (True, False)
                  for name, number, path, pids in (("ferryd", port, "/device/v1/assignment", [ferryd]),
                                                   ("nginx", nginx.port, "/assignment", nginx.pids()))]
        plan.write_text(json.dumps({
            "ca": str(ca / "ca.pem"), "server_name": "localhost", "connections": CONNECTIONS,
            "rounds": 5 if quick else 9, "seconds": 0.6 if quick else 2.0, "warm_up_seconds": 0.3 if quick else 1.0,
            "identities": [{"certificate": str(i / "certificate.pem"), "key": str(i / "key.pem")} for i in identities],
            "targets": target}))
        available = machine.cores()
        for pid in [ferryd, *nginx.pids()] if len(available) > 1 else []:
            machine.pin(pid, available[0])
        load = ["taskset", "-c", str(available[-1]), world.bin / "bench_checkin_load", plan]
        measured = {one["name"]: one for one in program_json(load, 150)["targets"]}
        version = nginx.version()
    finally:
        nginx.close()
    return [check_in_figure(status, measured, version, len(body)) for status in (304, 200)]


def check_in_figure(status, measured, version, body_bytes):
    ours, theirs = measured[f"ferryd {status}"], measured[f"nginx {status}"]
    ratio = ours["requests_per_cpu_s"]["median"] / theirs["requests_per_cpu_s"]["median"]
    return figure(f"check-ins per CPU-second, {status}", "/CPU-s", ours["requests_per_cpu_s"],
                  {"name": f"nginx {version}, static file of {body_bytes} B, {status}", **theirs["requests_per_cpu_s"]},
                  ratio, ">= 0.5 of nginx", ratio >= 0.5, {"ferryd": ours, "nginx": theirs})


def telemetry_ingest(world, device, identities, quick):
    """Uploads of the same windows per CPU-second: ferryd over mutual TLS, VictoriaMetrics as text and as OTLP."""
    ca, (folder, slot) = world.server.data / "ca", active_slot(device)
    victoria = VictoriaMetrics(world.folder / "victoria-metrics")
    try:
        victoria.start()
        ferryd, plan = world.server.program.pid, world.folder / "telemetry-plan.json"
        uploads = 4_000 if quick else 20_000
        plan.write_text(json.dumps({
            "ca": str(ca / "ca.pem"), "server_name": "localhost", "rounds": 5 if quick else 9,
            "release": {"model": MODEL, "version": slot["version"], "manifest_sha256": slot["manifest_sha256"],
                        "reference": str(folder / "reference.json")},
            "identities": [{"certificate": str(i / "certificate.pem"), "key": str(i / "key.pem")} for i in identities],
            "targets": [
                {"name": "ferryd", "port": int(world.server.ports["device"]), "path": "/v1/metrics", "tls": True,
                 "form": "ferry", "uploads": uploads, "pids": [ferryd]},
                {"name": "text", "port": victoria.port, "path": "/api/v1/import/prometheus", "tls": False,
                 "form": "text", "uploads": uploads, "pids": [victoria.program.pid]},
                {"name": "otlp", "port": victoria.port, "path": OTLP_PATH, "tls": False,
                 "form": "otlp", "uploads": uploads, "pids": [victoria.program.pid]}]}))
        available = machine.cores()
        for pid in [ferryd, victoria.program.pid] if len(available) > 1 else []:
            machine.pin(pid, available[0])
        load = ["taskset", "-c", str(available[-1]), world.bin / "bench_telemetry_load", plan]
        applied = windows_applied(world)
        measured = {one["name"]: one for one in program_json(load, 300)["targets"]}
        applied = windows_applied(world) - applied
        sent = measured["ferryd"]["uploads"] + len(identities)
        require(applied == sent, f"{sent} windows were acknowledged, {applied} were applied")
        version = victoria.version()
    finally:
        victoria.close()
    ours, text = measured["ferryd"]["uploads_per_cpu_s"], measured["text"]["uploads_per_cpu_s"]
    ratio, samples = ours["median"] / text["median"], measured["text"]["text_samples"]
    found = [figure("telemetry uploads per CPU-second", "/CPU-s", ours,
                    {"name": f"VictoriaMetrics {version}, text import, {samples:.0f} samples each", **text},
                    ratio, ">= 2.0 of VictoriaMetrics", ratio >= 2, measured)]
    otlp = measured["otlp"]["uploads_per_cpu_s"]
    found.append(figure("the same beside its OTLP receiver", "/CPU-s", ours,
                        {"name": f"VictoriaMetrics {version}, OTLP totals, gzip", **otlp},
                        ours["median"] / otlp["median"], "", None, {}))
    return found


def telemetry_cost(world, quick):
    """Nanoseconds on the device and on the server; nothing else of the product runs."""
    measured = program_json([world.bin / "bench_telemetry_cost", *(["--quick"] if quick else [])], 120)

    def beside(name, unit, ours, reference, called, goal, limit):
        return figure(name, unit, ours, {"name": called, **reference}, ours["median"] / reference["median"], goal,
                      ours["median"] <= limit, measured)
    record, merge, inference = measured["record_ns"], measured["merge_ns"], measured["inference_ns"]
    judge = measured["judge"]["verdict_us"]
    return [beside("histogram, one value", "ns", record["sketch"], record["array"], "log2() and an array", "<= 10 ns", 10),
            beside("histogram, one merge", "ns", merge["sketch"], merge["map"], "std::map of the same buckets", "<= 1 us", 1000),
            beside("one inference's telemetry", "ns", inference["ours"], inference["exponentials"],
                   "ten exp() and a maximum", "<= 100 ns", 100),
            figure("verdict over 1,000 pairs", "us", judge, {"name": "the goal", "median": 1000, "min": 1000, "max": 1000},
                   judge["median"] / 1000, "<= 1 ms", judge["median"] <= 1000, measured)]


def windows_applied(world):
    _, text = world.server.api.request("GET", "/metrics")
    name = "ferry_telemetry_windows_applied_total "
    return sum(int(float(line.removeprefix(name))) for line in text.decode().splitlines() if line.startswith(name))


def checked(function, *arguments):
    """Runs a figure and says how busy others kept the machine just before it."""
    load = machine.other_load()
    found = function(*arguments)
    for one in found if isinstance(found, list) else [found]:
        one["other_load"] = round(load, 3)
    return found if isinstance(found, list) else [found]
