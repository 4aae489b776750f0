#include "cm/yaml/reader.h"

#include <gtest/gtest.h>

#include "support/mistakes_of.h"
#include "yaml/options_example.h"

namespace cm {
namespace {

using example::RunOptions;
using Lines = std::vector<std::string>;

RunOptions read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return read_config<RunOptions>(parse_yaml(text, "run.yaml"), overrides);
}

Lines mistakes_in(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return mistakes_of([&] { read(text, overrides); });
}

TEST(YamlReader, SetsWhatTheFileSaysAndKeepsTheRest) {
  const RunOptions run = read(
      "name: 2024\n"
      "train: {steps: 1e3, deterministic: true}\n"
      "optimizer:\n"
      "  lr: 1\n"
      "  betas: [0, 0.99]\n"
      "cd:\n"
      "  distance: pseudo_huber\n"
      "  teacher: runs/edm\n"
      "image_size: 32\n"
      "tags: [a, 'b c', 3]\n");
  EXPECT_EQ(run.name, "2024");
  EXPECT_EQ(run.train.steps, 1000);
  EXPECT_EQ(run.train.batch_size, 64);
  EXPECT_TRUE(run.train.deterministic);
  EXPECT_EQ(run.optimizer.lr, 1.0);
  EXPECT_EQ(run.optimizer.betas, (std::vector<double>{0, 0.99}));
  ASSERT_TRUE(run.cd);
  EXPECT_EQ(run.cd->distance, example::Distance::pseudo_huber);
  EXPECT_EQ(run.cd->teacher, "runs/edm");
  EXPECT_EQ(run.image_size, 32);
  EXPECT_EQ(run.channel_mult, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(run.tags, (std::vector<std::string>{"a", "b c", "3"}));
}

TEST(YamlReader, OverridesAreReadAsTheyWereTyped) {
  const RunOptions run =
      read("", {"name=set #2", "train.steps= 010 ", "train.deterministic=true ", "cd.teacher=a: b",
                "cd.distance= l1", "optimizer.betas=[0, 0.99]", "tags=[a, 'b # c']"});
  EXPECT_EQ(run.name, "set #2");
  EXPECT_EQ(run.train.steps, 10);
  EXPECT_TRUE(run.train.deterministic);
  EXPECT_EQ(run.cd->teacher, "a: b");
  EXPECT_EQ(run.cd->distance, example::Distance::l1);
  EXPECT_EQ(run.optimizer.betas, (std::vector<double>{0, 0.99}));
  EXPECT_EQ(run.tags, (std::vector<std::string>{"a", "b # c"}));
  EXPECT_EQ(
      mistakes_in("", {"train.steps=5 # few", "cd.teacher=null", "train.batch_size='8'"}),
      (Lines{"override 'train.steps=5 # few': train.steps must be an integer, got '5 # few'",
             "override 'cd.teacher=null': cd.teacher must be a string, got nothing",
             "override 'train.batch_size='8'': train.batch_size must be an integer, got the string '8'"}));
}

TEST(YamlReader, IntegersAreDecimal) {
  EXPECT_EQ(read("train: {steps: 010}\n").train.steps, 10);
  EXPECT_EQ(mistakes_in("train: {steps: 0x10}\n"),
            Lines{"run.yaml:1:16: train.steps must be an integer, got '0x10'"});
}

TEST(YamlReader, AnEmptyFileGivesTheDefaults) {
  EXPECT_EQ(read("").train.steps, 1000);
  RunOptions defaults;
  defaults.train.steps = 7;
  EXPECT_EQ(read_config<RunOptions>(parse_yaml("", "run.yaml"), {}, defaults).train.steps, 7);
}

TEST(YamlReader, AnOptionalSectionIsThereWhenTheFileNamesIt) {
  EXPECT_FALSE(read("").cd);
  EXPECT_FALSE(read("cd: null\n").cd);
  EXPECT_FALSE(read("cd: {teacher: x}\n", {"cd=null"}).cd);
  EXPECT_TRUE(read("", {"cd.teacher=x"}).cd);
  EXPECT_EQ(mistakes_in("cd: {}\n"), Lines{"run.yaml:1:1: cd.teacher must be given"});
}

TEST(YamlReader, OptionalsTakeNull) {
  EXPECT_EQ(read("image_size: 3\n", {"image_size=null"}).image_size, std::nullopt);
  EXPECT_EQ(read("image_size: 3\n", {"image_size="}).image_size, std::nullopt);
  EXPECT_EQ(mistakes_in("image_size: x\n"),
            Lines{"run.yaml:1:13: image_size must be an integer or null, got 'x'"});
  EXPECT_EQ(mistakes_in("image_size: 0\n"), Lines{"run.yaml:1:13: image_size must be at least 1, got 0"});
}

TEST(YamlReader, UnknownKeys) {
  EXPECT_EQ(mistakes_in("trian:\n  steps: 3\n"),
            Lines{"run.yaml:1:1: unknown key 'trian' (did you mean train?)"});
  EXPECT_EQ(mistakes_in("train:\n  stesp: 3\n"),
            Lines{"run.yaml:2:3: unknown key 'train.stesp' (did you mean train.steps?)"});
  EXPECT_EQ(mistakes_in("lr: 3\n"), Lines{"run.yaml:1:1: unknown key 'lr' (did you mean optimizer.lr?)"});
  EXPECT_EQ(mistakes_in("quantization: 3\n"), Lines{"run.yaml:1:1: unknown key 'quantization'"});
  EXPECT_EQ(mistakes_in("cd: {teacher: x, distanse: l2}\n"),
            Lines{"run.yaml:1:18: unknown key 'cd.distanse' (did you mean cd.distance?)"});
  EXPECT_EQ(
      mistakes_in("train.steps: 3\n"),
      Lines{
          "run.yaml:1:1: unknown key 'train.steps' (in a file, write each word of it as a section: dots are "
          "for the command line)"});
  EXPECT_EQ(mistakes_in("", {"train={stesp: 3}"}),
            Lines{"override 'train={stesp: 3}': unknown key 'train.stesp' (did you mean train.steps?)"});
}

TEST(YamlReader, RepeatedKeys) {
  EXPECT_EQ(mistakes_in("train:\n  steps: 1\n  steps: 2\n"),
            Lines{"run.yaml:3:3: 'train.steps' stands here a second time; the first is at run.yaml:2:3"});
}

TEST(YamlReader, WrongTypes) {
  EXPECT_EQ(mistakes_in("train: {steps: ten}\n"),
            Lines{"run.yaml:1:16: train.steps must be an integer, got 'ten'"});
  EXPECT_EQ(mistakes_in("train: {steps: 3.5}\n"),
            Lines{"run.yaml:1:16: train.steps must be an integer, got '3.5'"});
  EXPECT_EQ(mistakes_in("train: {steps: '3'}\n"),
            Lines{"run.yaml:1:16: train.steps must be an integer, got the string '3'"});
  EXPECT_EQ(mistakes_in("train:\n  steps:\n"),
            Lines{"run.yaml:2:3: train.steps must be an integer, got nothing"});
  EXPECT_EQ(mistakes_in("train: {deterministic: yes}\n"),
            Lines{"run.yaml:1:24: train.deterministic must be true or false, got 'yes'"});
  EXPECT_EQ(mistakes_in("optimizer: {lr: [1]}\n"),
            Lines{"run.yaml:1:17: optimizer.lr must be a number, got a list"});
  EXPECT_EQ(mistakes_in("optimizer: {lr: .nan}\n"),
            Lines{"run.yaml:1:17: optimizer.lr must be a number, got '.nan'"});
  EXPECT_EQ(mistakes_in("name: {a: 1}\n"), Lines{"run.yaml:1:7: name must be a string, got a mapping"});
  EXPECT_EQ(mistakes_in("name: ~\n"), Lines{"run.yaml:1:7: name must be a string, got nothing"});
  EXPECT_EQ(mistakes_in("train: 5\n"), Lines{"run.yaml:1:8: train must be a section of keys, got '5'"});
  EXPECT_EQ(mistakes_in("train: [steps]\n"),
            Lines{"run.yaml:1:8: train must be a section of keys, got a list"});
  EXPECT_EQ(mistakes_in("", {"train.steps=ten"}),
            Lines{"override 'train.steps=ten': train.steps must be an integer, got 'ten'"});
  EXPECT_EQ(mistakes_in("train: 5\n", {"train.steps=3"}),
            Lines{"run.yaml:1:8: train must be a section of keys, got '5'"});
}

TEST(YamlReader, Lists) {
  EXPECT_EQ(
      mistakes_in("optimizer: {betas: 0.9}\n"),
      Lines{"run.yaml:1:20: optimizer.betas must be a list of numbers, got '0.9' (did you mean [0.9]?)"});
  EXPECT_EQ(mistakes_in("optimizer: {betas: [x, 1, 0.5]}\n"),
            (Lines{"run.yaml:1:21: optimizer.betas[0] must be a number, got 'x'",
                   "run.yaml:1:24: optimizer.betas[1] must be in [0, 1), got 1"}));
  EXPECT_EQ(mistakes_in("channel_mult:\n  - 1\n  - 2.5\n"),
            Lines{"run.yaml:3:5: channel_mult[1] must be an integer, got '2.5'"});
  EXPECT_TRUE(read("channel_mult: []\n").channel_mult.empty());
}

TEST(YamlReader, Ranges) {
  EXPECT_EQ(mistakes_in("train: {batch_size: 0}\n"),
            Lines{"run.yaml:1:21: train.batch_size must be at least 1, got 0"});
  EXPECT_EQ(mistakes_in("optimizer: {lr: 0}\n"), Lines{"run.yaml:1:17: optimizer.lr must be above 0, got 0"});
}

TEST(YamlReader, Choices) {
  EXPECT_EQ(
      mistakes_in("cd:\n  distance: pseudo_hubber\n  teacher: x\n"),
      Lines{"run.yaml:2:13: cd.distance must be one of {l1, l2, pseudo_huber}, got 'pseudo_hubber' (did you "
            "mean pseudo_huber?)"});
  EXPECT_EQ(mistakes_in("cd: {distance: [l2], teacher: x}\n"),
            Lines{"run.yaml:1:16: cd.distance must be one of {l1, l2, pseudo_huber}, got a list"});
}

TEST(YamlReader, ValidateSpeaksOfThePlaceOfTheKey) {
  EXPECT_EQ(mistakes_in("optimizer:\n  betas: [0.9]\n"),
            Lines{"run.yaml:2:10: optimizer.betas must have 2 entries, got 1"});
  EXPECT_EQ(mistakes_in("\ncd:\n  distance: l1\n"), Lines{"run.yaml:2:1: cd.teacher must be given"});
  EXPECT_EQ(mistakes_in("cd:\n  teacher: ''\n"), Lines{"run.yaml:2:12: cd.teacher must be given"});
  EXPECT_EQ(mistakes_in("", {"optimizer.betas=[]"}),
            Lines{"override 'optimizer.betas=[]': optimizer.betas must have 2 entries, got 0"});
  EXPECT_EQ(mistakes_in("train: {steps: 6000}\n"), Lines{"run.yaml: a run of over 5000 steps needs tags"});
}

TEST(YamlReader, ValidateSeesTheDefaultsOfAnAbsentSection) {
  RunOptions defaults;
  defaults.optimizer.betas = {};
  EXPECT_EQ(mistakes_of([&] { read_config<RunOptions>(parse_yaml("", "run.yaml"), {}, defaults); }),
            Lines{"run.yaml: optimizer.betas must have 2 entries, got 0"});
}

TEST(YamlReader, ValidateIsNotAskedAboutWhatCouldNotBeRead) {
  EXPECT_EQ(mistakes_in("cd: {techer: x}\n"),
            Lines{"run.yaml:1:6: unknown key 'cd.techer' (did you mean cd.teacher?)"});
}

TEST(YamlReader, ReportsAllMistakesInOrder) {
  EXPECT_EQ(
      mistakes_in("tags: x\n"
                  "optimizer: {lr: -1, betas: [0.9]}\n"
                  "cd:\n"
                  "  distance: l3\n"
                  "  techer: x\n"
                  "train: {steps: ten}\n",
                  {"trian.seed=3", "train.batch_size=0"}),
      (Lines{"run.yaml:1:7: tags must be a list of strings, got 'x' (did you mean [x]?)",
             "run.yaml:2:17: optimizer.lr must be above 0, got -1",
             "run.yaml:4:13: cd.distance must be one of {l1, l2, pseudo_huber}, got 'l3' (did you mean l1?)",
             "run.yaml:5:3: unknown key 'cd.techer' (did you mean cd.teacher?)",
             "run.yaml:6:16: train.steps must be an integer, got 'ten'",
             "override 'trian.seed=3': unknown key 'trian.seed'",
             "override 'train.batch_size=0': train.batch_size must be at least 1, got 0"}));
}

}  // namespace
}  // namespace cm
