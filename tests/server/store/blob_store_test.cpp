#include "server/store/blob_store.hpp"

#include "tests/server/store/store_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

struct World {
  ferry::test::TempDir dir;
  BlobStore store = need(BlobStore::open(dir / "blobs"));
  Path upload(const std::string& bytes, const std::string& name = "up") {
    need(write_file_atomic(store.incoming() / name, bytes, 0600));
    return store.incoming() / name;
  }
};

}  // namespace

TEST_CASE("an upload becomes a blob when its digest is what was said, once") {
  World world;
  const Digest digest = sha256("bytes");
  CHECK_FALSE(world.store.has(digest));
  CHECK_FALSE(world.store.length_of(digest));
  const Path file = world.upload("bytes");
  CHECK(need(world.store.adopt(file, digest)));
  CHECK_FALSE(std::filesystem::exists(file));
  CHECK(world.store.length_of(digest) == 5u);
  CHECK(need(world.store.read(digest, 100)) == "bytes");
  CHECK_FALSE(need(world.store.adopt(world.upload("bytes"), digest)));
  const auto permissions = std::filesystem::status(world.store.path_of(digest)).permissions();
  CHECK((permissions & std::filesystem::perms::all) == std::filesystem::perms(0644));
}

TEST_CASE("other bytes than the address says are refused, and nothing is left under that name") {
  World world;
  const Path file = world.upload("other");
  auto refused = world.store.adopt(file, sha256("bytes"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::bad_signature);
  CHECK_THAT(refused.error().context, Catch::Contains(sha256("other").hex()));
  CHECK_FALSE(world.store.has(sha256("bytes")));
  CHECK(world.store.adopt(world.dir / "absent", sha256("bytes")).error().code == Errc::not_found);
}

TEST_CASE("an empty blob is a blob") {
  World world;
  CHECK(need(world.store.adopt(world.upload(""), sha256(""))));
  CHECK(world.store.length_of(sha256("")) == 0u);
  CHECK(need(world.store.read(sha256(""), 10)).empty());
}

TEST_CASE("bytes put twice are one file") {
  World world;
  CHECK(need(world.store.put("x")) == sha256("x"));
  CHECK(need(world.store.put("x")) == sha256("x"));
  CHECK(need(world.store.read(sha256("x"), 10)) == "x");
  CHECK(world.store.read(sha256("y"), 10).error().code == Errc::not_found);
  CHECK(world.store.read(sha256("x"), 0).error().code == Errc::bad_input);
}

TEST_CASE("a blob that was damaged on disk is not handed out") {
  World world;
  need(world.store.put("precious"));
  need(write_file_atomic(world.store.path_of(sha256("precious")), "precIous"));
  auto read = world.store.read(sha256("precious"), 100);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == Errc::bad_signature);
}

TEST_CASE("what was only half uploaded is gone after a restart; blobs stay") {
  World world;
  need(world.store.put("kept"));
  world.upload("half");
  world.store = need(BlobStore::open(world.dir / "blobs"));
  CHECK(std::filesystem::is_empty(world.store.incoming()));
  CHECK(world.store.has(sha256("kept")));
}
