// Reads an OTLP ExportMetricsServiceRequest into a WindowReport; everything in it is hostile.
#include "telemetry/internal/otlp_fields.hpp"
#include "telemetry/internal/otlp_points.hpp"
#include "telemetry/otlp.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ferry::telemetry {
namespace {

using namespace otlp;

constexpr std::size_t id_bytes_max = 128;   // of an install, a boot, a rollout
constexpr std::size_t name_bytes_max = 64;  // of a model, a version
constexpr std::size_t digest_hex_bytes = 64;
constexpr std::string_view folded = "other";  // error types that are no codes, or too many

bool made_of(std::string_view text, std::size_t bytes_max, std::string_view more_characters) {
  const auto fits = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more_characters.find(c) != std::string_view::npos;
  };
  return text.size() <= bytes_max && std::ranges::all_of(text, fits);
}

bool starts_plainly(std::string_view text) {
  return !text.empty() && text[0] != '-' && text[0] != '+' && text[0] != '.';
}

// What a name may hold needs no escaping anywhere: not in HTML, not in a spreadsheet, not on a terminal.
ReleaseKey release_key(const Attributes& attributes) {
  ReleaseKey key{text(attributes, "model.name"),       text(attributes, "model.version"),
                 text(attributes, "artifact.hash"),    text(attributes, "ferry.slot"),
                 text(attributes, "ferry.rollout.id"), text(attributes, "ferry.arm")};
  if (key.arm.empty()) key.arm = no_arm;
  if (key.model.empty() || key.version.empty())
    throw Refused{"names", "a data point without model.name or model.version"};
  const bool plain = made_of(key.model, name_bytes_max, "-_.") && starts_plainly(key.model) &&
                     made_of(key.version, name_bytes_max, "-.+") && starts_plainly(key.version) &&
                     made_of(key.manifest_sha256, digest_hex_bytes, "") && made_of(key.rollout, id_bytes_max, "-_.") &&
                     (key.rollout.empty() || starts_plainly(key.rollout));
  if (!plain) throw Refused{"names", "model.name, model.version, artifact.hash or ferry.rollout.id is no such name"};
  if (!key.slot.empty() && key.slot != "a" && key.slot != "b") throw Refused{"names", "ferry.slot: expected a or b"};
  if (key.arm != "canary" && key.arm != "control" && key.arm != no_arm)
    throw Refused{"names", "ferry.arm: expected canary, control or none"};
  return key;
}

void add_count(std::uint64_t& into, std::uint64_t count) {
  into = checked_count(std::int64_t(into + count));  // each at most 2^53: no overflow
}

void set_once(bool has_some, std::string_view metric) {
  if (has_some) throw Refused{"repeat", std::string(metric) + " twice for one release"};
}

Confusion confusion_of(std::string_view classes) {
  if (classes == other_classes) return other_confusion;
  Confusion pair;
  const auto [middle, failed] = std::from_chars(classes.data(), classes.data() + classes.size(), pair.older);
  const char* const end = classes.data() + classes.size();
  if (failed == std::errc() && middle != end && *middle == '>') {
    const auto [rest, failed_too] = std::from_chars(middle + 1, end, pair.newer);
    if (failed_too == std::errc() && rest == end && pair.older != pair.newer && pair.older < classes_max &&
        pair.newer < classes_max)
      return pair;
  }
  throw Refused{"names", "classes: expected =, other or two classes as 3>5"};
}

class ReportReader {
 public:
  explicit ReportReader(Rejected* rejected) : rejected_(rejected) {}

  WindowReport read(std::string_view bytes) {
    Message request(bytes);
    bool seen = false;
    while (request.next()) {
      if (request.tag() != request::resource_metrics) {
        request.skip();
        continue;
      }
      if (std::exchange(seen, true)) throw Malformed{"more than one resource_metrics"};
      resource_metrics(request.get_message());
    }
    const auto is_id = [](const std::string& id) { return !id.empty() && made_of(id, id_bytes_max, "-_.:"); };
    if (!is_id(report_.install) || !is_id(report_.boot))
      throw Refused{"identity", "no service.instance.id or ferry.boot.id"};
    if (report_.seq == 0) throw Refused{"identity", "no ferry.report.seq, expected 1 or more"};
    for (auto& [key, window] : windows_) {
      for (auto& [tensor, stats] : window.inputs)
        if (stats.tensors == 0 && stats.values > 0) stats.tensors = window.inference_count();
      drop_unsound(window);
      report_.releases.push_back(std::move(window));
    }
    return std::move(report_);
  }

 private:
  // One data point that makes no sense takes nothing with it, when somebody counts it.
  template <class Read>
  void tolerate(Read read) {
    try {
      read();
    } catch (const Malformed&) {
      throw;
    } catch (const Refused& refused) {
      if (!rejected_) throw;
      rejected_->add(refused.reason, refused.why);
    }
  }

