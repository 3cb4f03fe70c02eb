"""The layer check finds what it exists to find: each case is a small tree with one offence in it."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(files):
    """Runs the check over a tree of {path: text} and the real layers; returns (exit code, output)."""
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        (tree / "cmake").mkdir()
        shutil.copy(ROOT / "cmake/layers.cmake", tree / "cmake")
        for name, text in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text + "\n")
        run = subprocess.run(
            ["cmake", f"-DROOT={tree}", "-P", ROOT / "cmake/check_layers.cmake"],
            capture_output=True, text=True, check=False)
        return run.returncode, " ".join((run.stdout + run.stderr).split())


class Layers(unittest.TestCase):
    refused = {
        "an undeclared arrow":
            ({"ota/a.cpp": '#include "telemetry/sketch.hpp"'}, "ota may not use telemetry"),
        "an arrow upwards":
            ({"common/a.hpp": '#include "server/app.hpp"'}, "common may not use server"),
        "the server reaching for the runtime":
            ({"server/a.cpp": '  #  include "runtime/engine.hpp"'}, "server may not use runtime"),
        "another folder's internal header":
            ({"agent/a.cpp": '#include "ota/internal/walk.hpp"'}, "internal/ headers belong to ota alone"),
        "another folder's internal header, from a test":
            ({"tests/agent/a_test.cpp": '#include "ota/internal/walk.hpp"'}, "internal/ headers belong to ota alone"),
        "a layer that includes its tests":
            ({"ota/a.cpp": '#include "tests/support/fake.hpp"'}, "ota must not know tests"),
        "a path that does not start at the root":
            ({"ota/a.cpp": '#include "a.hpp"'}, "write the path from the repository's root"),
        "a folder nobody declared":
            ({"ota/a.cpp": '#include "helpers/a.hpp"'}, "helpers is not a layer"),
        "ONNX Runtime outside its engine":
            ({"runtime/tensor.cpp": "#include <onnxruntime_c_api.h>"}, "runtime/onnx_"),
        "Beast in a public header":
            ({"common/http/server.hpp": "#include <boost/beast/http.hpp>"}, "common/http/"),
        "Asio's SSL outside common/http":
            ({"server/a.cpp": "#include <boost/asio/ssl.hpp>"}, "common/http/"),
        "OpenSSL in the server":
            ({"server/a.cpp": "#include <openssl/evp.h>"}, "only files like"),
        "OpenSSL in a public header":
            ({"common/crypto.hpp": "#include <openssl/evp.h>"}, "only files like"),
        "SQLite in the server":
            ({"server/store/a.cpp": "#include <sqlite3.h>"}, "common/(sqlite"),
        "libcurl in the agent":
            ({"agent/a.cpp": "#include <curl/curl.h>"}, "common/(curl"),
    }

    def test_offences_are_refused(self):
        for name, (files, expected) in self.refused.items():
            with self.subTest(name):
                code, output = check(files)
                self.assertNotEqual(code, 0)
                self.assertIn(expected, output)
                self.assertIn("layers: 1 forbidden", output)

    def test_what_is_declared_passes(self):
        code, output = check({
            "common/crypto_sign.cpp": "#include <openssl/evp.h>\n#include \"common/crypto.hpp\"",
            "common/http/internal/session.hpp": "#include <boost/beast/core.hpp>",
            "common/sqlite.cpp": "#include <sqlite3.h>",
            "common/curl_client.cpp": "#include <curl/curl.h>",
            "runtime/onnx_engine.cpp": "#include <onnxruntime_c_api.h>",
            "ota/a.cpp": '#include "common/result.hpp"\n#include "ota/internal/walk.hpp"\n#include <vector>',
            "agent/a.cpp": '#include "runtime/engine.hpp"\n// #include "server/app.hpp"',
            "tests/ota/a_test.cpp": '#include "ota/internal/walk.hpp"\n#include "tests/support/fake.hpp"',
        })
        self.assertEqual(code, 0, output)

    def test_a_layer_cannot_declare_one_above_it(self):
        code, output = check({"cmake/layers.cmake": "set(layers common ota)\nset(common_uses ota)"})
        self.assertNotEqual(code, 0)
        self.assertIn("not a layer below it", output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
