// The local API over its real Unix socket and its real loopback port, in front of a real worker.
#include "agent/inference_api.hpp"

#include "tests/agent/serving_world.hpp"

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;

namespace {

ReleaseSpec three_classes() {
  ReleaseSpec spec;
  spec.edit = [](ota::Manifest& manifest) { manifest.contract.labels = {"a", "b", "c"}; };
  return spec;
}
std::string error_of(const HttpAnswer& answer) { return answer.json().value("error", "no error member"); }
std::string body_with(const Json& input) { return Json{{"inputs", {input}}}.dump(); }

}  // namespace

TEST_CASE("health and the server's metadata are there before any model is") {
  ServingWorld world;
  CHECK(world.get("/v2/health/live").status == 200);
  CHECK(world.get("/v2/health/ready").status == 200);
  Json server = world.get("/v2").json();
  CHECK(server["name"] == "ferry-agent");
  CHECK(std::ranges::count(server["extensions"], Json("binary_tensor_data")) == 1);
  CHECK(world.get("/v2/models/m").status == 404);
  CHECK(world.get("/v2/models/m/ready").status == 404);
  auto answer = world.infer({1});
  CHECK(answer.status == 404);
  CHECK_THAT(error_of(answer), Catch::Contains("model \"m\" is not on this device"));
  CHECK(world.get("/ferry/v1/status").json()["device"] == "dev-1");
}

TEST_CASE("a served model tells what it is, and answers, on the socket and on loopback") {
  ServingWorld world;
  world.start(world.put(three_classes()));
  Json model = world.get("/v2/models/m").json();
  CHECK(model["name"] == "m");
  CHECK(model["versions"] == Json::parse(R"(["1.0.0"])"));
  CHECK(model["inputs"] == Json::parse(R"([{"name":"x","datatype":"INT64","shape":[-1]}])"));
  CHECK(model["outputs"] == Json::parse(R"([{"name":"y","datatype":"INT64","shape":[-1]}])"));
  CHECK(model["parameters"]["slot"] == "a");
  CHECK(world.get("/v2/models/m/versions/1.0.0").status == 200);
  CHECK(world.get("/v2/models/m/ready").json()["ready"] == true);
  CHECK(world.get("/v2/health/ready").json()["ready"] == true);

  auto answer = world.infer({2, 5, 1});
  REQUIRE(answer.status == 200);
  CHECK(answer.json()["outputs"][0]["data"] == Json::parse("[4, 10, 2]"));
  CHECK(answer.json()["model_version"] == "1.0.0");
  CHECK(answer.json()["parameters"]["prediction_id"] == "boot-1-1");
  CHECK(world.infer({7}, "/v2/models/m/versions/1.0.0/infer").json()["outputs"][0]["data"][0] == 14);
  CHECK(world.observer.answered("1.0.0") == 2);

  HttpRequest over_tcp;
  over_tcp.url = world.activator->url() + "/v2/models/m";
  auto response = make_http_client({})->send(over_tcp);
  REQUIRE(response);
  CHECK(response->status == 200);
  CHECK(world.activator->url().starts_with("http://127.0.0.1:"));

  Json stats = world.get("/v2/models/m/stats").json()["model_stats"][0];
  CHECK(stats["inference_count"] == 2);
  CHECK(stats["inference_stats"]["success"]["count"] == 2);
  CHECK(stats["worker_restarts"] == 0);
}

TEST_CASE("raw tensors go in and come out, without a number in between") {
  ServingWorld world;
  world.start(world.put({}));
  std::string head = Json::parse(R"({"parameters": {"binary_data_output": true}, "inputs": [
    {"name": "x", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}}]})")
                         .dump();
  auto answer = world.send(
      "POST", "/v2/models/m/infer", head + bytes_of<std::int64_t>({-3, 1LL << 60}),
      {{"Inference-Header-Content-Length", std::to_string(head.size())}, {"Content-Type", "application/octet-stream"}});
  REQUIRE(answer.status == 200);
  auto json_bytes = std::stoul(answer.headers.at("inference-header-content-length"));
  CHECK(answer.body.substr(json_bytes) == bytes_of<std::int64_t>({-6, 1LL << 61}));
  CHECK(Json::parse(answer.body.substr(0, json_bytes))["outputs"][0]["parameters"]["binary_data_size"] == 16);
}

