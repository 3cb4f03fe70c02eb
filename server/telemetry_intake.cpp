#include "server/telemetry_intake.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ferry::server {
namespace asio = boost::asio;

TelemetryIntake::TelemetryIntake(DriftMonitor& drift, LiveGates& gates, TelemetryStore& store, Clock& clock)
    : drift_(drift), gates_(gates), store_(store), clock_(clock), thread_([this] { work(); }) {}

TelemetryIntake::~TelemetryIntake() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

asio::awaitable<Result<UploadVerdict>> TelemetryIntake::take(std::string device, telemetry::WindowReport report) {
  // Not a coroutine (adr 0002): asio's own wrapper keeps the lambda.
  auto initiate = [this, device = std::move(device), report = std::move(report)](auto handler) mutable {
    auto executor = asio::get_associated_executor(handler);
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto done = [shared, executor](Result<UploadVerdict> verdict) {
      auto resume = [shared, verdict = std::move(verdict)]() mutable { (*shared)(std::move(verdict)); };
      asio::post(executor, std::move(resume));
    };
    add(Upload{std::move(device), std::move(report), std::move(done)});
  };
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Result<UploadVerdict>)>(std::move(initiate),
                                                                                           asio::use_awaitable);
}

void TelemetryIntake::add(Upload upload) {
  std::unique_lock lock(mutex_);
  if (ending_ || waiting_.size() >= intake_waiting_max) {
    lock.unlock();
    upload.done(Error{Errc::unavailable, "telemetry: too many uploads wait to be stored; try again later"});
    return;
  }
  waiting_.push_back(std::move(upload));
  const bool first = waiting_.size() == 1;
  lock.unlock();
  if (first) wake_.notify_one();  // else the thread is on its way already
}

void TelemetryIntake::work() {
  for (;;) {
    std::vector<Upload> group;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      group.swap(waiting_);
    }
    for (std::span<Upload> left(group); !left.empty();) {
      const auto part = left.first(std::min(left.size(), intake_group_max));
      left = left.subspan(part.size());
      store(part);
      for (Upload& upload : part) upload.done(std::move(upload.verdict));
    }
  }
}

void TelemetryIntake::store(std::span<Upload> group) {
  if (group.size() > 1 && commit(group)) return;
  // Alone, or with somebody who cannot be stored: one by one it concerns only themselves.
  for (Upload& upload : group)
    if (auto alone = commit({&upload, 1}); !alone) upload.verdict = std::move(alone).error();
}

Result<> TelemetryIntake::commit(std::span<Upload> group) {
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  return drift_.together(gates_, store_, [&]() -> Result<> {
    for (Upload& upload : group) {
      TRY(upload.verdict, drift_.apply(gates_, store_, upload.device, upload.report, now_ms));
    }
    return {};
  });
}

}  // namespace ferry::server
