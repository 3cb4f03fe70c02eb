// Coroutine helpers: a bounded sleep and work moved off the io thread. Boost 1.81 spelling (STYLE.md §0).
#pragma once
#include "common/clock.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ferry {

boost::asio::awaitable<void> sleep_for(Duration duration);  // on the coroutine's own executor

// Runs `work` on the pool and resumes the caller on its own executor. Not a coroutine, so its lambda is safe (adr
// 0002).
template <class Work>
auto offload(boost::asio::thread_pool& pool, Work work) -> boost::asio::awaitable<std::invoke_result_t<Work>> {
  auto task = [work = std::move(work)]() mutable -> boost::asio::awaitable<std::invoke_result_t<Work>> {
    co_return work();
  };
  return boost::asio::co_spawn(pool, std::move(task), boost::asio::use_awaitable);
}

}  // namespace ferry