TEST_CASE("what a caller gets wrong is named, with the status that says whose fault it is") {
  ServingWorld world;
  world.start(world.put({}));
  using Catch::Contains;
  auto post = [&](std::string body) { return world.send("POST", "/v2/models/m/infer", std::move(body)); };

  auto answer = world.infer({1}, "/v2/models/other/infer");
  CHECK(answer.status == 404);
  CHECK_THAT(error_of(answer), Contains("\"other\""));
  for (const char* path : {"/v2/models/m/versions/9.9.9/infer"}) {
    answer = world.infer({1}, path);
    CHECK(answer.status == 404);
    CHECK_THAT(error_of(answer), Contains("version \"9.9.9\"") && Contains("1.0.0 is"));
  }
  CHECK(world.get("/v2/models/m/versions/9.9.9").status == 404);
  CHECK(world.get("/v2/models/m/versions/9.9.9/ready").status == 404);

  answer = post("{");
  CHECK(answer.status == 400);
  answer = post(body_with({{"name", "x"}, {"datatype", "FP32"}, {"shape", {1}}, {"data", {1}}}));
  CHECK(answer.status == 400);
  CHECK_THAT(error_of(answer), Contains("input \"x\"") && Contains("FP32") && Contains("INT64"));
  answer = post(body_with({{"name", "x"}, {"datatype", "INT64"}, {"shape", {1, 1}}, {"data", {1}}}));
  CHECK(answer.status == 400);
  CHECK_THAT(error_of(answer), Contains("\"x\"") && Contains("[1,1]"));
  answer = post(body_with({{"name", "x"}, {"datatype", "INT64"}, {"shape", {3}}, {"data", {1}}}));
  CHECK(answer.status == 400);
  CHECK_THAT(error_of(answer), Contains("1 elements, expected 3"));
  answer = post(body_with({{"name", "z"}, {"datatype", "INT64"}, {"shape", {1}}, {"data", {1}}}));
  CHECK(answer.status == 400);

  // HTTP's own refusals are problem documents (RFC 9457).
  CHECK(world.send("POST", "/v2/models/m/infer", std::string(inference_body_bytes_max + 1, ' ')).status == 413);
  CHECK(world.get("/v2/models/m/infer").status == 405);
  CHECK(world.get("/v3").status == 404);
  // None of it was the model's doing, and it still answers.
  CHECK(world.observer.errors().empty());
  CHECK(world.observer.refused() == 5);
  CHECK(world.infer({1}).status == 200);
  CHECK(world.observer.inputs() == 1);  // what came in and went out is there to be looked at
  CHECK(world.observer.outputs() == 1);
}

TEST_CASE("an error of the model is 500 with its words, and telemetry hears its reason") {
  ServingWorld world;
  ReleaseSpec spec;
  spec.model_bytes = picky_model();
  world.start(world.put(spec));
  auto answer = world.infer({99});
  CHECK(answer.status == 500);
  CHECK_THAT(error_of(answer), Catch::Contains("inference"));
  CHECK(world.observer.errors() == std::vector<std::string>{"trial.errors"});
  CHECK(world.infer({9}).status == 200);
}

TEST_CASE("a late label is counted once, as right or wrong, and only for a prediction that was made") {
  ServingWorld world;
  world.start(world.put(three_classes()));
  auto tell = [&](const Json& body) { return world.send("POST", "/v2/models/m/feedback", body.dump()); };
  std::string first = world.infer({2, 5, 1}).json()["parameters"]["prediction_id"].get<std::string>();  // class 1
  std::string second = world.infer({2, 5, 1}).json()["parameters"]["prediction_id"].get<std::string>();
  CHECK(world.observer.scores() == std::vector<float>{4, 10, 2});

  auto answer = tell({{"prediction_id", first}, {"label", 1}, {"source", "audit"}});
  REQUIRE(answer.status == 200);
  CHECK(answer.json()["correct"] == true);
  CHECK(answer.json()["predicted"] == 1);
  CHECK(tell({{"prediction_id", first}, {"label", 0}}).json()["correct"] == false);  // told, not counted again
  CHECK(tell({{"prediction_id", second}, {"label", 2}}).status == 200);
  CHECK(world.observer.labels() == std::vector<std::string>{"audit correct", "user wrong"});

  using Catch::Contains;
  auto refused = [&](int status, const Json& body) {
    auto got = tell(body);
    CHECK(got.status == status);
    return error_of(got);
  };
  CHECK_THAT(refused(400, Json::array()), Contains("prediction_id"));
  CHECK_THAT(refused(400, {{"label", 1}}), Contains("prediction_id"));
  CHECK_THAT(refused(400, {{"prediction_id", first}}), Contains("label"));
  CHECK_THAT(refused(400, {{"prediction_id", first}, {"label", -1}}), Contains("label"));
  CHECK_THAT(refused(400, {{"prediction_id", first}, {"label", 1.5}}), Contains("label"));
  CHECK_THAT(refused(400, {{"prediction_id", first}, {"label", 3}}), Contains("3 classes"));
  CHECK_THAT(refused(400, {{"prediction_id", first}, {"label", 1}, {"source", "gossip"}}),
             Contains("audit, user or downstream"));
  CHECK_THAT(refused(404, {{"prediction_id", "boot-0-1"}, {"label", 1}}), Contains("boot-0-1"));
  CHECK_THAT(refused(404, {{"prediction_id", "boot-1-77"}, {"label", 1}}), Contains("4096"));
  CHECK(world.observer.labels() == std::vector<std::string>{"audit correct", "user wrong", "unjoinable", "unjoinable"});
  CHECK(world.send("POST", "/v2/models/m/feedback", "{").status == 400);
  CHECK(world.send("POST", "/v2/models/m/feedback", std::string(5000, ' ')).status == 413);
  CHECK(world.send("POST", "/v2/models/other/feedback", "{}").status == 404);
}

TEST_CASE("a model without classes answers, and takes no labels") {
  ServingWorld world;
  ReleaseSpec spec;
  spec.edit = [](ota::Manifest& manifest) { manifest.contract.class_output.clear(); };
  world.start(world.put(spec));
  std::string id = world.infer({1}).json()["parameters"]["prediction_id"].get<std::string>();
  auto answer = world.send("POST", "/v2/models/m/feedback", Json{{"prediction_id", id}, {"label", 0}}.dump());
  CHECK(answer.status == 400);
  CHECK_THAT(error_of(answer), Catch::Contains("no class"));
  CHECK(world.observer.scores().empty());
}

TEST_CASE("an empty batch is answered with an empty tensor") {
  ServingWorld world;
  world.start(world.put({}));
  auto answer = world.infer({});
  REQUIRE(answer.status == 200);
  CHECK(answer.json()["outputs"][0]["data"] == Json::array());
}
