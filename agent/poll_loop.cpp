// Rounds of talk with the server; any trouble costs waiting time and nothing else.
#include "agent/poll_loop.hpp"

#include "agent/enroll.hpp"

#include <charconv>

namespace ferry::agent {

PollLoop::PollLoop(Identity identity, DataTree data, PollPorts ports, PollLimits limits)
    : identity_(std::move(identity)),
      data_(std::move(data)),
      ports_(std::move(ports)),
      limits_(limits),
      sleeper_(ports_.clock),
      backoff_(limits.backoff_first, limits.backoff_max),
      upload_backoff_(limits.backoff_first, limits.backoff_max) {}

PollLoop::~PollLoop() { stop(); }

void PollLoop::start() {
  thread_ = std::thread([this] {
    while (!sleeper_.stopped()) {
      Duration wait = round();
      if (ports_.at_rest) ports_.at_rest();
      sleeper_.sleep(wait);
    }
  });
}

void PollLoop::stop() {
  cancel_ = true;
  sleeper_.stop();
  if (thread_.joinable()) thread_.join();
}

Duration PollLoop::round() {
  if (ports_.clock.monotonic() >= std::max(next_check_in_, not_before_)) {
    if (auto done = talk(); done) {
      backoff_.reset();
    } else if (done.error().code != Errc::cancelled) {
      not_before_ = put_off(backoff_, done.error());
      ports_.status.set_contact(false, 0);
    }
  }
  // Trouble with an upload does not keep the device from its assignments; trouble with the server stops both.
  if (ports_.clock.monotonic() >= std::max(uploads_not_before_, not_before_)) {
    if (auto done = upload(); done)
      upload_backoff_.reset();
    else if (done.error().code != Errc::cancelled)
      uploads_not_before_ = put_off(upload_backoff_, done.error());
  }
  auto now = ports_.clock.monotonic();
  auto uploads = std::chrono::nanoseconds::max();
  for (const Uploader* uploader : ports_.uploaders)
    uploads = std::min<std::chrono::nanoseconds>(uploads, now + uploader->due_in());
  auto next = std::min(std::max(next_check_in_, not_before_), std::max({uploads, uploads_not_before_, not_before_}));
  return std::chrono::ceil<Duration>(std::max<std::chrono::nanoseconds>(next - now, limits_.round_min));
}

std::chrono::nanoseconds PollLoop::put_off(ota::Backoff& backoff, const Error& error) {
  Duration wait = backoff.next(ports_.random, http_ ? http_->take_retry_after() : Duration{0});
  ports_.log.warn("server not reached", {{"error", error.context}, {"again_in_ms", wait.count()}});
  return ports_.clock.monotonic() + wait;
}

Result<> PollLoop::connect() {
  if (!http_) {
    TRY(auto client, ports_.make_client());
    http_ = std::make_unique<WatchedClient>(std::move(client), cancel_);
  }
  (void)http_->take_retry_after();
  return {};
}

Result<> PollLoop::talk() {
  TRY_VOID(connect());
  if (!profile_sent_) TRY_VOID(put_profile());
  TRY_VOID(check_in());
  ports_.status.set_contact(true, to_unix_ms(ports_.clock.now()));
  renew();
  return {};
}

// Each gets its turn; the first error is the round's.
Result<> PollLoop::upload() {
  TRY_VOID(connect());
  std::optional<Error> first;
  for (Uploader* uploader : ports_.uploaders) {
    auto done = uploader->upload(*http_);
    if (!done && !first) first = std::move(done).error();
    if (first && (first->code == Errc::unreachable || first->code == Errc::timeout || first->code == Errc::cancelled))
      break;
  }
  if (first) return std::move(*first);
  return {};
}

Result<> PollLoop::put_profile() {
  auto profile = ports_.hardware_profile();
  if (!profile) {  // no runtime on this device, or it is broken: the server should still hear from us
    ports_.log.error("hardware profile unknown", {{"error", profile.error().context}});
    return {};
  }
  if (auto hardware_class = string_or(*profile, "hardware_class", ""); hardware_class)
    ports_.status.set_hardware_class(*hardware_class);
  HttpRequest request;
  request.method = "PUT";
  request.url = identity_.server + "/device/v1/profile";
  request.headers["Content-Type"] = "application/json";
  request.body = dump_json(*profile);
  TRY(auto response, http_->send(request));
  bool refused = response.status == 400 || response.status == 413 || response.status == 422;
  if (refused)
    ports_.log.error("the server refuses our hardware profile",
                     {{"error", error_from_status(response, "profile").context}});
  else if (response.status < 200 || response.status >= 300)
    return error_from_status(response, "profile");
  profile_sent_ = true;
  return {};
}

Result<> PollLoop::check_in() {
  HttpRequest request;
  request.url = identity_.server + "/device/v1/assignment";
  request.body_bytes_max = assignment_bytes_max;
  if (!etag_.empty()) request.headers["If-None-Match"] = etag_;
  if (const auto offset_s = ports_.clock.utc_offset_s(ports_.clock.now()); offset_s != 0)
    request.headers["Ferry-Utc-Offset"] = std::to_string(offset_s);
  TRY(auto response, http_->send(request));
  if (response.status != 200 && response.status != 304) return error_from_status(response, "check-in");

  Duration interval = limits_.poll_default;
  if (auto header = response.headers.find("ferry-poll-after"); header != response.headers.end()) {
    double seconds = 0;
    const auto& text = header->second;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc{} && seconds >= 0 && seconds < 1e7)
      interval = Duration{static_cast<Duration::rep>(seconds * 1000)};
  }
  interval = std::clamp(interval, limits_.poll_min, limits_.poll_max);
  double jitter = static_cast<double>(interval.count()) * limits_.jitter_share * ports_.random.uniform();
  next_check_in_ = ports_.clock.monotonic() + interval + Duration{static_cast<Duration::rep>(jitter)};

  if (response.status == 304) return {};
  TRY(auto assignment, parse_assignment(response.body));
  if (assignment.device != identity_.device)
    return Error{Errc::bad_input,
                 "assignment: device: found \"" + assignment.device + "\", expected \"" + identity_.device + "\""};
  auto etag = response.headers.find("etag");
  etag_ = etag == response.headers.end() ? "" : etag->second;
  ports_.on_assignment(assignment);
  return {};
}

void PollLoop::renew() {
  auto renewed = renew_if_due(identity_, data_, *http_, ports_.clock);
  if (!renewed) {
    ports_.log.warn("certificate not renewed", {{"error", renewed.error().context}});
    return;
  }
  if (!*renewed) return;
  ports_.log.info("certificate renewed");
  http_.reset();  // the next round opens a connection with the new one
}

}  // namespace ferry::agent
