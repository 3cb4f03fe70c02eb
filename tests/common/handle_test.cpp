// Owners of C handles and descriptors.
#include "common/handle.hpp"

#include <fcntl.h>

using namespace ferry;

namespace {
int freed = 0;
void free_int(int* pointer) {
  ++freed;
  delete pointer;
}
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }
}  // namespace

TEST_CASE("a handle frees with its own function, once") {
  freed = 0;
  {
    Handle<int, free_int> one(new int(1));
    const Handle<int, free_int> two = std::move(one);
    const Handle<int, free_int> none;
  }
  CHECK(freed == 1);
  CHECK(sizeof(Handle<int, free_int>) == sizeof(int*));
}

TEST_CASE("a descriptor is closed by its last owner and not by those it left") {
  int number = -1, second = -1;
  {
    FileDescriptor fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = fd.get();
    FileDescriptor moved(std::move(fd));
    CHECK_FALSE(fd);
    CHECK(is_open(number));
    FileDescriptor other(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    second = other.get();
    moved = std::move(other);
    CHECK_FALSE(is_open(number));
    CHECK(moved.get() == second);
  }
  CHECK_FALSE(is_open(second));
}
