// Two short measurements: a matrix multiplication kept in cache and a copy far larger than the cache.
#include "runtime/hardware_profile.hpp"

#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

namespace ferry::runtime {
namespace {

// Durations are measured, not decided on: the one place in this layer that reads the steady clock directly is here
// and around Session::run.
using Watch = std::chrono::steady_clock;

constexpr auto matmul_time = std::chrono::milliseconds{100};
constexpr auto copy_time = std::chrono::milliseconds{80};
constexpr int side = 96;  // three matrices of 36 KiB: second-level cache
constexpr std::size_t copy_bytes = 32 * 1024 * 1024;

// 16 floats: one AVX-512 register, two AVX2, four NEON; the compiler splits it for the function's target.
typedef float Lane __attribute__((vector_size(64), aligned(4)));
constexpr int lane_width = 16;

[[gnu::always_inline]] inline void multiply(const float* a, const float* b, float* c) {
  for (int row = 0; row < side; row += 4) {
    for (int column = 0; column < side; column += lane_width) {
      Lane sum0{}, sum1{}, sum2{}, sum3{};
      for (int inner = 0; inner < side; ++inner) {
        Lane right;
        std::memcpy(&right, b + inner * side + column, sizeof right);
        sum0 += a[(row + 0) * side + inner] * right;
        sum1 += a[(row + 1) * side + inner] * right;
        sum2 += a[(row + 2) * side + inner] * right;
        sum3 += a[(row + 3) * side + inner] * right;
      }
      std::memcpy(c + (row + 0) * side + column, &sum0, sizeof sum0);
      std::memcpy(c + (row + 1) * side + column, &sum1, sizeof sum1);
      std::memcpy(c + (row + 2) * side + column, &sum2, sizeof sum2);
      std::memcpy(c + (row + 3) * side + column, &sum3, sizeof sum3);
    }
  }
}

void multiply_generic(const float* a, const float* b, float* c) { multiply(a, b, c); }
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void multiply_avx2(const float* a, const float* b, float* c) { multiply(a, b, c); }
__attribute__((target("avx512f"))) void multiply_avx512(const float* a, const float* b, float* c) { multiply(a, b, c); }
#endif

double measure_matmul_gflops() {
  auto* kernel = multiply_generic;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernel = multiply_avx2;
  if (__builtin_cpu_supports("avx512f")) kernel = multiply_avx512;
#endif
  std::vector<float> a(side * side, 0.5F), b(side * side, 0.25F), c(side * side);
  kernel(a.data(), b.data(), c.data());
  auto start = Watch::now();
  std::int64_t rounds = 0;
  std::chrono::duration<double> took{};
  do {
    a[0] = static_cast<float>(rounds);  // the result is used, so nothing is optimised away
    kernel(a.data(), b.data(), c.data());
    b[0] = c[0];
    ++rounds;
    took = Watch::now() - start;
  } while (took < matmul_time);
  return 2.0 * side * side * side * static_cast<double>(rounds) / took.count() / 1e9;
}

double measure_copy_gb_per_s() {
  auto from = std::make_unique<char[]>(copy_bytes);
  auto to = std::make_unique<char[]>(copy_bytes);
  std::memcpy(to.get(), from.get(), copy_bytes);  // touches the pages
  auto start = Watch::now();
  std::int64_t rounds = 0;
  std::chrono::duration<double> took{};
  do {
    from[static_cast<std::size_t>(rounds)] = 1;
    std::memcpy(to.get(), from.get(), copy_bytes);
    ++rounds;
    took = Watch::now() - start;
  } while (took < copy_time);
  return static_cast<double>(copy_bytes) * static_cast<double>(rounds) / took.count() / 1e9;
}

double round_to_tenth(double value) { return std::round(value * 10) / 10; }

}  // namespace

void measure_hardware(HardwareProfile& profile) {
  profile.matmul_gflops = round_to_tenth(measure_matmul_gflops());
  profile.memory_gb_per_s = round_to_tenth(measure_copy_gb_per_s());
}

}  // namespace ferry::runtime
