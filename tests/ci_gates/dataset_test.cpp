#include "ci_gates/dataset.hpp"
#include "tests/ci_gates/workbench.hpp"

using namespace ferry;
using ci_gates::Dataset;
using ci_gates::DatasetSpec;
using test::idx;

namespace {

struct Files {
  test::TempDir folder;
  DatasetSpec spec(const std::string& images, const std::string& labels) const {
    REQUIRE(write_file_atomic(folder / "images", images));
    REQUIRE(write_file_atomic(folder / "labels", labels));
    return {.name = "tiny",
            .images = folder / "images",
            .labels = folder / "labels",
            .scale = 0.5,
            .offset = 1.0,
            .limit = 100,
            .slices = {}};
  }
};

}  // namespace

TEST_CASE("a data set gives scaled values and labels, up to its limit") {
  Files files;
  DatasetSpec spec = files.spec(idx({3, 1, 2}, {0, 2, 4, 6, 8, '\xff'}), idx({3}, {7, 8, 9}));
  auto dataset = Dataset::load(spec);
  REQUIRE(dataset);
  CHECK(dataset->size() == 3);
  std::vector<float> values;
  dataset->values(2, values);
  CHECK(values == std::vector<float>{5.0f, 128.5f});
  CHECK(dataset->label(2) == 9);
  const Digest whole = dataset->digest();
  spec.limit = 2;
  dataset = Dataset::load(spec);
  REQUIRE(dataset);
  CHECK(dataset->size() == 2);
  CHECK(dataset->digest() != whole);
}

TEST_CASE("the package's Fashion-MNIST test set is read as it is installed, gzip and all") {
  const Path folder = "/usr/share/datasets/fashion-mnist";
  const auto dataset = Dataset::load({.name = "fashion-mnist-test",
                                      .images = folder / "t10k-images-idx3-ubyte.gz",
                                      .labels = folder / "t10k-labels-idx1-ubyte.gz",
                                      .scale = 1 / 255.0,
                                      .limit = 20'000,
                                      .slices = {}});
  REQUIRE(dataset);
  CHECK(dataset->size() == 10'000);
  CHECK(dataset->values_per_sample() == 784);
  std::vector<int> counts(10);
  for (std::size_t i = 0; i < dataset->size(); ++i) ++counts[std::size_t(dataset->label(i))];
  CHECK(counts == std::vector<int>(10, 1'000));
}

TEST_CASE("each sample has the number of its slice, as many as images") {
  Files files;
  DatasetSpec spec = files.spec(idx({3, 1, 1}, "abc"), idx({3}, {0, 1, 2}));
  CHECK(Dataset::load(spec)->slice(2) == -1);
  spec.slices = files.folder / "slices";
  REQUIRE(write_file_atomic(spec.slices, idx({3}, {7, 7, 9})));
  spec.limit = 2;
  const auto dataset = Dataset::load(spec);
  REQUIRE(dataset);
  CHECK(dataset->slice(1) == 7);
  REQUIRE(write_file_atomic(spec.slices, idx({2}, {7, 7})));
  const auto short_file = Dataset::load(spec);
  REQUIRE(!short_file);
  CHECK(short_file.error().context.find("3 images but 2 slice numbers") != std::string::npos);
}

TEST_CASE("data that a model was trained on is refused, by the set's digest or its image file's") {
  Files files;
  const std::string images = idx({1, 1, 2}, "ab");
  const auto dataset = Dataset::load(files.spec(images, idx({1}, {0})));
  REQUIRE(dataset);
  const Digest other = sha256("something else");
  CHECK(ci_gates::refuse_training_data(*dataset, {}));
  CHECK(ci_gates::refuse_training_data(*dataset, {other}));
  for (const Digest& seen : {dataset->digest(), sha256(images)}) {
    const auto refused = ci_gates::refuse_training_data(*dataset, {other, seen});
    REQUIRE(!refused);
    CHECK(refused.error().code == Errc::bad_input);
    CHECK(refused.error().context.find(seen.hex()) != std::string::npos);
  }
}

TEST_CASE("a damaged data set is refused by file and cause") {
  Files files;
  const std::string images = idx({2, 1, 2}, {1, 2, 3, 4}), labels = idx({2}, {0, 1});
  const auto error_of = [&](const std::string& i, const std::string& l) {
    const auto dataset = Dataset::load(files.spec(i, l));
    return dataset ? std::string("accepted") : dataset.error().context;
  };
  CHECK(error_of(images.substr(0, images.size() - 1), labels).find("expected 4 data bytes, found 3") !=
        std::string::npos);
  CHECK(error_of(images + "x", labels).find("found 5") != std::string::npos);
  CHECK(error_of(images, idx({3}, {0, 1, 2})).find("2 images but 3 labels") != std::string::npos);
  CHECK(error_of(labels, labels).find("expected 3 dimensions, found 1") != std::string::npos);
  CHECK(error_of("", labels).find("not an IDX file") != std::string::npos);
  CHECK(error_of(idx({0xffffffff, 0xffffffff, 0xffffffff}, ""), labels).find("overflow") != std::string::npos);
  CHECK(error_of(idx({0, 1, 2}, ""), labels).find("size 0") != std::string::npos);
  CHECK(error_of("\x1f\x8b\x08garbage", labels) != "accepted");
  CHECK(Dataset::load(
            {.name = "none", .images = files.folder / "absent", .labels = files.folder / "labels", .slices = {}})
            .error()
            .code == Errc::not_found);
}
