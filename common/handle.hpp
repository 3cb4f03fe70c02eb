// One C handle, one owner: the type names the function that frees it.
#pragma once
#include <memory>

namespace ferry {

template <auto Free>
struct Deleter {
  void operator()(auto* pointer) const noexcept { Free(pointer); }
};

template <class T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;

// Owns a POSIX file descriptor; -1 owns nothing.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace ferry
