#include "telemetry/otlp.hpp"

#include <zlib.h>

namespace ferry::telemetry {
namespace {

constexpr int gzip_window_bits = 15 + 16;  // zlib: +16 selects the gzip wrapper
constexpr std::size_t piece_bytes = 16 * 1024;

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
  z_stream stream{};
  if (inflateInit2(&stream, gzip_window_bits) != Z_OK) return Error{Errc::internal, "gzip: no memory"};
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = uInt(bytes.size());
  int state = Z_OK;
  while (state == Z_OK && out.size() <= bytes_max) {
    const std::size_t have = out.size();
    out.resize(have + piece_bytes);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    stream.avail_out = uInt(piece_bytes);
    state = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (state == Z_OK && stream.avail_in == 0 && stream.avail_out > 0) state = Z_BUF_ERROR;  // truncated
  }
  const bool trailing = stream.avail_in > 0;
  inflateEnd(&stream);
  if (out.size() > bytes_max) {
    return Error{Errc::bad_input, "gzip: more than " + std::to_string(bytes_max) + " bytes once inflated",
                 "body_too_large"};
  }
  if (state != Z_STREAM_END || trailing) return Error{Errc::bad_input, "gzip: malformed or truncated body"};
  return out;
}

}  // namespace ferry::telemetry
