// Files on the real disk: atomic replacement under a reader, locks, limits, and what errno becomes.
#include "common/file.hpp"

#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

using namespace ferry;
using test::TempDir;

namespace {
std::size_t entries(const Path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}
unsigned mode_of(const Path& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}
}  // namespace

TEST_CASE("a file is read whole up to the limit and refused one byte above it") {
  const TempDir dir;
  const std::string content(100'000, 'x');
  REQUIRE(write_file_atomic(dir / "f", content));
  CHECK(read_file(dir / "f", content.size()).value() == content);
  const auto refused = read_file(dir / "f", content.size() - 1);
  CHECK(refused.error().code == Errc::bad_input);
  CHECK_THAT(refused.error().context, Catch::Contains("99999 bytes"));
  REQUIRE(write_file_atomic(dir / "empty", ""));
  CHECK(read_file(dir / "empty", 0).value().empty());
}

TEST_CASE("reading what is absent, a folder or endless gives a clear error") {
  const TempDir dir;
  CHECK(read_file(dir / "none", 10).error().code == Errc::not_found);
  CHECK_THAT(read_file(dir / "none", 10).error().context, Catch::Contains("none"));
  CHECK(read_file(dir.path(), 10).error().code == Errc::bad_input);
  CHECK(read_file("/dev/zero", 1'000'000).error().code == Errc::bad_input);  // bounded although stat says 0
}

TEST_CASE("an open reader keeps the old content while the file is replaced") {
  const TempDir dir;
  REQUIRE(write_file_atomic(dir / "f", "old content"));
  std::ifstream reader(dir / "f");
  REQUIRE(write_file_atomic(dir / "f", "new"));
  CHECK(std::string(std::istreambuf_iterator<char>(reader), {}) == "old content");
  CHECK(read_file(dir / "f", 100).value() == "new");
  CHECK(entries(dir.path()) == 1);  // no temporary is left
}

TEST_CASE("readers during many replacements see old or new, never a mixture") {
  const TempDir dir;
  REQUIRE(write_file_atomic(dir / "f", std::string(5'000, 'a')));
  std::atomic<bool> done = false;
  int mixed = 0;
  std::thread reader([&] {
    while (!done) {
      const std::string content = read_file(dir / "f", 10'000).value();
      if (content.size() != 5'000 || content.find_first_not_of(content[0]) != std::string::npos) ++mixed;
    }
  });
  for (int i = 0; i < 50; ++i)
    REQUIRE(write_file_atomic(dir / "f", std::string(5'000, static_cast<char>('a' + i % 26))));
  done = true;
  reader.join();
  CHECK(mixed == 0);
}

TEST_CASE("the mode is set whatever the umask, also for a file that exists") {
  const TempDir dir;
  const mode_t before = ::umask(0077);
  REQUIRE(write_file_atomic(dir / "f", "x", 0644));
  CHECK(mode_of(dir / "f") == 0644);
  REQUIRE(write_file_atomic(dir / "f", "x", 0600));
  CHECK(mode_of(dir / "f") == 0600);
  ::umask(before);
}

TEST_CASE("a write that fails leaves the old file and no temporary") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "target"));
  const auto failed = write_file_atomic(dir / "target", "x");  // a folder cannot be replaced by a file
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == Errc::io);
  CHECK(entries(dir.path()) == 1);
  CHECK(write_file_atomic(dir / "no" / "f", "x").error().code == Errc::not_found);
}

TEST_CASE("a full disk is told apart from other trouble") {
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  REQUIRE(full);
  REQUIRE(::write(full.get(), "x", 1) == -1);
  const Error error = errno_error("write", "/dev/full");
  CHECK(error.code == Errc::no_space);
  CHECK(error.context == "write /dev/full: No space left on device");

  const std::pair<int, Errc> table[] = {{EDQUOT, Errc::no_space}, {ENOENT, Errc::not_found}, {EACCES, Errc::denied},
                                        {EPERM, Errc::denied},    {EROFS, Errc::denied},     {EIO, Errc::io},
                                        {EMFILE, Errc::io}};
  for (const auto& [number, code] : table) {
    errno = number;
    CHECK(errno_error("x", "y").code == code);
  }
}

TEST_CASE("folders are made with their parents, again without complaint, and never over a file") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "a/b/c", 0700));
  CHECK(mode_of(dir / "a/b/c") == 0700);
  CHECK(make_directories(dir / "a/b/c"));
  CHECK(make_directories(dir / "a/b/d/"));
  CHECK(std::filesystem::is_directory(dir / "a/b/d"));
  REQUIRE(write_file_atomic(dir / "file", ""));
  CHECK_THAT(make_directories(dir / "file").error().context, Catch::Contains("not a directory"));
  CHECK_FALSE(make_directories(dir / "file/below"));
}

TEST_CASE("removing a tree does not follow symbolic links out of it") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "outside"));
  REQUIRE(write_file_atomic(dir / "outside/keep", "x"));
  REQUIRE(make_directories(dir / "tree/sub"));
  std::filesystem::create_directory_symlink(dir / "outside", dir / "tree/sub/link");
  std::filesystem::create_directory_symlink(dir / "outside", dir / "link");
  CHECK(remove_tree(dir / "tree"));
  CHECK(remove_tree(dir / "link"));
  CHECK(remove_tree(dir / "never was"));
  CHECK(entries(dir.path()) == 1);
  CHECK(read_file(dir / "outside/keep", 10).value() == "x");
}

TEST_CASE("a lock excludes others while it lives, and only then") {
  const TempDir dir;
  {
    const auto held = FileLock::take(dir / "lock");
    REQUIRE(held);
    const auto second = FileLock::take(dir / "lock");
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::conflict);
  }
  CHECK(FileLock::take(dir / "lock"));
  CHECK(FileLock::take(dir / "no/lock").error().code == Errc::not_found);
}

TEST_CASE("free space is reported for the file system of a path") {
  CHECK(free_bytes(".").value() > 0);
  CHECK(free_bytes("/proc/self/none").error().code == Errc::not_found);
}