  void resource_metrics(Message reader) {
    while (reader.next()) {
      if (reader.tag() == resource_metrics::resource)
        resource(reader.get_message());
      else if (reader.tag() == resource_metrics::scope_metrics)
        scope(reader.get_message());
      else
        reader.skip();
    }
  }

  void resource(Message reader) {
    const Attributes attributes = read_attributes(reader, resource::attributes);
    report_.install = text(attributes, "service.instance.id");
    report_.boot = text(attributes, "ferry.boot.id");
    report_.agent_version = text(attributes, "service.version");
    const auto seq = attributes.find("ferry.report.seq");
    if (seq == attributes.end()) return;
    const auto* number = std::get_if<std::int64_t>(&seq->second);
    if (number && *number > 0) report_.seq = std::uint64_t(*number);
  }

  // What a scope says about the release holds for its points that do not say it themselves.
  void scope(Message reader) {
    scope_ = {};
    for (Message ahead = reader; ahead.next();) {
      if (ahead.tag() == scope_metrics::scope) {
        const Message about = ahead.get_message();
        tolerate([&] { scope_ = read_attributes(about, scope::attributes); });
      } else {
        ahead.skip();
      }
    }
    while (reader.next()) {
      if (reader.tag() == scope_metrics::metrics)
        metric(reader.get_message());
      else
        reader.skip();
    }
  }

  void metric(Message reader) {
    std::string name;
    while (reader.next()) {
      switch (reader.tag()) {
        case metric::name:
          tolerate([&] { name = reader.get_text(); });
          break;
        case metric::gauge:
          each_point(reader.get_message(), false, [&](Message p) { number(name, read_number_point(p)); });
          break;
        case metric::sum:
          each_point(reader.get_message(), true, [&](Message p) { number(name, read_number_point(p)); });
          break;
        case metric::histogram:
          each_point(reader.get_message(), true, [&](Message p) { histogram(name, read_histogram_point(p)); });
          break;
        case metric::exponential_histogram:
          each_point(reader.get_message(), true, [&](Message p) { sketch(name, read_sketch_point(p)); });
          break;
        default:
          reader.skip();
      }
    }
  }

  // The temporality may stand behind the points: it is read first.
  template <class Read>
  void each_point(Message reader, bool has_temporality, Read read) {
    std::int32_t temporality = 0;
    for (Message ahead = reader; ahead.next();) {
      if (ahead.tag() == data::temporality)
        temporality = ahead.get_enum();
      else
        ahead.skip();
    }
    while (reader.next()) {
      if (reader.tag() != data::points) {
        reader.skip();
        continue;
      }
      const Message point = reader.get_message();
      tolerate([&] {
        if (has_temporality && temporality != delta)
          throw Refused{"temporality", "cumulative temporality, expected delta"};
        read(point);
      });
    }
  }

  ReleaseWindow& window(const Attributes& attributes, const Times& times) {
    const ReleaseKey key = release_key(attributes.contains("model.name") ? attributes : scope_);
    if (windows_.size() >= releases_per_upload_max && !windows_.contains(key))
      throw Refused{"cardinality", "more than 32 releases in one upload"};
    report_.start_unix_ms = has_times_ ? std::min(report_.start_unix_ms, times.start_ms) : times.start_ms;
    report_.end_unix_ms = has_times_ ? std::max(report_.end_unix_ms, times.end_ms) : times.end_ms;
    has_times_ = true;
    ReleaseWindow& made = windows_[key];
    made.key = key;
    return made;
  }

  // Of the device or of a release, by the metric's name; others are ignored.
  void number(const std::string& name, const NumberPoint& point) {
    if (name == dropped_name) return add_count(report_.dropped, checked_count(point.number));
    if (name == dropped_inferences_name) return add_count(report_.dropped_inferences, checked_count(point.number));
    using Taken = void (ReportReader::*)(ReleaseWindow&, const NumberPoint&);
    static const std::map<std::string_view, Taken> known{
        {errors_name, &ReportReader::errors},
        {labels_name, &ReportReader::labels},
        {memory_name, &ReportReader::memory},
        {unjoinable_name, &ReportReader::unjoinable},
        {refused_name, &ReportReader::refused_requests},
        {input_tensors_name, &ReportReader::input_tensors},
        {input_squares_name, &ReportReader::input_squares},
        {output_name, &ReportReader::output_findings},
        {agreement_name, &ReportReader::agreement},
        {gap_name, &ReportReader::gap},
    };
    const auto found = known.find(name);
    if (found == known.end()) return;
    checked_count(point.number);
    (this->*found->second)(window(point.attributes, point.times), point);
  }

