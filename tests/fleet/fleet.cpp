// Turns, sockets, the timetable.
#include "tests/fleet/fleet.hpp"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ferry::fleet {
namespace {

constexpr std::int64_t request_limit_ms = 30'000;
constexpr std::int64_t enrol_again_ms = 1'000;  // after trouble
constexpr std::int64_t status_interval_ms = 250;
constexpr std::int64_t sweep_interval_ms = 1'000;
constexpr std::size_t files_beside_connections = 64;
constexpr int sockets_per_wait_max = 512;
constexpr std::uint64_t stop_mark = ~std::uint64_t{0};
constexpr std::size_t stat_bytes_max = 4096;

// utime + stime of a process, in seconds; 0 when it is gone.
double cpu_seconds(int pid) {
  if (pid == 0) return 0;
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", stat_bytes_max);
  if (!stat) return 0;
  const char* at = stat->c_str() + stat->rfind(')') + 2;  // field 3; the name before it may hold anything
  for (int field = 3; at && field < 14; ++field) at = std::strchr(at, ' ') ? std::strchr(at, ' ') + 1 : nullptr;
  unsigned long user = 0, system = 0;
  if (!at || std::sscanf(at, "%lu %lu", &user, &system) != 2) return 0;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Result<> allow_connections(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wanted) return {};
  return Error{Errc::bad_input, "devices: each keeps a connection, and this process may open " +
                                    std::to_string(limit.rlim_cur) +
                                    " files; plan fewer, set keep_connections = false, or raise ulimit -Hn"};
}

}  // namespace

Fleet::Fleet(FleetPlan plan, Random& random)
    : commons_(std::move(plan)),
      random_(random),
      wall_base_ms_(to_unix_ms(clock_.now())),
      steady_base_(clock_.monotonic()),
      seats_(commons_.plan.devices),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

Result<std::unique_ptr<Fleet>> Fleet::open(FleetPlan plan, const std::vector<std::string>& tokens, Random& random) {
  if (tokens.empty()) return Error{Errc::bad_input, "token: none given; `ferry token create` makes them"};
  TRY_VOID(allow_connections((plan.keep_connections ? plan.devices : plan.enrolling_max) + files_beside_connections));
  std::unique_ptr<Fleet> fleet(new Fleet(std::move(plan), random));
  for (const std::string& token : tokens) {
    TRY(auto enrolment, first_contact(token));
    fleet->enrolments_.push_back(std::move(enrolment));
  }
  for (std::size_t i = 0; i < fleet->seats_.size(); ++i)
    fleet->seats_[i].enrolment = fleet->enrolments_[i % fleet->enrolments_.size()].get();
  return fleet;
}

std::int64_t Fleet::now_ms() const {
  return wall_base_ms_ + std::chrono::duration_cast<Duration>(clock_.monotonic() - steady_base_).count();
}

void Fleet::schedule(std::size_t number, std::int64_t due_ms) {
  seats_[number].due_ms = due_ms;
  if (due_ms != never_ms) timetable_.emplace(due_ms, number);
}

Result<> Fleet::start_enrolments() {
  while (enrolling_ < commons_.plan.enrolling_max && next_to_enrol_ < seats_.size()) {
    seats_[next_to_enrol_].stage = Seat::Stage::enrolling;
    ++enrolling_;
    TRY_VOID(turn_of(next_to_enrol_++));
  }
  return {};
}

Result<> Fleet::turn_of(std::size_t number) {
  Seat& seat = seats_[number];
  if (seat.channel.busy() || seat.stage == Seat::Stage::waiting) return {};
  if (seat.stage == Seat::Stage::enrolling) {
    if (!seat.key) {
      TRY(seat.key, PrivateKey::generate());
    }
    TRY(const Ask ask, enrolment_ask(*seat.key));
    seat.purpose = ask.purpose;
    return send(number, http_request(*seat.enrolment->endpoint, ask, authorization_of(seat.enrolment->token)), false);
  }
  if (const auto ask = seat.device->next(now_ms())) {
    seat.purpose = ask->purpose;
    return send(number, http_request(*seat.enrolment->endpoint, *ask, ""), ask->digest_only);
  }
  if (!commons_.plan.keep_connections || seat.device->silent()) seat.channel.close();
  schedule(number, seat.device->due_ms());
  return {};
}

