// The loop that gives every virtual device its turn: one thread, one epoll, one timetable.
#pragma once
#include "tests/fleet/enrolment.hpp"

#include <queue>

namespace ferry::fleet {

struct FleetRun {
  int stop_fd = -1;    // readable: end
  double for_s = 0;    // 0: until stop_fd; counted from when all have enrolled
  Path status_file;    // "": none
  int server_pid = 0;  // whose CPU time is counted; 0: none
};

class Fleet {
 public:
  // Blocks for the first contact with each token's server. Devices enrol with the tokens in turn. bad_input when this
  // process may not open as many connections as the plan has devices.
  static Result<std::unique_ptr<Fleet>> open(FleetPlan plan, const std::vector<std::string>& tokens, Random& random);

  // Enrols and lives until it is told to end. Trouble with the server costs waiting; a refused token is an error.
  Result<> run(const FleetRun& how);
  // What happened so far (ferry.fleet-status/1, tests/fleet/README.md).
  Json told() const;

 private:
  struct Seat {
    enum class Stage { waiting, enrolling, alive };
    Stage stage = Stage::waiting;
    const Enrolment* enrolment = nullptr;
    std::optional<PrivateKey> key;  // while it enrols
    TlsIdentity identity;
    Channel channel;
    std::optional<VirtualDevice> device;
    std::string request;  // under way, to be repeated on a fresh connection
    Purpose purpose = Purpose::profile;
    bool digest_only = false, repeated = false;
    std::int64_t due_ms = never_ms;
    std::chrono::nanoseconds asked_at{};
    bool asked_when_open = false;
  };

  Fleet(FleetPlan plan, Random& random);
  std::int64_t now_ms() const;
  void schedule(std::size_t number, std::int64_t due_ms);
  Result<> turn_of(std::size_t number);   // nothing is under way: what next?
  Result<> progress(std::size_t number);  // its socket has something, or a request was put there
  Result<> send(std::size_t number, std::string request, bool digest_only);
  Result<> answered(std::size_t number, const Heard& answer);
  void broken(std::size_t number);
  Result<> start_enrolments();
  Result<> enrolled(std::size_t number, const Heard& answer);
  Result<> wake_due();
  Result<> wait_for_sockets(int stop_fd);
  void give_up_on_silent_requests();
  void all_enrolled(const FleetRun& how);
  Result<> write_status(const Path& file) const;

  Commons commons_;
  Random& random_;
  SystemClock clock_;
  std::int64_t wall_base_ms_;
  std::chrono::nanoseconds steady_base_;
  std::vector<std::unique_ptr<Enrolment>> enrolments_;
  std::vector<Seat> seats_;
  FileDescriptor epoll_;
  using Due = std::pair<std::int64_t, std::size_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> timetable_;  // may hold what was rescheduled since

  std::size_t next_to_enrol_ = 0, enrolling_ = 0;
  bool ended_ = false, stopped_ = false;
  std::int64_t started_ms_ = 0;
  double enrolling_s_ = 0;  // how long it took all
  // Since all had enrolled.
  std::int64_t steady_since_ms_ = 0;
  Counts counts_then_;
  double server_cpu_then_s_ = 0;
  int server_pid_ = 0;
};

}  // namespace ferry::fleet
