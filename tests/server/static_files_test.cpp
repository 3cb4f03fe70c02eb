#include "server/static_files.hpp"

#include "tests/support/temp_dir.hpp"

#include <fcntl.h>

using namespace ferry;
using namespace ferry::server;
using ferry::test::TempDir;

namespace {

struct World {
  TempDir dir;
  World() {
    write("index.html", "<!doctype html><title>Ferry</title>");
    write("assets/index-B1x2.js", "console.log(1)");
    write("assets/index-B1x2.js.gz", "packed");
    write("assets/index-C3.css", "body{}");
    write("favicon.svg", "<svg/>");
    std::filesystem::create_directories(dir / "sub");
    write("sub/strange.xyz", "?");
  }
  void write(const std::string& name, const std::string& bytes) {
    REQUIRE(make_directories((dir / name).parent_path()));
    REQUIRE(write_file_atomic(dir / name, bytes));
  }
  StaticFiles load() const {
    auto files = StaticFiles::load(dir.path());
    REQUIRE(files);
    return std::move(*files);
  }
};

http::Request get(const std::string& path, std::map<std::string, std::string> headers = {}) {
  http::Request request;
  request.method = "GET";
  request.path = path;
  request.headers = std::move(headers);
  return request;
}
std::string body(const http::Response& response) {
  return response.shared_body ? *response.shared_body : response.body;
}

}  // namespace

TEST_CASE("files are served with their type, and pages under a strict policy") {
  World world;
  const StaticFiles files = world.load();
  const auto script = files.answer(get("/assets/index-B1x2.js"));
  CHECK(script.status == 200);
  CHECK(body(script) == "console.log(1)");
  CHECK(script.headers.at("Content-Type") == "text/javascript; charset=utf-8");
  CHECK(files.answer(get("/assets/index-C3.css")).headers.at("Content-Type") == "text/css; charset=utf-8");
  CHECK(files.answer(get("/favicon.svg")).headers.at("Content-Type") == "image/svg+xml");
  CHECK(files.answer(get("/sub/strange.xyz")).headers.at("Content-Type") == "application/octet-stream");
  for (const char* path : {"/", "/index.html", "/assets/index-B1x2.js", "/devices/dev-1"}) {
    const auto response = files.answer(get(path));
    INFO(path);
    const std::string policy = response.headers.at("Content-Security-Policy");
    CHECK_THAT(policy, Catch::Contains("default-src 'self'") && Catch::Contains("script-src 'self'") &&
                           Catch::Contains("frame-ancestors 'none'") && Catch::Contains("object-src 'none'") &&
                           Catch::Contains("base-uri 'none'"));
    CHECK_THAT(policy, !Catch::Contains("unsafe"));
    CHECK(response.headers.at("X-Content-Type-Options") == "nosniff");
    CHECK(response.headers.at("Referrer-Policy") == "no-referrer");
  }
}

TEST_CASE("the dashboard's own addresses all answer its page; an asset that is gone does not") {
  World world;
  const StaticFiles files = world.load();
  for (const char* path : {"/", "/devices", "/rollouts/ro-1", "/nothing.html"}) {
    const auto response = files.answer(get(path));
    INFO(path);
    CHECK(response.status == 200);
    CHECK_THAT(body(response), Catch::Contains("<title>Ferry</title>"));
    CHECK(response.headers.at("Content-Type") == "text/html; charset=utf-8");
  }
  CHECK(files.answer(get("/assets/index-old.js")).status == 404);
}

TEST_CASE("an address of the API that does not exist is a problem, never a page") {
  World world;
  const StaticFiles files = world.load();
  for (const char* path :
       {"/api", "/api/", "/api/v1/nonsense", "/device/v1/x", "/.well-known/x", "/v1/metrics", "/v1"}) {
    const auto response = files.answer(get(path));
    INFO(path);
    CHECK(response.status == 404);
    CHECK(response.headers.at("Content-Type") == "application/problem+json");
  }
  CHECK(files.answer(get("/apiary")).status == 200);
}

TEST_CASE("names with a hash live for ever, pages are asked for again") {
  World world;
  const StaticFiles files = world.load();
  CHECK(files.answer(get("/assets/index-B1x2.js")).headers.at("Cache-Control") ==
        "public, max-age=31536000, immutable");
  CHECK(files.answer(get("/")).headers.at("Cache-Control") == "no-cache");
  CHECK(files.answer(get("/favicon.svg")).headers.at("Cache-Control") == "no-cache");
}