Result<> Fleet::send(std::size_t number, std::string request, bool digest_only) {
  Seat& seat = seats_[number];
  seat.request = request;
  seat.digest_only = digest_only;
  seat.repeated = false;
  seat.asked_at = clock_.monotonic();
  seat.asked_when_open = seat.channel.is_open();
  schedule(number, never_ms);
  if (!seat.channel.is_open()) {
    const TlsIdentity* identity = seat.stage == Seat::Stage::alive ? &seat.identity : nullptr;
    TRY_VOID(seat.channel.open(*seat.enrolment->endpoint, identity, epoll_.get(), number));
  }
  seat.channel.ask(std::move(request), digest_only);
  return progress(number);
}

Result<> Fleet::progress(std::size_t number) {
  Seat& seat = seats_[number];
  const bool was_shaken = seat.channel.is_shaken();
  auto heard = seat.channel.advance();
  if (!was_shaken && seat.channel.is_shaken()) ++commons_.counts.handshakes;
  if (!heard) {
    if (!seat.repeated && seat.channel.busy() && seat.channel.may_repeat()) {
      seat.repeated = true;
      const TlsIdentity* identity = seat.stage == Seat::Stage::alive ? &seat.identity : nullptr;
      TRY_VOID(seat.channel.open(*seat.enrolment->endpoint, identity, epoll_.get(), number));
      seat.channel.ask(seat.request, seat.digest_only);
      seat.asked_when_open = false;
      return {};  // the socket's first event goes on with it
    }
    broken(number);
    return {};
  }
  if (*heard) return answered(number, **heard);
  return {};
}

void Fleet::broken(std::size_t number) {
  Seat& seat = seats_[number];
  seat.channel.close();
  if (seat.stage == Seat::Stage::alive) {
    seat.device->not_heard(now_ms());
    schedule(number, now_ms());
    return;
  }
  ++commons_.counts.trouble;
  schedule(number, now_ms() + enrol_again_ms);
}

Result<> Fleet::answered(std::size_t number, const Heard& answer) {
  Seat& seat = seats_[number];
  if (seat.stage == Seat::Stage::enrolling) return enrolled(number, answer);
  if (seat.purpose == Purpose::check_in && seat.asked_when_open)
    commons_.counts.check_in_seconds.record(std::chrono::duration<double>(clock_.monotonic() - seat.asked_at).count());
  seat.device->heard(answer, now_ms());
  schedule(number, now_ms());  // its next turn comes with everybody's: no device talks without end
  return {};
}

Result<> Fleet::enrolled(std::size_t number, const Heard& answer) {
  Seat& seat = seats_[number];
  seat.channel.close();
  if (answer.status == 429 || answer.status >= 500) {
    ++commons_.counts.trouble;
    schedule(number, now_ms() + enrol_again_ms);
    return {};
  }
  TRY(const Certificate certificate, own_certificate(answer, *seat.key, seat.enrolment->authority, clock_.now()));
  TRY(seat.identity, make_tls_identity(certificate, *seat.key));
  seat.key.reset();
  seat.stage = Seat::Stage::alive;
  seat.device.emplace(VirtualDevice::Identity{number, certificate.common_name, random_.id("ins"), random_.id("boot")},
                      commons_, now_ms());
  ++commons_.counts.enrolled;
  --enrolling_;
  schedule(number, now_ms());
  return start_enrolments();
}

Result<> Fleet::wake_due() {
  const std::int64_t now = now_ms();
  while (!timetable_.empty() && timetable_.top().first <= now) {
    const auto [due_ms, number] = timetable_.top();
    timetable_.pop();
    if (seats_[number].due_ms != due_ms) continue;  // rescheduled since
    seats_[number].due_ms = never_ms;
    TRY_VOID(turn_of(number));
  }
  return {};
}

Result<> Fleet::wait_for_sockets(int stop_fd) {
  epoll_event events[sockets_per_wait_max];
  std::int64_t wait_ms = status_interval_ms;
  if (!timetable_.empty()) wait_ms = std::clamp<std::int64_t>(timetable_.top().first - now_ms(), 0, wait_ms);
  const int ready = ::epoll_wait(epoll_.get(), events, sockets_per_wait_max, static_cast<int>(wait_ms));
  if (ready < 0 && errno != EINTR) return errno_error("epoll_wait", "");
  for (int i = 0; i < ready; ++i) {
    if (events[i].data.u64 == stop_mark) {
      stopped_ = stop_fd >= 0;
      continue;
    }
    const std::size_t number = events[i].data.u64;
    if (seats_[number].channel.is_open()) TRY_VOID(progress(number));
  }
  return {};
}

void Fleet::give_up_on_silent_requests() {
  const auto oldest = clock_.monotonic() - Duration{request_limit_ms};
  for (std::size_t number = 0; number < seats_.size(); ++number)
    if (seats_[number].channel.busy() && seats_[number].asked_at < oldest) broken(number);
}

