// Beast's parser filling a ferry Request, stricter than Beast where request smuggling lives.
#pragma once
#include "common/http/message.hpp"

#include <boost/beast/http/basic_parser.hpp>
#include <optional>
#include <string_view>

namespace ferry::http::internal {

class RequestParser final : private boost::beast::http::basic_parser<true> {
  using Base = boost::beast::http::basic_parser<true>;
  using ErrorCode = boost::beast::error_code;
  using View = boost::beast::string_view;

 public:
  explicit RequestParser(std::size_t header_bytes_max);

  enum class Status { need_more, header_done, complete, failed };
  struct Fed {
    Status status;
    std::size_t consumed;  // the caller keeps the rest and offers it again, with more behind it
  };
  // Parses until the header ends; after read_body() until the body ends.
  Fed feed(std::string_view bytes);
  // From here on the body goes to request.body, at most `bytes_max` bytes of it in all.
  void read_body(std::size_t bytes_max) { body_wanted_ = true, body_bytes_max_ = bytes_max; }

  bool header_done() const { return is_header_done(); }
  bool complete() const { return is_done(); }
  bool wants_connection() const { return keep_alive(); }  // the client would like to go on using the connection
  bool http_1_0() const { return version_ == 10; }
  std::optional<std::uint64_t> declared_bytes() const;  // Content-Length
  bool expects_continue() const;
  std::size_t body_bytes() const { return body_bytes_; }  // received so far; the caller may take request.body away
  Response failure() const;                               // the problem to answer after Status::failed

  Request request;

 private:
  void on_request_impl(boost::beast::http::verb, View method, View target, int version, ErrorCode&) override;
  void on_response_impl(int, View, int, ErrorCode&) override {}
  void on_field_impl(boost::beast::http::field name, View name_text, View value, ErrorCode&) override;
  void on_header_impl(ErrorCode&) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}
  std::size_t on_body_impl(View piece, ErrorCode&) override;
  void on_chunk_header_impl(std::uint64_t, View, ErrorCode&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View piece, ErrorCode&) override;
  void on_finish_impl(ErrorCode&) override {}
  void refuse(ErrorCode& ec, int status, std::string detail);

  int version_ = 11;
  int fields_ = 0;
  bool header_ended_ = false;
  bool body_wanted_ = false;
  std::size_t body_bytes_max_ = 0;
  std::size_t body_bytes_ = 0;
  int failure_status_ = 400;
  std::string failure_detail_;
};

}  // namespace ferry::http::internal
