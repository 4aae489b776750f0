#include "cm/yaml/writer.h"

#include <gtest/gtest.h>

#include <bit>

#include "cm/yaml/reader.h"
#include "yaml/options_example.h"

namespace cm {
namespace {

using example::RunOptions;

TEST(YamlWriter, WritesEveryKey) {
  EXPECT_EQ(to_yaml(RunOptions()),
            "name: run\n"
            "train:\n"
            "  steps: 1000\n"
            "  batch_size: 64\n"
            "  deterministic: false\n"
            "optimizer:\n"
            "  lr: 1e-4\n"
            "  betas: [0.9, 0.999]\n"
            "cd: null\n"
            "image_size: null\n"
            "channel_mult: [1, 2]\n"
            "tags: []\n");
}

TEST(YamlWriter, WritesOptionalSections) {
  RunOptions run;
  run.cd = example::Distillation{example::Distance::pseudo_huber, "a b"};
  EXPECT_NE(to_yaml(run).find("cd:\n  distance: pseudo_huber\n  teacher: \"a b\"\nimage_size"),
            std::string::npos);
}

struct Empty {};
template <class Visitor>
void fields(Visitor&, Empty&) {}

struct HasEmpty {
  std::optional<Empty> empty = Empty();
};
template <class Visitor>
void fields(Visitor& visit, HasEmpty& o) {
  visit("empty", o.empty, "a section without keys");
}

TEST(YamlWriter, ASectionWithoutKeysIsStillThere) {
  EXPECT_EQ(to_yaml(HasEmpty()), "empty: {}\n");
  EXPECT_TRUE(read_config<HasEmpty>(parse_yaml("empty: {}\n", "run.yaml"), {}, {std::nullopt}).empty);
}

TEST(YamlWriter, ReadingBackGivesTheSameStruct) {
  RunOptions run;
  run.name = "null";
  run.train.steps = 9007199254740993;
  run.train.deterministic = true;
  run.optimizer.lr = 0.1 + 0.2;
  run.optimizer.betas = {0.9999432189950708, std::bit_cast<double>(uint64_t{1})};
  run.cd = example::Distillation{example::Distance::l1, " C:\\größe\t#1: \"x\", 'y'\nz "};
  run.image_size = 32;
  run.channel_mult = {};
  run.tags = {"",     "~",      "true",  "1e5", "a, b", "]", "- x", std::string("nul\0byte", 8),
              "\x01", "\u2028", "\u0085"};
  const std::string text = to_yaml(run);
  const RunOptions read = read_config<RunOptions>(parse_yaml(text, "run.yaml"));
  EXPECT_EQ(read.name, run.name);
  EXPECT_EQ(read.train.steps, run.train.steps);
  EXPECT_EQ(read.optimizer.lr, run.optimizer.lr);
  EXPECT_EQ(read.optimizer.betas, run.optimizer.betas);
  ASSERT_TRUE(read.cd);
  EXPECT_EQ(read.cd->teacher, run.cd->teacher);
  EXPECT_EQ(read.image_size, run.image_size);
  EXPECT_EQ(read.channel_mult, run.channel_mult);
  EXPECT_EQ(read.tags, run.tags);
  EXPECT_EQ(to_yaml(read), text);
}

}  // namespace
}  // namespace cm