  void errors(ReleaseWindow& into, const NumberPoint& point) {
    std::string type = text(point.attributes, "error.type");
    const bool plain = plain_error_type(type);
    const bool fits = into.errors.contains(type) || into.errors.size() + 1 < error_types_max || type == folded;
    if (!plain || !fits) {
      if (rejected_)
        rejected_->clamp(plain ? "cardinality" : "names", plain ? "more than 64 error types; the others are one"
                                                                : "error.type is no code; counted as other");
      type = folded;
    }
    add_count(into.errors[type], std::uint64_t(point.number));
  }

  void labels(ReleaseWindow& into, const NumberPoint& point) {
    const auto correct = point.attributes.find("correct");
    const bool* flag = correct == point.attributes.end() ? nullptr : std::get_if<bool>(&correct->second);
    const std::string source = text(point.attributes, "source");
    if (!flag || (source != "audit" && source != "user" && source != "downstream"))
      throw Refused{"names", "a label outcome without correct and source (audit, user or downstream)"};
    add_count(into.labels[LabelKey{source, *flag}], std::uint64_t(point.number));
  }

  void memory(ReleaseWindow& into, const NumberPoint& point) { into.worker_memory_bytes = std::uint64_t(point.number); }
  void unjoinable(ReleaseWindow& into, const NumberPoint& point) {
    add_count(into.labels_unjoinable, std::uint64_t(point.number));
  }
  void refused_requests(ReleaseWindow& into, const NumberPoint& point) {
    add_count(into.requests_refused, std::uint64_t(point.number));
  }

  static InputStats& input(ReleaseWindow& into, const Attributes& attributes) {
    const std::string tensor = text(attributes, "tensor");
    if (!plain_tensor_name(tensor)) throw Refused{"names", "tensor: expected an input's name"};
    if (into.inputs.size() >= inputs_max && !into.inputs.contains(tensor))
      throw Refused{"cardinality", "more than 8 input tensors of one release"};
    return into.inputs[tensor];
  }

  void input_tensors(ReleaseWindow& into, const NumberPoint& point) {
    const std::string finding = text(point.attributes, "finding");
    InputStats& stats = input(into, point.attributes);
    std::uint64_t* counter = finding.empty()             ? &stats.tensors
                             : finding == "nan"          ? &stats.with_nan
                             : finding == "infinity"     ? &stats.with_infinity
                             : finding == "constant"     ? &stats.constant
                             : finding == "out_of_range" ? &stats.out_of_range
                                                         : nullptr;
    if (!counter) throw Refused{"names", "finding: expected nan, infinity, constant or out_of_range"};
    add_count(*counter, std::uint64_t(point.number));
  }

  void input_squares(ReleaseWindow& into, const NumberPoint& point) {
    input(into, point.attributes).squares += point.real;
  }

  void output_findings(ReleaseWindow& into, const NumberPoint& point) {
    const std::string finding = text(point.attributes, "finding");
    std::uint64_t* counter = finding == "nan"     ? &into.outputs.nan
                             : finding == "shape" ? &into.outputs.shape
                             : finding == "empty" ? &into.outputs.empty
                                                  : nullptr;
    if (!counter) throw Refused{"names", "finding: expected nan, shape or empty"};
    add_count(*counter, std::uint64_t(point.number));
  }

  static ShadowAgreement& shadow(ReleaseWindow& into, const Attributes& attributes) {
    const std::string against = text(attributes, "against");
    if (!made_of(against, name_bytes_max, "-.+") || !starts_plainly(against))
      throw Refused{"names", "against: expected a version"};
    if (into.shadow.size() >= shadow_releases_max && !into.shadow.contains(against))
      throw Refused{"cardinality", "a release compared with more than 4 others"};
    return into.shadow[against];
  }

  void agreement(ReleaseWindow& into, const NumberPoint& point) {
    const std::string classes = text(point.attributes, "classes");
    if (classes == agreed_classes) return add_count(shadow(into, point.attributes).agreed, std::uint64_t(point.number));
    ShadowAgreement one;
    one.disagreed[confusion_of(classes)] = std::uint64_t(point.number);
    shadow(into, point.attributes).merge(one);
  }

  void gap(ReleaseWindow& into, const NumberPoint& point) { shadow(into, point.attributes).gap_sum += point.real; }

