// The one translation unit that compiles Asio and Beast themselves (separate compilation, see cmake/Toolchain.cmake).
// asio::ssl is not here: TLS goes through common/http/internal/socket_stream, straight on the socket.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
