// Both ends of the device API: what a device believes of its server (assignment), and a server of a device (events).
#include "agent/assignment.hpp"
#include "server/fleet/event_batch.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;

namespace {

void check_assignment(std::string_view body) {
  auto assignment = agent::parse_assignment(body);
  if (!assignment) return;
  fuzz::promise(assignment->models.size() <= agent::models_per_device_max, "models are bounded");
  fuzz::promise(assignment->telemetry_interval > Duration{}, "an interval is positive");
  for (const auto& model : assignment->models)
    fuzz::promise(ota::check_model_name(model.model).has_value(), "a model's name can be a file name");
}

void check_events(std::string_view body) {
  auto batch = server::parse_event_batch(body, 1'700'000'000'000);
  if (!batch) return;
  fuzz::promise(!batch->install.empty(), "an install is named");
  fuzz::promise(batch->events.size() <= server::events_per_batch_max, "events are bounded");
  std::int64_t last = 0;
  for (const auto& event : batch->events) {
    fuzz::promise(event.row.seq >= last, "events come by rising sequence");
    last = event.row.seq;
    auto stored = dump_json(event.body);
    fuzz::promise(stored.size() <= server::slots_detail_bytes_max + 64 * 1024, "what is stored is bounded");
    fuzz::promise(parse_json(stored).has_value(), "what is stored can be read");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  check_assignment(bytes);
  check_events(bytes);
  return 0;
}
