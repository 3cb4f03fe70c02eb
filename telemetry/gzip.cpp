#include "telemetry/otlp.hpp"

#include <zlib.h>
#include <algorithm>

namespace ferry::telemetry {
namespace {

constexpr int gzip_window_bits = 15 + 16;  // zlib: +16 selects the gzip wrapper
constexpr std::size_t piece_bytes_min = 4 * 1024, piece_bytes_max = 16 * 1024;

// The 40 KiB that inflating needs are set up once per thread, not once per upload.
struct Inflater {
  z_stream stream{};
  bool open = false;

  Inflater() = default;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (open) inflateEnd(&stream);
  }
  // At the beginning of a new input, whatever became of the one before.
  bool ready() {
    if (open) return inflateReset(&stream) == Z_OK;
    open = inflateInit2(&stream, gzip_window_bits) == Z_OK;
    return open;
  }
};

Inflater& inflater_of_thread() {
  thread_local Inflater inflater;
  return inflater;
}

}  // namespace

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, gzip_window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string out(deflateBound(&stream, uLong(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = uInt(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = uInt(out.size());
  deflate(&stream, Z_FINISH);  // deflateBound makes one call enough
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max) {
  Inflater& inflater = inflater_of_thread();
  if (!inflater.ready()) return Error{Errc::internal, "gzip: no memory"};
  z_stream& stream = inflater.stream;
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = uInt(bytes.size());
  std::size_t have = 0;
  int state = Z_OK;
  while (state == Z_OK && have <= bytes_max) {
    // An upload inflates to about four times its size: mostly one step, and never more than twice what is there.
    out.resize(have == 0 ? std::clamp(4 * bytes.size(), piece_bytes_min, piece_bytes_max) : have + piece_bytes_max);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    stream.avail_out = uInt(out.size() - have);
    state = inflate(&stream, Z_NO_FLUSH);
    have = out.size() - stream.avail_out;
    if (state == Z_OK && stream.avail_in == 0 && stream.avail_out > 0) state = Z_BUF_ERROR;  // truncated
  }
  if (have > bytes_max) {
    return Error{Errc::bad_input, "gzip: more than " + std::to_string(bytes_max) + " bytes once inflated",
                 "body_too_large"};
  }
  if (state != Z_STREAM_END || stream.avail_in > 0) return Error{Errc::bad_input, "gzip: malformed or truncated body"};
  out.resize(have);
  return out;
}

}  // namespace ferry::telemetry