void Fleet::all_enrolled(const FleetRun& how) {
  steady_since_ms_ = now_ms();
  enrolling_s_ = static_cast<double>(std::max<std::int64_t>(steady_since_ms_ - started_ms_, 1)) / 1000;
  counts_then_ = commons_.counts;
  server_pid_ = how.server_pid;
  server_cpu_then_s_ = cpu_seconds(server_pid_);
}

Result<> Fleet::run(const FleetRun& how) {
  if (how.stop_fd >= 0) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = stop_mark;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, how.stop_fd, &event) != 0) return errno_error("epoll_ctl", "stop");
  }
  started_ms_ = now_ms();
  TRY_VOID(start_enrolments());
  std::int64_t status_ms = 0, sweep_ms = 0;
  const auto over = [&] {
    return stopped_ || (how.for_s > 0 && steady_since_ms_ != 0 &&
                        now_ms() >= steady_since_ms_ + static_cast<std::int64_t>(how.for_s * 1000));
  };
  while (!over()) {
    TRY_VOID(wake_due());
    TRY_VOID(wait_for_sockets(how.stop_fd));
    if (steady_since_ms_ == 0 && commons_.counts.enrolled == seats_.size()) all_enrolled(how);
    const std::int64_t now = now_ms();
    if (now >= sweep_ms) {
      give_up_on_silent_requests();
      sweep_ms = now + sweep_interval_ms;
    }
    if (now < status_ms || how.status_file.empty()) continue;
    TRY_VOID(write_status(how.status_file));
    status_ms = now + status_interval_ms;
  }
  ended_ = true;
  return how.status_file.empty() ? Result<>() : write_status(how.status_file);
}

// Replaced whole, so that a reader never sees half of it; not durable, because nobody needs it after a power cut.
Result<> Fleet::write_status(const Path& file) const {
  const Path draft = file.string() + ".new";
  {
    std::ofstream out(draft, std::ios::trunc);
    out << dump_json(told()) << "\n";
    if (!out.flush()) return errno_error("write", draft);
  }
  std::error_code failed;
  std::filesystem::rename(draft, file, failed);
  if (failed) return Error{Errc::io, file.string() + ": " + failed.message()};
  return {};
}

Json Fleet::told() const {
  const Counts& counts = commons_.counts;
  std::int64_t silent = 0;
  for (const Seat& seat : seats_) silent += seat.device && seat.device->silent();
  Json running = Json::object();
  for (const auto& [release, devices] : counts.running)
    if (devices > 0) running[release] = devices;
  Json document{{"format", "ferry.fleet-status/1"},
                {"pid", ::getpid()},
                {"state", ended_                  ? "ended"
                          : steady_since_ms_ == 0 ? "enrolling"
                                                  : "running"},
                {"devices", seats_.size()},
                {"enrolled", counts.enrolled},
                {"silent", silent},
                {"running", std::move(running)},
                {"updates", counts.updates},
                {"handshakes", counts.handshakes},
                {"check_ins", counts.check_ins},
                {"check_ins_unchanged", counts.unchanged},
                {"event_posts", counts.event_posts},
                {"events", counts.events},
                {"uploads", counts.uploads},
                {"upload_bytes", counts.upload_bytes},
                {"windows_dropped", counts.windows_dropped},
                {"manifests", counts.manifests},
                {"blobs", counts.blobs},
                {"download_bytes", counts.download_bytes},
                {"trouble", counts.trouble},
                {"refused", counts.refused}};
  if (steady_since_ms_ == 0) return document;
  const double seconds = static_cast<double>(now_ms() - steady_since_ms_) / 1000;
  const auto per_s = [&](std::uint64_t now, std::uint64_t then) {
    return seconds > 0 ? static_cast<double>(now - then) / seconds : 0;
  };
  Json steady{{"seconds", seconds},
              {"enrolled_per_s", static_cast<double>(seats_.size()) / enrolling_s_},
              {"check_ins_per_s", per_s(counts.check_ins, counts_then_.check_ins)},
              {"uploads_per_s", per_s(counts.uploads, counts_then_.uploads)},
              {"event_posts_per_s", per_s(counts.event_posts, counts_then_.event_posts)},
              {"check_in_p50_us", counts.check_in_seconds.quantile(0.5) * 1e6},
              {"check_in_p99_us", counts.check_in_seconds.quantile(0.99) * 1e6},
              {"cpu_s", cpu_seconds(::getpid())}};
  if (server_pid_ != 0) steady["server_cpu_s"] = cpu_seconds(server_pid_) - server_cpu_then_s_;
  document["since_enrolled"] = std::move(steady);
  return document;
}

}  // namespace ferry::fleet
