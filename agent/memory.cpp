#include "agent/memory.hpp"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ferry::agent {
namespace {

// From here on a buffer is a mapping of its own (64 KiB: a TLS record fits below, a downloaded piece does not). glibc
// would raise its threshold with every large buffer that is freed, and keep them.
constexpr int mapped_from_bytes = 64 * 1024;

// Code that was patched while it was loaded cannot be read from its file again. Nobody builds such libraries for
// 64-bit machines any more; this makes sure.
bool is_patched(const dl_phdr_info& object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    if (object.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + object.dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry)
      if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0))
        return true;
  }
  return false;
}

// Only what the loader mapped without write permission: such pages are the file's, never ours (relocated constants
// are loaded writable and protected later).
int unmap_code(dl_phdr_info* object, std::size_t, void*) {
  if (std::string_view(object->dlpi_name).starts_with("linux-vdso") || is_patched(*object)) return 0;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
    const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // a refusal costs nothing but memory
  }
  return 0;
}

}  // namespace

void keep_memory_small() {
  ::mallopt(M_ARENA_MAX, 1);  // threads here wait for each other's work; none of them is busy with the heap
  ::mallopt(M_MMAP_THRESHOLD, mapped_from_bytes);
  ::mallopt(M_TRIM_THRESHOLD, mapped_from_bytes);
}

void give_back_memory() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(unmap_code, nullptr);
}

}  // namespace ferry::agent