TEST_CASE("an ETag that still fits is answered with 304 and no body") {
  World world;
  const StaticFiles files = world.load();
  const std::string etag = files.answer(get("/")).headers.at("ETag");
  CHECK(etag.size() == 34);
  const auto same = files.answer(get("/devices", {{"if-none-match", etag}}));
  CHECK(same.status == 304);
  CHECK(body(same).empty());
  CHECK(same.headers.at("ETag") == etag);
  CHECK(files.answer(get("/", {{"if-none-match", "\"other\""}})).status == 200);
  CHECK(files.answer(get("/assets/index-C3.css")).headers.at("ETag") != etag);
  world.write("index.html", "<title>new</title>");
  CHECK(world.load().answer(get("/", {{"if-none-match", etag}})).status == 200);
}

TEST_CASE("packed bytes go to those who take them, under an ETag of their own") {
  World world;
  const StaticFiles files = world.load();
  const auto packed = files.answer(get("/assets/index-B1x2.js", {{"accept-encoding", "br, gzip"}}));
  CHECK(body(packed) == "packed");
  CHECK(packed.headers.at("Content-Encoding") == "gzip");
  CHECK(packed.headers.at("Content-Type") == "text/javascript; charset=utf-8");
  const auto plain = files.answer(get("/assets/index-B1x2.js", {{"accept-encoding", "identity"}}));
  CHECK(body(plain) == "console.log(1)");
  CHECK_FALSE(plain.headers.contains("Content-Encoding"));
  for (const auto& response : {packed, plain}) CHECK(response.headers.at("Vary") == "Accept-Encoding");
  CHECK(packed.headers.at("ETag") != plain.headers.at("ETag"));
  const std::string etag = packed.headers.at("ETag");
  CHECK(files.answer(get("/assets/index-B1x2.js", {{"accept-encoding", "gzip"}, {"if-none-match", etag}})).status ==
        304);
  CHECK(files.answer(get("/assets/index-B1x2.js", {{"if-none-match", etag}})).status == 200);
  CHECK_FALSE(files.answer(get("/", {{"accept-encoding", "gzip"}})).headers.contains("Content-Encoding"));
}

TEST_CASE("nothing outside the folder is reachable, whatever the path says") {
  World world;
  TempDir outside;
  REQUIRE(write_file_atomic(outside / "secret.txt", "secret"));
  const StaticFiles files = world.load();
  const std::string absolute = (outside / "secret.txt").string();
  for (const std::string& path :
       {"/../" + outside.path().filename().string() + "/secret.txt", "/" + absolute, absolute,
        std::string("/assets/../../secret.txt"), std::string("/./index.html"), std::string("/etc/passwd"),
        std::string("/assets/..\\..\\secret.txt"), std::string("/index.html\0.js", 15)}) {
    INFO(path);
    const auto response = files.answer(get(path));
    CHECK_THAT(body(response), !Catch::Contains("secret"));
    CHECK((response.status == 404 || body(response) == "<!doctype html><title>Ferry</title>"));
  }
}

TEST_CASE("without a dashboard the server says so, and still protects the page") {
  for (const Path& path : {Path(), Path("/nonexistent/ui")}) {
    auto files = StaticFiles::load(path);
    REQUIRE(files);
    CHECK(files->empty());
    const auto page = files->answer(get("/"));
    CHECK(page.status == 200);
    CHECK_THAT(body(page), Catch::Contains("dashboard is not installed"));
    CHECK(page.headers.contains("Content-Security-Policy"));
    CHECK(files->answer(get("/api/v1/x")).status == 404);
  }
}

TEST_CASE("a folder that is no dashboard is refused at the start") {
  World world;
  for (std::size_t i = 0; i < ui_files_max; ++i) {
    const FileDescriptor file(
        ::open((world.dir / ("f" + std::to_string(i))).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    REQUIRE(file);
  }
  auto files = StaticFiles::load(world.dir.path());
  REQUIRE_FALSE(files);
  CHECK(files.error().code == Errc::bad_input);
  CHECK_THAT(files.error().context, Catch::Contains("is this the built dashboard?"));
}
