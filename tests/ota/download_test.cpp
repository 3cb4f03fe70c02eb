// Downloads against real servers: Ferry's own for ranges and ETags, a scripted one for everything that goes wrong.
#include "ota/download.hpp"

#include "common/http/server.hpp"
#include "tests/support/scripted_server.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <unistd.h>

using namespace ferry;
using namespace ferry::ota;
using namespace ferry::test;

namespace {

std::string make_blob(std::size_t bytes) {
  SeededRandom random(bytes);
  return random.bytes(bytes);
}

struct World {
  TempDir directory;
  SimClock clock;
  SeededRandom random{1};
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::error};
  Sleeper sleeper{clock};
  std::unique_ptr<HttpClient> http = make_http_client({});
  std::string blob = make_blob(300'000);
  std::atomic<bool> cancel{false};

  World() { clock.advance_by_itself(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { ::close(null); }

  Result<Path> fetch(const std::string& url) {
    DownloadRequest request;
    request.url = url;
    request.sha256 = sha256(blob);
    request.length_bytes = blob.size();
    request.directory = directory / "download";
    request.cancel = &cancel;
    return Downloader(*http, sleeper, random, log).fetch(request);
  }
  Path part() const { return directory / "download" / (sha256(blob).hex() + ".part"); }
  void put_part(std::string_view bytes) {
    REQUIRE(make_directories(part().parent_path()));
    REQUIRE(write_file_atomic(part(), bytes));
  }
  void check_complete(const Result<Path>& path) {
    if (!path) FAIL(path.error().context);
    CHECK(*read_file(*path, blob.size() + 1) == blob);
  }
};

// Answers as a file server should: 206 for a range whose If-Range is the blob's ETag.
ScriptedAnswer honest(const std::string& blob, const ScriptedRequest& request) {
  std::size_t start = request.range_start();
  ScriptedAnswer answer;
  if (start > 0 && request.has("If-Range: \"" + sha256(blob).hex() + "\"")) {
    answer.status = 206;
    answer.headers = "Content-Range: bytes " + std::to_string(start) + "-" + std::to_string(blob.size() - 1) + "/" +
                     std::to_string(blob.size()) + "\r\n";
    answer.body = blob.substr(start);
  } else {
    answer.body = blob;
  }
  return answer;
}

}  // namespace

TEST_CASE("a blob comes whole from Ferry's own server, and the rest of it when a part is there") {
  World world;
  Path file = world.directory / "blob";
  REQUIRE(write_file_atomic(file, world.blob));
  http::Router router;
  http::Route route;
  route.method = "GET";
  route.pattern = "/blobs/{name}";
  std::atomic<int> ranges = 0;
  route.blocking = [&](const http::Request& request) {
    if (!request.header("range").empty()) ++ranges;
    return http::file_response(request, file, "\"" + sha256(world.blob).hex() + "\"", "application/octet-stream");
  };
  router.add(route);
  http::Server server(std::move(router), {http::Listen{}}, {}, world.log);
  REQUIRE(server.start());
  std::string url = "http://127.0.0.1:" + std::to_string(server.port()) + "/blobs/x";
  for (std::size_t there :
       {std::size_t{0}, std::size_t{1}, world.blob.size() / 2, world.blob.size() - 1, world.blob.size()}) {
    world.put_part(world.blob.substr(0, there));
    ranges = 0;
    INFO(there << " bytes there");
    world.check_complete(world.fetch(url));
    CHECK(ranges == (there > 0 && there < world.blob.size() ? 1 : 0));
  }
}

TEST_CASE("a connection cut at any of many offsets resumes where it ended, and costs no attempt") {
  World world;
  std::vector<std::size_t> cuts{0, 1, 2, 1000, 16384, 65536, 100'000, 131'072, 250'000, 299'999};
  ScriptedServer server([&](const ScriptedRequest& request) {
    auto answer = honest(world.blob, request);
    std::size_t start = request.range_start();
    for (std::size_t cut : cuts)
      if (cut > start || (cut == 0 && start == 0)) {
        answer.cut_after = cut - start;
        if (cut == 0) cuts.erase(cuts.begin());
        break;
      }
    return answer;
  });
  world.check_complete(world.fetch(server.url("/b")));
  auto requests = server.requests();
  CHECK(requests.size() == 11);
  CHECK(requests.back().range_start() == 299'999);
}

TEST_CASE("429 and 503 wait as long as Retry-After says, and cost no attempt") {
  World world;
  int asked = 0;
  ScriptedServer server([&](const ScriptedRequest& request) {
    ScriptedAnswer answer;
    if (++asked == 1) return ScriptedAnswer{503, "Retry-After: 120\r\n", "{}", {}, {}};
    if (asked == 2) return ScriptedAnswer{429, "Retry-After: 30\r\n", "", {}, {}};
    if (asked == 3) return ScriptedAnswer{500, "", "oops", {}, {}};
    if (asked == 4) return ScriptedAnswer{302, "Location: http://captive.example/\r\n", "<html>", {}, {}};
    return honest(world.blob, request);
  });
  auto before = world.clock.monotonic();
  world.check_complete(world.fetch(server.url("/b")));
  CHECK(world.clock.monotonic() - before >= std::chrono::seconds{150});
  CHECK(asked == 5);
}

TEST_CASE("wrong bytes of the right length are refused, thrown away, and named download.digest") {
  World world;
  std::string wrong = world.blob;
  wrong[150'000] = static_cast<char>(wrong[150'000] ^ 1);
  ScriptedServer server([&](const ScriptedRequest& request) { return honest(wrong, request); });
  auto path = world.fetch(server.url("/b"));
  REQUIRE_FALSE(path);
  CHECK(path.error().reason == "download.digest");
  CHECK_FALSE(std::filesystem::exists(world.part()));
}

TEST_CASE("a longer body stops at the signed length, a shorter one is no blob: both are download.failed") {
  World world;
  std::string body;
  ScriptedServer server([&](const ScriptedRequest&) { return ScriptedAnswer{200, "", body, {}, {}}; });
  SECTION("longer") { body = world.blob + "x"; }
  SECTION("much longer") { body = world.blob + std::string(2'000'000, 'x'); }
  SECTION("shorter") { body = world.blob.substr(0, 1000); }
  SECTION("empty") { body = ""; }
  auto path = world.fetch(server.url("/b"));
  REQUIRE_FALSE(path);
  CHECK(path.error().reason == "download.failed");
  CHECK_FALSE(std::filesystem::exists(world.part()));
}

TEST_CASE("a blob that is not there is download.failed at once") {
  World world;
  ScriptedServer server([&](const ScriptedRequest&) { return ScriptedAnswer{404, "", "{}", {}, {}}; });
  auto path = world.fetch(server.url("/b"));
  REQUIRE_FALSE(path);
  CHECK(path.error().code == Errc::not_found);
  CHECK(path.error().reason == "download.failed");
  CHECK(server.requests().size() == 1);
}

TEST_CASE("a server without ranges sends all again, and the blob comes out right") {
  World world;
  world.put_part(world.blob.substr(0, 1234));
  ScriptedServer server([&](const ScriptedRequest&) { return ScriptedAnswer{200, "", world.blob, {}, {}}; });
  world.check_complete(world.fetch(server.url("/b")));
  CHECK(server.requests().size() == 2);
}

TEST_CASE("a part that rotted on the disk is found by its digest and fetched anew, at the server's cost only") {
  World world;
  SECTION("complete but rotten: nothing of it is used") {
    std::string rotten = world.blob;
    rotten[5] = static_cast<char>(rotten[5] ^ 1);
    world.put_part(rotten);
    ScriptedServer server([&](const ScriptedRequest& request) { return honest(world.blob, request); });
    world.check_complete(world.fetch(server.url("/b")));
    CHECK(server.requests().front().range_start() == 0);
  }
  SECTION("longer than the blob: starts over") {
    world.put_part(world.blob + "tail");
    ScriptedServer server([&](const ScriptedRequest& request) { return honest(world.blob, request); });
    world.check_complete(world.fetch(server.url("/b")));
  }
  SECTION("incomplete and rotten: the whole does not match, the next try is clean") {
    std::string rotten = world.blob.substr(0, 5000);
    rotten[5] = static_cast<char>(rotten[5] ^ 1);
    world.put_part(rotten);
    ScriptedServer server([&](const ScriptedRequest& request) { return honest(world.blob, request); });
    CHECK(world.fetch(server.url("/b")).error().reason == "download.digest");
    world.check_complete(world.fetch(server.url("/b")));
  }
}

TEST_CASE("a cancelled download ends soon and leaves a part that the next one resumes") {
  World world;
  int asked = 0;
  ScriptedServer server([&](const ScriptedRequest& request) {
    auto answer = honest(world.blob, request);
    if (++asked == 1) {
      answer.cut_after = 100'000;
      world.cancel = true;  // as the driver does it, from another thread
    }
    return answer;
  });
  auto path = world.fetch(server.url("/b"));
  REQUIRE_FALSE(path);
  CHECK(path.error().code == Errc::cancelled);
  world.cancel = false;
  world.check_complete(world.fetch(server.url("/b")));
}

TEST_CASE("nobody listening is waited out until the sleeper stops") {
  World world;
  std::string url;
  {
    ScriptedServer gone([](const ScriptedRequest&) { return ScriptedAnswer{}; });
    url = gone.url("/b");
  }
  std::thread stopper([&] {
    while (world.clock.monotonic() < std::chrono::hours{1}) std::this_thread::yield();
    world.sleeper.stop();
  });
  auto path = world.fetch(url);
  stopper.join();
  REQUIRE_FALSE(path);
  CHECK(path.error().code == Errc::cancelled);
}

TEST_CASE("back-off doubles, stays below its bound, and Retry-After is its floor") {
  SeededRandom random(7);
  Backoff backoff(std::chrono::seconds{1}, std::chrono::seconds{60});
  Duration range = std::chrono::seconds{1};
  for (int i = 0; i < 20; ++i) {
    Duration wait = backoff.next(random);
    CHECK(wait >= Duration{0});
    CHECK(wait <= range);
    range = std::min<Duration>(range * 2, std::chrono::seconds{60});
  }
  CHECK(backoff.next(random, std::chrono::seconds{90}) >= std::chrono::seconds{90});
  backoff.reset();
  CHECK(backoff.next(random) <= std::chrono::seconds{1});
}
