// Uploads that no agent sends, one row per trick, for the tests of the decoder and of the server: each also carries an
// honest latency of seven inferences, which a trick in another data point must not take along.
#pragma once
#include "telemetry/otlp.hpp"

#include <cstring>
#include <functional>
#include <limits>

namespace ferry::test {

// Protobuf by hand: what the encoder would refuse to write.
struct Wire {
  std::string bytes;
  Wire& varint(std::uint64_t value) {
    for (; value > 0x7f; value >>= 7) bytes += static_cast<char>(value | 0x80);
    bytes += static_cast<char>(value);
    return *this;
  }
  Wire& number(int field, std::uint64_t value) { return varint(static_cast<std::uint64_t>(field) << 3).varint(value); }
  Wire& fixed(int field, std::uint64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 1);
    char raw[8];
    std::memcpy(raw, &value, 8);
    bytes.append(raw, 8);
    return *this;
  }
  Wire& real(int field, double value) {
    std::uint64_t raw = 0;
    std::memcpy(&raw, &value, 8);
    return fixed(field, raw);
  }
  Wire& text(int field, std::string_view value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2).varint(value.size());
    bytes += value;
    return *this;
  }
  Wire& message(int field, const Wire& inner) { return text(field, inner.bytes); }
};

inline Wire packed(const std::vector<std::uint64_t>& values) {
  Wire made;
  for (const std::uint64_t value : values) made.varint(value);
  return made;
}
inline Wire packed_fixed(const std::vector<std::uint64_t>& values) {
  Wire made;
  for (const std::uint64_t value : values) made.bytes.append(reinterpret_cast<const char*>(&value), 8);
  return made;
}
inline Wire packed_real(const std::vector<double>& values) {
  Wire made;
  for (const double value : values) made.bytes.append(reinterpret_cast<const char*>(&value), 8);
  return made;
}
inline Wire attribute(std::string_view key, std::string_view value) {
  return Wire().text(1, key).message(2, Wire().text(1, value));
}
inline Wire attribute(std::string_view key, std::int64_t value) {
  return Wire().text(1, key).message(2, Wire().number(3, static_cast<std::uint64_t>(value)));
}

constexpr std::uint64_t ns_per_ms = 1'000'000;

// Who sends what and when.
struct HostileUpload {
  std::string install = "in-1", boot = "bo-1", model = "fashion-mnist", version = "1.0.0";
  std::int64_t seq = 1;
  std::uint64_t start_ns = 0, end_ns = 0;
  std::vector<Wire> metrics;

