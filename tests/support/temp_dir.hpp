// A fresh directory for one test, removed with everything in it at the end of the scope.
#pragma once
#include "common/file.hpp"

#include <stdlib.h>

#include <stdexcept>
#include <string>
#include <system_error>

namespace ferry::test {

// Lies in build/<preset>/tmp (beside bin/), so tests leave nothing in /tmp and use the disk under test.
class TempDir {
 public:
  TempDir() {
    const Path parent = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "tmp";
    std::filesystem::create_directories(parent);
    std::string name = (parent / "XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const Path& path() const { return path_; }
  Path operator/(const Path& name) const { return path_ / name; }

 private:
  Path path_;
};

}  // namespace ferry::test
