#include "cm/bench/bench_case.h"

#include <gmock/gmock.h>

#include "cm/base/files.h"
#include "cm/io/json.h"
#include "src/bench/autoencoder_bench.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Json small_case() {
  return {{"image_size", 8},
          {"model_channels", 32},
          {"channel_mult", {1, 2}},
          {"res_blocks", 1},
          {"attention_resolutions", {4}},
          {"head_channels", 16},
          {"batch", 3},
          {"sample_batch", 5}};
}

BenchCase read(const Json& json) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "small.json";
  write_file_atomically(file, json.dump());
  return read_bench_case(file);
}

std::string refusal(const Json& json) {
  return test::message_of<InputError>([&] { read(json); });
}

TEST(BenchCase, WhatIsLeftOutHasADefault) {
  const BenchCase bench_case = read(small_case());
  EXPECT_EQ(bench_case.name, "small");
  EXPECT_EQ(bench_case.in_channels, 3);
  EXPECT_EQ(bench_case.num_classes, 0);
  EXPECT_EQ(bench_case.device, "cpu");
  EXPECT_EQ(bench_case.dtype, ComputeType::fp32);
}

TEST(BenchCase, WhatIsSaidIsRead) {
  Json json = small_case();
  json.update({{"name", "other"},
               {"num_classes", 7},
               {"dtype", "bf16"},
               {"max_seconds", 0.5},
               {"threads", 4},
               {"scale_shift_norm", false},
               {"resblock_updown", false},
               {"dropout", 0.25}});
  const BenchCase bench_case = read(json);
  EXPECT_EQ(bench_case.name, "other");
  EXPECT_EQ(bench_case.dtype, ComputeType::bf16);
  EXPECT_EQ(bench_case.max_seconds, 0.5);
  EXPECT_EQ(bench_case.threads, 4);
  const ModelOptions options = model_options_of(bench_case, Parameterization::edm);
  EXPECT_EQ(options.parameterization, Parameterization::edm);
  EXPECT_EQ(options.image.size, 8);
  EXPECT_EQ(options.image.classes, 7);
  const auto& network = std::get<AdmOptions>(options.network);
  EXPECT_EQ(network.channels, 32);
  EXPECT_THAT(network.channel_mult, ElementsAre(1, 2));
  EXPECT_EQ(network.res_blocks, 1);
  EXPECT_THAT(network.attention_resolutions, ElementsAre(4));
  EXPECT_EQ(network.head_channels, 16);
  EXPECT_EQ(network.scale_shift_norm, false);
  EXPECT_FALSE(network.resblock_updown);
  EXPECT_EQ(network.dropout, 0.25);
}

TEST(BenchCase, TheArchitectureIsTheNetworks) {
  Json json = small_case();
  json["architecture"] = "edm2";
  const ModelOptions options = model_options_of(read(json), Parameterization::edm);
  const auto& network = std::get<Edm2Options>(options.network);
  EXPECT_EQ(network.channels, 32);
  EXPECT_THAT(network.channel_mult, ElementsAre(1, 2));
  EXPECT_THAT(network.attention_resolutions, ElementsAre(4));
  json["architecture"] = "edm3";
  EXPECT_THAT(refusal(json),
              HasSubstr("architecture must be one of {adm, edm2, meanflow, autoencoder}, got \"edm3\""));
}

TEST(BenchCase, EveryShippedCaseIsOneOfANetworkOrAnAutoencoder) {
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CM_SOURCE_DIR "/bench/cases")) {
    const BenchCase bench_case = read_bench_case(entry.path());
    EXPECT_EQ(bench_case.name, entry.path().stem());
    const auto complain = [&](const std::string& key, const std::string& sentence) {
      ADD_FAILURE() << entry.path() << ": " << key << " " << sentence;
    };
    ++cases;
    if (bench_case.architecture == BenchArchitecture::autoencoder) {
      validate(autoencoder_options_of(bench_case), complain);
      continue;
    }
    const ModelOptions options = model_options_of(bench_case, Parameterization::skip);
    validate(options.network, complain);
    validate_for(options.network, options.image, complain);
  }
  EXPECT_GT(cases, 0);
}

TEST(BenchCase, MistakesAreNamed) {
  Json unknown = small_case();
  unknown["model_chanels"] = 32;
  EXPECT_THAT(refusal(unknown), HasSubstr("unknown key model_chanels (did you mean model_channels?)"));
  Json missing = small_case();
  missing.erase("batch");
  EXPECT_THAT(refusal(missing), HasSubstr("batch is missing"));
  Json negative = small_case();
  negative["batch"] = -1;
  EXPECT_THAT(refusal(negative), HasSubstr("batch must be in [1, "));
  Json half = small_case();
  half["res_blocks"] = 1.5;
  EXPECT_THAT(refusal(half), HasSubstr("res_blocks must be an integer, got 1.5"));
  Json precision = small_case();
  precision["dtype"] = "fp8";
  EXPECT_THAT(refusal(precision), HasSubstr("dtype must be one of {fp32, tf32, bf16, fp16}"));
  EXPECT_THAT(refusal(Json::array()), HasSubstr("is not a JSON object"));
  EXPECT_THAT(test::message_of<InputError>([] { read_bench_case("/none.json"); }), HasSubstr("/none.json"));
}

}  // namespace
}  // namespace cm