  void histogram(const std::string& name, HistogramPoint point) {
    if (name == input_values_name) {
      InputStats& stats = input(window(point.attributes, point.times), point.attributes);
      set_once(stats.values > 0, name);
      stats.values = point.count;
      stats.sum = point.sum;
      stats.min = point.min;
      stats.max = point.max;
      return;
    }
    if (name != class_name && name != confidence_name && name != mnlp_name) return;
    if (point.counts.empty()) throw Refused{"bounds", name + " without bucket_counts"};
    ReleaseWindow& into = window(point.attributes, point.times);
    if (name == class_name) {
      set_once(!into.classes.empty(), name);
      into.classes = std::move(point.counts);
      return;
    }
    BoundedHistogram& target = name == confidence_name ? into.confidence : into.mnlp;
    set_once(!target.counts.empty(), name);
    target = BoundedHistogram(std::move(point.bounds));
    target.counts = std::move(point.counts);
  }

  void sketch(const std::string& name, SketchPoint point) {
    if (name == delay_name) return delay(std::move(point));
    if (name != duration_name) return;
    if (point.scale != ExpHistogram::scale)
      throw Refused{"scale", "exponential histogram of scale " + std::to_string(point.scale) + ", expected 5"};
    auto made = ExpHistogram::from_parts(point.offset, std::move(point.counts), point.zero_count, point.count,
                                         point.sum, point.min, point.max);
    if (!made) throw Refused{"counts", made.error().context};
    ReleaseWindow& into = window(point.attributes, point.times);
    set_once(into.duration.count() > 0, name);
    into.duration = std::move(*made);
  }

  void delay(SketchPoint point) {
    if (point.scale != delay_scale)
      throw Refused{"scale", std::string(delay_name) + " of scale " + std::to_string(point.scale) + ", expected 0"};
    if (point.offset < 0 || std::size_t(point.offset) + point.counts.size() > delay_octaves_max)
      throw Refused{"bounds", std::string(delay_name) + ": buckets outside 2^0..2^22 s"};
    DelayOctaves octaves;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < point.counts.size(); ++i) {
      add_count(total, checked_count(std::int64_t(point.counts[i])));
      if (point.counts[i] > 0) octaves[point.offset + int(i)] = point.counts[i];
    }
    if (total != point.count) throw Refused{"counts", "count differs from the sum of its buckets"};
    ReleaseWindow& into = window(point.attributes, point.times);
    set_once(!into.label_delay.empty(), delay_name);
    into.label_delay = std::move(octaves);
  }

  // What several data points say together must be possible.
  void drop_unsound(ReleaseWindow& made) {
    const auto drop_from = [&](auto& sums, const char* why, auto sound) {
      std::erase_if(sums, [&](const auto& entry) {
        if (sound(entry.second)) return false;
        tolerate([&] { throw Refused{"counts", why}; });
        return true;
      });
    };
    drop_from(made.inputs, "an input whose counts and sums contradict each other",
              [](const InputStats& stats) { return stats.sound(); });
    drop_from(made.shadow, "a mean gap of probabilities outside 0..1", [](const ShadowAgreement& agreement) {
      return agreement.gap_sum >= 0 && agreement.gap_sum <= double(agreement.compared()) * 1.000001;
    });
  }

  Rejected* rejected_;
  Attributes scope_;
  WindowReport report_;
  bool has_times_ = false;
  std::map<ReleaseKey, ReleaseWindow> windows_;
};

}  // namespace

void Rejected::add(std::string_view reason, std::string_view why) {
  ++points;
  clamp(reason, why);
}

void Rejected::clamp(std::string_view reason, std::string_view why) {
  ++by_reason[std::string(reason)];
  if (first.empty()) first = why;
}

Result<WindowReport> decode_otlp(std::string_view bytes, Rejected* rejected) {
  if (bytes.size() > upload_bytes_max)
    return Error{Errc::bad_input, "telemetry: larger than 256 KiB", "body_too_large"};
  try {
    return ReportReader{rejected}.read(bytes);
  } catch (const Refused& refused) {
    return Error{Errc::bad_input, "telemetry: " + refused.why, "telemetry_" + std::string(refused.reason)};
  } catch (const protozero::exception& wrong) {
    return Error{Errc::bad_input, std::string("telemetry: not protobuf: ") + wrong.what(), "telemetry_malformed"};
  }
}

PartialSuccess decode_otlp_response(std::string_view bytes) {
  PartialSuccess told;
  try {
    for (Message whole(bytes); whole.next();) {
      if (whole.tag() != response::partial_success) {
        whole.skip();
        continue;
      }
      for (Message partial = whole.get_message(); partial.next();) {
        if (partial.tag() == partial_success::rejected_data_points)
          told.rejected_data_points = partial.get_int64();
        else if (partial.tag() == partial_success::error_message)
          told.message = std::string(partial.get_view().substr(0, partial_message_bytes_max));
        else
          partial.skip();
      }
    }
  } catch (const Refused&) {
    return {};
  } catch (const protozero::exception&) {
    return {};
  }
  return told;
}

}  // namespace ferry::telemetry
