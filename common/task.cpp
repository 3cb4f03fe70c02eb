// The only timer of coroutines: everything that waits goes through here or through Clock.
#include "common/task.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

namespace ferry {

boost::asio::awaitable<void> sleep_for(Duration duration) {
  auto executor = co_await boost::asio::this_coro::executor;
  boost::asio::steady_timer timer(executor, duration);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

}  // namespace ferry