  HostileUpload(std::int64_t now_ms, std::int64_t number)
      : seq(number),
        start_ns(static_cast<std::uint64_t>(now_ms - 60'000) * ns_per_ms),
        end_ns(static_cast<std::uint64_t>(now_ms) * ns_per_ms) {}

  // The field that holds attributes differs by kind of point.
  Wire point(int attributes_field) const {
    Wire made;
    for (const auto& [key, value] : {std::pair<std::string_view, std::string_view>{"model.name", model},
                                     {"model.version", version},
                                     {"artifact.hash", std::string_view()},
                                     {"ferry.slot", "a"}})
      if (!value.empty()) made.message(attributes_field, attribute(key, value));
    return made.fixed(2, start_ns).fixed(3, end_ns);
  }
  static constexpr int number_attributes = 7, histogram_attributes = 9, sketch_attributes = 1;
  Wire count(std::uint64_t value) const { return point(number_attributes).fixed(6, value); }
  Wire histogram(const std::vector<double>& bounds, const std::vector<std::uint64_t>& counts,
                 std::uint64_t total) const {
    return point(histogram_attributes).fixed(4, total).message(6, packed_fixed(counts)).message(7, packed_real(bounds));
  }
  Wire sketch(const std::vector<std::uint64_t>& counts, std::uint64_t total, int scale = 5, int offset = -320,
              double sum_s = 0.01, double min = 0.001, double max = 0.002) const {
    const auto zigzag = [](int value) { return static_cast<std::uint32_t>((value << 1) ^ (value >> 31)); };
    return point(sketch_attributes)
        .fixed(4, total)
        .real(5, sum_s)
        .number(6, zigzag(scale))
        .message(8, Wire().number(1, zigzag(offset)).message(2, packed(counts)))
        .real(12, min)
        .real(13, max);
  }
  enum Kind { gauge = 5, sum = 7, bounded = 9, exponential = 10 };
  HostileUpload& add(Kind kind, std::string_view name, const std::vector<Wire>& points, int temporality = 1) {
    Wire all;
    for (const Wire& one : points) all.message(1, one);
    if (kind != gauge) all.number(2, static_cast<std::uint64_t>(temporality));
    metrics.push_back(Wire().text(1, name).message(kind, all));
    return *this;
  }
  HostileUpload& add_latency(const Wire& sketch_point, int temporality = 1) {
    return add(exponential, "ferry.inference.duration", {sketch_point}, temporality);
  }
  Wire resource_metrics() const {
    Wire resource;
    resource.message(1, attribute("service.name", "ferry-agent"));
    if (!install.empty()) resource.message(1, attribute("service.instance.id", install));
    resource.message(1, attribute("ferry.boot.id", boot)).message(1, attribute("ferry.report.seq", seq));
    Wire scope;
    for (const Wire& metric : metrics) scope.message(2, metric);
    return Wire().message(1, resource).message(2, scope);
  }
  std::string bytes() const { return Wire().message(1, resource_metrics()).bytes; }
};

struct Trick {
  std::string name;
  std::string reason;    // what it is counted as
  bool whole = false;    // the whole upload is refused, not a data point
  bool clamped = false;  // kept as something else
  std::function<std::string(HostileUpload)> build;
};

inline constexpr std::uint64_t honest_inferences = 7;

// `honest` is the version that the honest latency is of; the tricks are played as 1.0.0.
inline std::vector<Trick> hostile_tricks(const std::string& honest) {
  const auto on_top = [honest](HostileUpload upload, auto add) {
    HostileUpload bystander = upload;
    bystander.version = honest;
    upload.add_latency(bystander.sketch({3, 4}, honest_inferences));
    add(upload);
    return upload.bytes();
  };
  std::vector<Trick> all;
  const auto trick = [&](std::string name, std::string reason, auto add, bool clamped = false) {
    all.push_back({std::move(name), std::move(reason), false, clamped,
                   [on_top, add](HostileUpload upload) { return on_top(std::move(upload), add); }});
  };
  using U = HostileUpload;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  constexpr std::uint64_t huge = std::uint64_t{1} << 63;
  trick("NaN as a sum", "number", [](U& u) { u.add_latency(u.sketch({1}, 1, 5, -320, nan)); });
  trick("infinity as a maximum", "number", [](U& u) { u.add_latency(u.sketch({1}, 1, 5, -320, 1, 0.1, infinity)); });
  trick("a negative minimum", "counts", [](U& u) { u.add_latency(u.sketch({1}, 1, 5, -320, 1, -1e308, 1)); });
  trick("negative durations", "number",
        [](U& u) { u.add_latency(u.sketch({1}, 1).message(9, Wire().number(1, 0).message(2, packed({5})))); });
  trick("a negative time", "time", [](U& u) { u.start_ns = huge | 5, u.add_latency(u.sketch({1}, 1)); });
  trick("an end before the start", "time", [](U& u) { u.end_ns = u.start_ns / 2, u.add_latency(u.sketch({1}, 1)); });
  trick("the year 2554", "time", [](U& u) {
    u.end_ns = ~std::uint64_t{0};
    u.start_ns = u.end_ns - 1;
    u.add_latency(u.sketch({1}, 1));
  });
  trick("a latency count that is not the sum of its buckets", "counts", [](U& u) {
    u.add_latency(u.sketch({1, 2}, 1'000'000));
  });
  trick("a class count that is not the sum of its buckets", "counts", [](U& u) {
    u.add(U::bounded, "ferry.prediction.class", {u.histogram({0.5}, {1, 2}, 9)});
  });
  trick("negative counts", "counts",
        [](U& u) { u.add(U::sum, "ferry.inference.errors", {u.count(~std::uint64_t{0})}); });
  trick("counts beyond any fleet", "counts", [](U& u) { u.add_latency(u.sketch({huge, huge}, 0)); });
  trick("class counts that overflow", "counts", [](U& u) {
    u.add(U::bounded, "ferry.prediction.class", {u.histogram({0.5}, {huge, huge}, 0)});
  });
  trick("a coarser scale", "scale", [](U& u) { u.add_latency(u.sketch({1}, 1, 3)); });
  trick("a finer scale", "scale", [](U& u) { u.add_latency(u.sketch({1}, 1, 20)); });
  trick("an absurd scale", "scale", [](U& u) { u.add_latency(u.sketch({1}, 1, -2'000'000'000)); });
  trick("buckets beyond the range", "counts", [](U& u) { u.add_latency(u.sketch({1}, 1, 5, 2'000'000'000)); });
  trick("cumulative temporality", "temporality", [](U& u) { u.add_latency(u.sketch({1}, 1), 2); });
  trick("no temporality", "temporality", [](U& u) { u.add_latency(u.sketch({1}, 1), 0); });
  trick("a thousand attributes", "attributes", [](U& u) {
    Wire point = u.count(1);
    for (int i = 0; i < 1'000; ++i) point.message(U::number_attributes, attribute("a" + std::to_string(i), "x"));
    u.add(U::sum, "ferry.inference.errors", {point});
  });
  trick("a giant attribute", "attributes", [](U& u) {
    u.add(U::sum, "ferry.inference.errors",
          {u.count(1).message(U::number_attributes, attribute("error.type", std::string(10'000, 'x')))});
  });
  trick("a giant metric name", "attributes", [](U& u) { u.add(U::sum, std::string(10'000, 'x'), {u.count(1)}); });
  trick("bounds that fall", "bounds", [](U& u) {
    u.add(U::bounded, "ferry.prediction.confidence", {u.histogram({0.9, 0.5}, {1, 1, 1}, 3)});
  });
  trick("NaN as a bound", "bounds", [](U& u) {
    u.add(U::bounded, "ferry.prediction.mnlp", {u.histogram({nan}, {1, 1}, 2)});
  });
  trick("fewer buckets than bounds", "bounds", [](U& u) {
    u.add(U::bounded, "ferry.prediction.mnlp", {u.histogram({1, 2, 3}, {1}, 1)});
  });
  trick("HTML as a model", "names",
        [](U& u) { u.model = "<script>alert(1)</script>", u.add_latency(u.sketch({1}, 1)); });
  trick("a spreadsheet formula as a version", "names",
        [](U& u) { u.version = "=HYPERLINK(\"http://x\")", u.add_latency(u.sketch({1}, 1)); });
  trick("a formula that begins with a minus", "names", [](U& u) { u.version = "-1", u.add_latency(u.sketch({1}, 1)); });
  trick("SQL as a rollout", "names", [](U& u) {
    u.add_latency(u.sketch({1}, 1).message(U::sketch_attributes, attribute("ferry.rollout.id", "'; drop table x--")));
  });
  trick("an arm that is none", "names",
        [](U& u) { u.add_latency(u.sketch({1}, 1).message(U::sketch_attributes, attribute("ferry.arm", "winner"))); });
  trick(
      "HTML as an error type", "names",
      [](U& u) {
        u.add(U::sum, "ferry.inference.errors",
              {u.count(1).message(U::number_attributes, attribute("error.type", "<img onerror=x>"))});
      },
      true);
  trick(
      "a formula as an error type", "names",
      [](U& u) {
        u.add(U::sum, "ferry.inference.errors",
              {u.count(1).message(U::number_attributes, attribute("error.type", "=1+1"))});
      },
      true);
  trick(
      "a hundred error types", "cardinality",
      [](U& u) {
        std::vector<Wire> points;
        for (int i = 0; i < 100; ++i)
          points.push_back(u.count(1).message(U::number_attributes, attribute("error.type", "e" + std::to_string(i))));
        u.add(U::sum, "ferry.inference.errors", points);
      },
      true);
  trick("a label source that is none", "names", [](U& u) {
    u.add(U::sum, "ferry.label.outcomes", {u.count(9).message(U::number_attributes, attribute("source", "rumour"))});
  });
  trick("HTML as an input tensor", "names", [](U& u) {
    u.add(U::sum, "ferry.input.tensors", {u.count(1).message(U::number_attributes, attribute("tensor", "<b>"))});
  });
  trick("a hundred releases", "cardinality", [](U& u) {
    for (int i = 0; i < 100; ++i) {
      u.version = "9.0." + std::to_string(i);
      u.add_latency(u.sketch({1}, 1));
    }
  });
  trick("a hundred input tensors", "cardinality", [](U& u) {
    std::vector<Wire> points;
    for (int i = 0; i < 100; ++i)
      points.push_back(u.count(1).message(U::number_attributes, attribute("tensor", "t" + std::to_string(i))));
    u.add(U::sum, "ferry.input.tensors", points);
  });
  trick("the same latency twice", "repeat",
        [](U& u) { u.add_latency(u.sketch({1}, 1)).add_latency(u.sketch({1}, 1)); });
  trick("an input whose mean lies outside its range", "counts", [](U& u) {
    u.add(U::sum, "ferry.input.tensors", {u.count(5).message(U::number_attributes, attribute("tensor", "x"))});
    u.add(U::bounded, "ferry.input.values",
          {u.point(U::histogram_attributes)
               .message(U::histogram_attributes, attribute("tensor", "x"))
               .fixed(4, 10)
               .real(5, 1e9)
               .real(11, 0)
               .real(12, 1)});
  });
  trick("NaN as an input's sum", "number", [](U& u) {
    u.add(U::bounded, "ferry.input.values",
          {u.point(U::histogram_attributes)
               .message(U::histogram_attributes, attribute("tensor", "x"))
               .fixed(4, 10)
               .real(5, nan)});
  });
  trick("a gap of probabilities above one", "counts", [](U& u) {
    u.add(U::sum, "ferry.shadow.gap",
          {u.point(U::number_attributes).real(4, 50).message(U::number_attributes, attribute("against", "0.9.0"))});
  });
  trick("a disagreement of a class with itself", "names", [](U& u) {
    u.add(U::sum, "ferry.shadow.agreement",
          {u.count(1)
               .message(U::number_attributes, attribute("against", "0.9.0"))
               .message(U::number_attributes, attribute("classes", "3>3"))});
  });
  trick("label delays before the prediction", "bounds",
        [](U& u) { u.add(U::exponential, "ferry.label.delay", {u.sketch({1}, 1, 0, -5)}); });
  const auto whole = [&](std::string name, std::string reason, std::function<std::string(HostileUpload)> build) {
    all.push_back({std::move(name), std::move(reason), true, false, std::move(build)});
  };
  whole("not protobuf at all", "malformed", [](U) { return std::string("<html>hello</html>"); });
  whole("cut in the middle", "malformed", [on_top](U u) {
    const std::string bytes = on_top(std::move(u), [](U&) {});
    return bytes.substr(0, bytes.size() - 5);
  });
  whole("a number where a message belongs", "malformed", [](U) { return Wire().number(1, 5).bytes; });
  whole("two devices in one upload", "malformed",
        [](U u) { return Wire().message(1, u.resource_metrics()).message(1, u.resource_metrics()).bytes; });
  whole("no install", "identity", [](U u) { return u.install.clear(), u.bytes(); });
  whole("HTML as an install", "identity", [](U u) { return u.install = "<b>", u.bytes(); });
  whole("sequence number zero", "identity", [](U u) { return u.seq = 0, u.bytes(); });
  whole("a negative sequence number", "identity", [](U u) { return u.seq = -5, u.bytes(); });
  whole("a million attributes", "body_too_large", [](U u) {
    Wire point = u.count(1);
    for (int i = 0; i < 1'000'000; ++i) point.message(U::number_attributes, Wire().text(1, "k"));
    return u.add(U::sum, "ferry.inference.errors", {point}).bytes();
  });
  return all;
}

}  // namespace ferry::test
