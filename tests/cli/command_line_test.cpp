#include "cm/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "cm/base/error.h"
#include "cm/base/gpus.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

struct Outcome {
  int exit_code = -1;
  bool ran = false;
  std::string samples;
  CommonOptions common;
  std::string out;
  std::string err;
};

// Runs a command with the required option --samples.
Outcome run(std::vector<const char*> arguments) {
  Outcome outcome;
  CLI::App app("A test.", "cm-test");
  app.add_option("--samples", outcome.samples, "some samples")->required();
  add_common_options(app, outcome.common);
  arguments.insert(arguments.begin(), "path/to/cm-test");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.exit_code = run_command(app, static_cast<int>(arguments.size()), arguments.data(), [&] {
    outcome.ran = true;
    return 0;
  });
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(CommandLine, RunsTheBodyWithTheOptions) {
  const Outcome outcome = run({"--samples", "a.npz", "--seed=7", "--device", "cpu", "--force"});
  EXPECT_TRUE(outcome.ran);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.samples, "a.npz");
  EXPECT_EQ(outcome.common.seed, 7U);
  EXPECT_EQ(outcome.common.device, "cpu");
  EXPECT_TRUE(outcome.common.force);
}

TEST(CommandLine, HelpIsNoMistake) {
  const Outcome outcome = run({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_FALSE(outcome.ran);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("some samples"), HasSubstr("--device")));
}

TEST(CommandLine, AMisspeltOptionIsAnsweredWithTheNearest) {
  const Outcome outcome = run({"--sample", "a.npz"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_FALSE(outcome.ran);
  EXPECT_EQ(outcome.err, "cm-test: unknown option --sample (did you mean --samples?); --help lists all\n");
}

TEST(CommandLine, EveryUnknownOptionIsReported) {
  const Outcome outcome = run({"--samples", "a.npz", "--sed=3", "--colour"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("unknown option --sed (did you mean --seed?)"),
                                 HasSubstr("unknown option --colour; --help")));
}

TEST(CommandLine, WhatIsMissingWrongOrTooMuchIsOneLine) {
  EXPECT_EQ(run({}).err, "cm-test: --samples is required; --help lists the options\n");
  for (const char* seed : {"many", "-1", "1.5", "0x10", "", "99999999999999999999"}) {
    const Outcome wrong = run({"--samples", "a.npz", "--seed", seed});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_EQ(
        wrong.err,
        concat("cm-test: --seed must be a whole number from 0 to 18446744073709551615, got '", seed, "'\n"));
  }
  EXPECT_THAT(run({"--samples", "a.npz", "surplus"}).err, HasSubstr("surplus"));
}

TEST(CommandLine, ParsesDevices) {
  EXPECT_EQ(parse_device("cpu"), torch::Device(torch::kCPU));
  EXPECT_TRUE(parse_device("auto").is_cpu() || parse_device("auto").is_cuda());
}

TEST(CommandLine, RefusesUnknownDevices) {
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda0", ""}) {
    EXPECT_THAT(message_of<InputError>([&] { parse_device(name); }), HasSubstr("cpu, cuda, cuda:N or auto"))
        << name;
  }
  const std::string far = message_of<InputError>([] { parse_device("cuda:99"); });
  EXPECT_THAT(far, HasSubstr(concat("this machine has ", gpus().usable, " usable GPU(s)")));
  EXPECT_THAT(far, HasSubstr(gpus().obstacle));
}

}  // namespace
}  // namespace cm
